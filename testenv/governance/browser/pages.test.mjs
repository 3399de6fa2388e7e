// Each page, each action, as a person does them in a browser: over the real centre, real agents, Redis and MariaDB, while an
// application calls both all the time. browser_test.go starts all that and this.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { api, applications, base, browser, byColour, hide, lined, link, run, shot, sound, until, visit } from './page.mjs'

after(() => browser.close())

/** Waits until the cache and the database are both answered by a data centre, and checks that no call failed. */
async function answeredBy(idc) {
  await until(`both to be answered by ${idc}`, async () => {
    const a = await applications()
    return a.cache === idc && a.db === idc
  })
}

async function unharmed() {
  const a = await applications()
  assert.equal(a.errors, 0, `the application had errors, the last: ${a.lastError}`)
}

describe('who may come in', () => {
  test('a link lets in once', async () => {
    const path = await link()
    const one = await browser.newContext()
    const page = await one.newPage()
    await page.goto(base + path)
    await page.getByText('Is anything wrong?').waitFor()
    assert.equal(new URL(page.url()).search, '', 'the code stays in the address')
    const other = await browser.newContext()
    const again = await other.newPage()
    await again.goto(base + path)
    const said = await again.getByRole('alert').textContent()
    assert.match(said, /link|code/, 'what a link says that was used')
    await sound(again, 'the login page')
    await again.getByLabel('One-time code, or the whole link').fill(base + (await link()))
    await again.getByRole('button', { name: 'Log in' }).click()
    await again.getByText('Is anything wrong?').waitFor()
    await again.getByRole('button', { name: 'Log out' }).click()
    await again.waitForURL('**/login')
    await again.goto(base + '/agents')
    await again.waitForURL('**/login?to=%2Fagents')
    await one.close()
    await other.close()
  })

  test('a viewer sees everything and can do nothing', async () => {
    await api('PUT', '/v1/users/guest', { roles: [{ role: 'viewer' }] })
    const { page, context, errors } = await visit('guest', { role: 'viewer' })
    await page.goto(base + '/resources/feed-cache/endpoints')
    await page.getByText('Up', { exact: true }).first().waitFor()
    for (const name of ['Drain', 'Remove', 'Add an endpoint', 'Move traffic', 'Give a command']) {
      assert.equal(await page.getByRole('button', { name }).count(), 0, `a viewer has ${name}`)
    }
    await page.goto(base + '/traffic/feed-cache')
    await page.getByText('Your role does not allow this.').waitFor()
    await page.goto(base + '/rules/feed-cache')
    await page.getByLabel('Document of feed-cache').waitFor()
    assert.equal(await page.getByRole('button', { name: 'Publish', exact: true }).count(), 0)
    const refused = await page.evaluate(async () => (await unseenFetch('/v1/commands', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"type":"degrade","resource":"feed-cache"}' })).status)
    assert.equal(refused, 403, 'a command of a viewer')
    assert.deepEqual(errors.filter((e) => !e.includes('403')), [])
    await context.close()
  })
})

// Everything that a person can open. Where a page fills itself, what it waits for.
const pages = {
  '/': 'Is anything wrong?',
  '/topology': 'app-of-web-1',
  '/topology?view=table': 'app-of-web-1',
  '/resources': 'feed-cache',
  '/resources/feed-cache': 'Sessions',
  '/resources/orders-db/operations': 'SELECT',
  '/resources/feed-cache/endpoints': 'Up',
  '/resources/feed-cache/rules': 'defaults',
  '/resources/feed-cache/history': 'v1',
  '/resources/orders-db/sessions': '127.0.0.1',
  '/resources/feed-cache/calls': 'Calls appear here once you ask for them.',
  '/traffic': 'Choose a resource',
  '/traffic/feed-cache': 'All to tc',
  '/plans': 'New plan',
  '/plans/new': 'Move a data centre',
  '/commands': 'Commands in force',
  '/commands/history': 'Ended',
  '/commands/audit': 'The chain of hashes holds',
  '/rules': 'feed-cache',
  '/rules/feed-cache': 'Nothing is changed yet.',
  '/rules/new': 'Begin',
  '/releases': 'Releases',
  '/agents': 'web-1',
  '/agents/web-1': 'The configuration that it runs',
  '/access': 'admin',
  '/access/tokens': 'For programs and the command line.',
  '/access/joins': 'Uses',
  '/access/secrets': 'Written, never read back.',
  '/nowhere': 'There is no such page',
}

/** Opens all pages one after the other, and looks at each. */
async function tour(page, look) {
  for (const [path, text] of Object.entries(pages)) {
    await page.goto(base + path)
    await page.getByText(text).locator('visible=true').first().waitFor()
    await page.locator('h1').first().waitFor()
    await look(path, path.replace(/\W+/g, '-').replace(/-$/, '') || '-overview')
  }
}

// What looks alone happens side by side with what a person does below: the pages hold whatever is changed meanwhile.
describe('together', { concurrency: 3 }, () => {
  test('each page: axe finds nothing, nothing is wider than the window; light, dark and Chinese', async () => {
    const { page, context, errors } = await visit('admin', { colorScheme: 'light' })
    await tour(page, async (path, name) => {
      await sound(page, `${path}, light`)
      await shot(page, `light${name}`)
      await page.emulateMedia({ colorScheme: 'dark' })
      await sound(page, `${path}, dark`, byColour) // of all else it is the page that was looked at
      await shot(page, `dark${name}`)
      await page.emulateMedia({ colorScheme: 'light' })
      await page.getByRole('button', { name: '中文' }).click()
      await page.getByRole('link', { name: '总览' }).first().waitFor()
      assert.equal(await page.evaluate(() => document.documentElement.lang), 'zh-CN')
      const words = await page.getByRole('main').innerText()
      assert.match(words, /[\u4e00-\u9fff]/, `${path} has no Chinese`)
      assert.doesNotMatch(words, /\b[a-z]+\.[a-z]+\b(?<=(?:nav|do|state|col|term|field|q|a|over|detail|tab|plans?|rules|form|access|release|agent|order|away|error|check|says)\.[a-z]+)/, `${path} shows a key`)
      await sound(page, `${path}, Chinese`)
      await shot(page, `chinese${name}`)
      await page.getByRole('button', { name: 'English' }).click()
    })
    assert.deepEqual(errors, [])
    await context.close()
  })

  test('each page on a phone: axe finds nothing, nothing is wider than the window', async () => {
    const { page, context, errors } = await visit('admin', { colorScheme: 'light', viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true })
    await tour(page, async (path, name) => {
      await sound(page, `${path}, phone`)
      await shot(page, `phone${name}`)
    })
    assert.deepEqual(errors, [])
    await context.close()
  })

  test('a page that is opened in Chinese is Chinese', async () => {
    const { page, context, errors } = await visit('admin', { colorScheme: 'dark' })
    await page.getByRole('button', { name: '中文' }).click()
    await page.getByRole('link', { name: '总览' }).waitFor()
    await page.goto(base + '/agents')
    await page.getByRole('heading', { level: 1, name: '代理' }).waitFor()
    assert.equal(await page.evaluate(() => document.documentElement.lang), 'zh-CN')
    await sound(page, '/agents, opened in Chinese and dark')
    assert.deepEqual(errors, [])
    await context.close()
  })

  test('the catalogue still says how each resource is when its numbers stream in', async () => {
    const { page, context, errors } = await visit()
    await page.addInitScript(() => {
      const add = EventSource.prototype.addEventListener
      EventSource.prototype.addEventListener = function (type, listener, ...rest) {
        add.call(this, type, (e) => {
          listener(e)
          if (type === 'live') window.heard = (window.heard ?? 0) + 1
        }, ...rest)
      }
    })
    await page.goto(base + '/resources')
    await page.waitForFunction(() => window.heard > 1)
    const health = page.getByRole('row', { name: 'orders-db' }).locator('.health')
    assert.match(await health.innerText(), /\w/, 'the health of orders-db')
    assert.deepEqual(errors, [])
    await context.close()
  })

  test('the flags of problems are whole, though they began just now', async () => {
    const { page, context, errors } = await visit()
    const now = Date.now()
    await page.route('**/v1/overview', async (route) => {
      const answer = await route.fetch()
      const problem = { severity: 'warn', what: 'a problem', whatSay: { code: 'none' }, since: new Date(now).toISOString(), do: [] }
      const spark = [{ t: now - 3_600_000, calls: 1, errors: 0 }, { t: now, calls: 1, errors: 0 }]
      await route.fulfill({ response: answer, json: { ...(await answer.json()), state: 'warn', spark, problems: [1, 2, 3].map((n) => ({ ...problem, id: `p${n}` })) } })
    })
    for (const width of [1360, 390]) {
      await page.setViewportSize({ width, height: 860 })
      await page.goto(base + '/')
      await until('three flags', async () => (await page.locator('figure .flag circle').count()) === 3)
      await until(`flags within the picture, apart, in a window of ${width}`, () => page.evaluate(() => {
        const box = (e) => e.getBoundingClientRect()
        const flags = [...document.querySelectorAll('figure .flag circle')].map(box)
        const picture = box(document.querySelector('figure:has(.flag) svg'))
        return flags.every((f, i) => f.left >= picture.left && f.right <= picture.right && f.top >= picture.top && (i === 0 || f.left >= flags[i - 1].right))
      }))
      await shot(page, `flags-${width}`)
    }
    assert.deepEqual(errors, [])
    await context.close()
  })

  describe('what a person does', { concurrency: 1 }, () => {
    let page, errors
    before(async () => ({ page, errors } = await visit()))
    after(async () => {
      assert.deepEqual(errors, [])
      await unharmed()
    })
    const open = async (path, text) => {
      await page.goto(base + path)
      if (text) await page.getByText(text).locator('visible=true').first().waitFor()
    }
    const dialog = () => page.getByRole('dialog')
    const gone = () => dialog().waitFor({ state: 'detached' })
    const says = (text) => page.getByRole('status').getByText(text).first().waitFor()

    test('by the keyboard alone', async () => {
      await open('/', 'Is anything wrong?')
      await page.keyboard.press('Control+k')
      await page.keyboard.type('orders-db')
      await page.getByRole('option', { name: 'orders-db' }).first().waitFor()
      await page.keyboard.press('Enter')
      await page.waitForURL('**/resources/orders-db')
      await page.getByRole('heading', { name: 'orders-db' }).waitFor()
      await page.goBack()
      await page.getByText('What changed?').waitFor()
      await page.keyboard.press('Control+k')
      await sound(page, 'the palette')
      await page.keyboard.press('Escape')
      await gone()
      await open('/traffic/feed-cache', 'All to tc')
      const slider = page.getByRole('slider').first()
      const was = await slider.inputValue()
      await slider.focus()
      await page.keyboard.press(was === '0' ? 'ArrowRight' : 'ArrowLeft')
      assert.notEqual(await slider.inputValue(), was)
    })

    test('the figures are live', async () => {
      await open('/resources', 'feed-cache')
      await page.getByText('Live', { exact: true }).waitFor()
      const row = page.getByRole('row').filter({ hasText: 'feed-cache' })
      await until('a rate', async () => /[1-9]\d*(\.\d+)?\/s/.test(await row.innerText()), 20_000)
      await hide(page)
      await page.getByText('Paused while hidden').waitFor()
      await hide(page, false)
      await page.getByText('Live', { exact: true }).waitFor()
    })

    test('moves the traffic of one resource, and back', async () => {
      await open('/traffic/feed-cache', 'All to tc')
      await page.getByRole('button', { name: 'All to tc' }).click()
      await page.getByText(/feed-cache: tc goes from 0 to \d+ calls a second/).waitFor()
      await sound(page, 'a preview')
      await shot(page, 'move-preview')
      await page.getByRole('button', { name: 'Move traffic' }).click()
      await says('feed-cache moved')
      await until('the cache to be answered by tc', async () => (await applications()).cache === 'tc')
      await shot(page, 'moved')
      await page.getByRole('status').getByRole('button', { name: 'Undo', exact: true }).click()
      await until('the cache to be answered by yf', async () => (await applications()).cache === 'yf')
      await unharmed()
    })

    test('the command line does the same as the button', async () => {
      await open('/traffic/feed-cache', 'All to tc')
      await page.getByRole('button', { name: 'All to tc' }).click()
      await page.getByRole('button', { name: 'Copy the command line' }).first().click()
      const line = await page.evaluate(() => navigator.clipboard.readText())
      assert.match(line, /^sluice switch feed-cache /)
      await run(line)
      await until('the cache to be answered by tc', async () => (await applications()).cache === 'tc')
      await open('/commands', 'feed-cache')
      await page.getByRole('button', { name: /^Undo: feed-cache/ }).click()
      await dialog().getByLabel('Why').fill('tried')
      const undo = (await dialog().locator('.cli code').innerText()).replace(/^\$/, '')
      assert.match(undo, /^sluice undo /)
      await sound(page, 'the question whether to undo')
      await dialog().getByRole('button', { name: 'Undo', exact: true }).click()
      await gone()
      await until('the cache to be answered by yf', async () => (await applications()).cache === 'yf')
      await open('/commands/audit', 'tried')
    })

    for (const [type, fill, summary] of [
      ['degrade', async (d) => d.getByLabel('Answer: error').fill('empty'), /degrade/],
      ['limit', async (d) => d.getByLabel('Calls that may pass').fill('100000/s'), /limit/],
      ['fault', async (d) => d.getByLabel('Hold each call').fill('1ms'), /fault/],
      ['mock', async (d) => d.getByLabel('Answer', { exact: true }).fill('yf'), /mock/],
    ]) {
      test(`gives a command: ${type}`, async () => {
        await open('/commands', 'Commands in force')
        await page.getByRole('button', { name: 'Give a command' }).click()
        await dialog().getByRole('combobox', { name: 'What', exact: true }).selectOption(type)
        await dialog().getByLabel('Resource', { exact: true }).fill('feed-cache')
        await fill(dialog())
        // Of nobody's calls: the application must not notice.
        await dialog().getByRole('button', { name: 'Only some' }).click()
        await dialog().getByLabel('Property').selectOption('caller')
        await dialog().getByLabel('Pattern').fill('nobody')
        await dialog().getByText('What would happen').waitFor()
        await sound(page, `the dialog of ${type}`)
        await shot(page, `command-${type}`)
        await dialog().getByRole('button', { name: 'Give a command' }).click()
        await gone()
        await says('In force')
        await page.getByRole('listitem').filter({ hasText: summary }).first().waitFor()
        await page.getByRole('button', { name: /^Undo: feed-cache/ }).first().click()
        await dialog().getByRole('button', { name: 'Undo', exact: true }).click()
        await gone()
        await page.getByText('No command is in force').waitFor()
      })
    }

    test('moves a data centre by a plan, and back', async () => {
      await answeredBy('yf')
      await open('/plans/new', 'Move a data centre')
      await page.getByLabel('from').selectOption('yf')
      await page.getByLabel('to', { exact: true }).selectOption('tc')
      await page.getByRole('button', { name: 'Fill in the steps' }).click()
      await page.getByRole('button', { name: 'Step 2 up' }).waitFor()
      await page.getByLabel('Why').fill('yf is being rebuilt')
      await until('the checks to hold', () => page.getByRole('button', { name: 'Run now', exact: true }).isEnabled())
      await sound(page, 'a plan with its checks')
      await shot(page, 'plan-new', { fullPage: true })
      await page.getByRole('button', { name: 'Step 2 up' }).click()
      await until('the checks to hold', () => page.getByRole('button', { name: 'Run now', exact: true }).isEnabled())
      await page.getByRole('button', { name: 'Run now', exact: true }).click()
      await page.waitForURL(/\/plans\/(?!new)/)
      await answeredBy('tc')
      await page.getByText('Done').first().waitFor()
      await sound(page, 'a plan that is done')
      await shot(page, 'plan-done')
      await open('/', 'Is anything wrong?')
      const changed = page.getByRole('listitem').filter({ hasText: 'run plan' }).first()
      await changed.getByText('yf is being rebuilt').waitFor()
      await shot(page, 'overview-moved')
      await changed.getByRole('link', { name: 'Move everything from yf to tc' }).click()
      await page.waitForURL(/\/plans\/./)
      await page.getByRole('button', { name: 'Undo all' }).click()
      await dialog().getByRole('button', { name: 'Undo all' }).click()
      await gone()
      await answeredBy('yf')
      await page.getByText('Undone').first().waitFor()
      await open('/plans', 'yf is being rebuilt')
      await unharmed()
    })

    test('a plan that is kept runs later', async () => {
      await open('/plans/new', 'Move a data centre')
      await page.getByRole('button', { name: 'Add a step' }).click()
      await dialog().getByLabel('Resource', { exact: true }).fill('feed-cache')
      await dialog().getByLabel('Weight of yf').fill('0')
      await dialog().getByLabel('Weight of tc').fill('100')
      await sound(page, 'the dialog of a step')
      await dialog().getByRole('button', { name: 'Save' }).click()
      await gone()
      await page.getByLabel('Name', { exact: true }).fill('for tonight')
      await page.getByRole('button', { name: 'Keep for later', exact: true }).click()
      await page.waitForURL(/\/plans\/(?!new)/)
      await page.getByText('Draft').first().waitFor()
      await page.getByRole('button', { name: 'Run', exact: true }).click()
      await dialog().getByRole('button', { name: 'Run', exact: true }).click()
      await gone()
      await until('the cache to be answered by tc', async () => (await applications()).cache === 'tc')
      await page.getByRole('button', { name: 'Undo all' }).click()
      await dialog().getByRole('button', { name: 'Undo all' }).click()
      await gone()
      await answeredBy('yf')
    })

    test('edits rules: a mistake is shown, a change published, and taken back', async () => {
      await open('/rules/feed-cache', 'Nothing is changed yet.')
      const text = page.getByLabel('Document of feed-cache')
      await page.getByLabel('Timeout', { exact: true }).fill('forever')
      await page.getByLabel('Timeout', { exact: true }).press('Tab')
      await page.getByText('Not valid').waitFor()
      await page.getByRole('region', { name: 'Dry run' }).getByText(/timeout/).first().waitFor()
      assert.equal(await page.getByRole('button', { name: 'Publish', exact: true }).isEnabled(), false)
      await sound(page, 'a mistake in rules')
      await shot(page, 'rules-mistake')
      await page.getByLabel('Timeout', { exact: true }).fill('2s')
      await page.getByLabel('Timeout', { exact: true }).press('Tab')
      assert.match(await text.inputValue(), /timeout: 2s/)
      await page.getByText('Valid', { exact: true }).waitFor()
      await page.getByLabel('Why').fill('slow evenings')
      await shot(page, 'rules-edit')
      await page.getByRole('button', { name: 'Publish', exact: true }).click()
      await page.waitForURL('**/history')
      await page.getByText('slow evenings').waitFor()
      await page.getByRole('button', { name: 'What changed' }).first().click()
      await page.getByText('2s').first().waitFor()
      await sound(page, 'a change')
      await shot(page, 'history')
      await page.getByRole('button', { name: 'Go back to this' }).first().click()
      await dialog().getByRole('button', { name: 'Go back to this' }).click()
      await gone()
      await says('is back at v')
      const { yaml } = await api('GET', '/v1/resources/feed-cache/config')
      assert.doesNotMatch(yaml, /timeout: 2s/)
    })

    test('two people edit the same rules: the second one is told', async () => {
      await open('/rules/feed-cache', 'Nothing is changed yet.')
      await page.getByLabel('Timeout', { exact: true }).fill('3s')
      await page.getByLabel('Timeout', { exact: true }).press('Tab')
      await page.getByText('Valid', { exact: true }).waitFor()
      const { yaml } = await api('GET', '/v1/resources/feed-cache/config')
      const answer = await fetch(base + '/v1/resources/feed-cache?why=meanwhile', { method: 'PUT', headers: { authorization: `Bearer ${process.env.CENTER_TOKEN}` }, body: `# meanwhile\n${yaml}` })
      assert.ok(answer.ok, await answer.text())
      await page.getByRole('button', { name: 'Publish', exact: true }).click()
      await page.getByText('Somebody published another version meanwhile.').waitFor()
      assert.match(await page.getByLabel('Document of feed-cache').inputValue(), /timeout: 3s/, 'what was typed is lost')
      await sound(page, 'a race')
      await page.getByRole('button', { name: 'Compare with theirs' }).click()
      await page.getByText('Somebody published').waitFor({ state: 'detached' })
      await page.getByText('Valid', { exact: true }).waitFor()
      assert.match(await page.getByLabel('Document of feed-cache').inputValue(), /timeout: 3s/, 'what was typed is lost')
      await page.getByRole('button', { name: 'Start over' }).click()
      assert.match(await page.getByLabel('Document of feed-cache').inputValue(), /^# meanwhile/)
      assert.doesNotMatch(await page.getByLabel('Document of feed-cache').inputValue(), /timeout: 3s/)
      errors.splice(0, errors.length, ...errors.filter((e) => !e.includes('412')))
    })

    test('a draft is kept, found again and dropped', async () => {
      await open('/rules/orders-db', 'Nothing is changed yet.')
      await page.getByLabel('Timeout', { exact: true }).fill('4s')
      await page.getByLabel('Timeout', { exact: true }).press('Tab')
      await page.getByRole('button', { name: 'Save draft', exact: true }).click()
      await says('Draft of orders-db saved')
      await open('/rules/orders-db')
      await page.getByText('draft', { exact: true }).waitFor()
      assert.match(await page.getByLabel('Document of orders-db').inputValue(), /timeout: 4s/)
      await page.getByRole('button', { name: 'Discard draft', exact: true }).click()
      await page.getByText('Nothing is changed yet.').waitFor()
    })

    /** The line that is shown for a button. */
    const lineOf = async (what) => (await page.locator('.cli').filter({ has: page.getByRole('button', { name: `Copy the command line: ${what}`, exact: true }) }).locator('code').innerText()).replace(/^\$/, '')

    test('the lines of a draft and of stages do the same as the buttons', async () => {
      await open('/rules/orders-db', 'Nothing is changed yet.')
      const folder = mkdtempSync(join(tmpdir(), 'lines-'))
      const document = async () => writeFileSync(join(folder, 'orders-db.yaml'), await page.getByLabel('Document of orders-db').inputValue())
      const timeout = async (value) => {
        await page.getByLabel('Timeout', { exact: true }).fill(value)
        await page.getByLabel('Timeout', { exact: true }).press('Tab')
        await page.getByText('Valid', { exact: true }).waitFor()
        await document()
      }
      await timeout('6s')
      await run(`cd ${folder} && ${await lineOf('Save draft')}`)
      assert.match((await api('GET', '/v1/resources/orders-db/draft')).yaml, /timeout: 6s/)
      assert.doesNotMatch((await api('GET', '/v1/resources/orders-db/config')).yaml, /timeout: 6s/)
      await open('/rules/orders-db')
      await page.getByText('draft', { exact: true }).waitFor()
      await run(await lineOf('Discard draft'))
      await assert.rejects(api('GET', '/v1/resources/orders-db/draft'), /404/)

      await open('/rules/orders-db', 'Nothing is changed yet.')
      await timeout('7s')
      await page.getByText('In stages, with guards').click()
      await page.getByLabel(/^Stages, one a line/).fill('web-1 for 1h\n100%')
      await page.getByLabel('Turn back when errors exceed').fill('90%')
      await page.getByLabel('or p99, of what it was, exceeds').fill('100000%')
      const line = await lineOf('Publish in stages')
      assert.match(line, /--stage 'web-1 for 1h' --stage 100% --errors 90% --p99 100000%$/)
      await run(`cd ${folder} && ${line}`)
      const release = (await api('GET', '/v1/releases')).releases.find((r) => r.resource === 'orders-db')
      assert.deepEqual(release.stages.map((s) => s.agents ?? s.share), [['web-1'], '100%'])
      assert.equal(release.state, 'running')

      // The buttons of a release: it is paused, goes on, and is taken back.
      await open(`/releases/${encodeURIComponent(release.id)}`, 'orders-db')
      const state = async () => (await api('GET', `/v1/releases/${encodeURIComponent(release.id)}`)).state
      for (const [button, want] of [['Pause', 'paused'], ['Go on', 'running'], ['Take back', 'undone']]) {
        await page.getByRole('button', { name: button, exact: true }).click()
        if (button === 'Take back') await dialog().getByLabel('Why').fill('seen enough')
        await dialog().getByRole('button', { name: button, exact: true }).click()
        await gone()
        await until(`the release to be ${want}`, async () => (await state()) === want, 60_000)
      }
      await until('the old version to hold', async () => !/timeout: 7s/.test(JSON.stringify(await api('GET', '/v1/agents/web-1/config'))), 60_000)
      rmSync(folder, { recursive: true })
    })

    test('a release goes in stages', async () => {
      await open('/rules/feed-cache', 'Nothing is changed yet.')
      await page.getByLabel('Timeout', { exact: true }).fill('5s')
      await page.getByLabel('Timeout', { exact: true }).press('Tab')
      await page.getByText('In stages, with guards').click()
      await page.getByLabel(/^Stages, one a line/).fill('web-1 for 1s\n100%')
      // Beside other tests calls are as slow as the machine is busy: the guards are not what this is about.
      await page.getByLabel('Turn back when errors exceed').fill('90%')
      await page.getByLabel('or p99, of what it was, exceeds').fill('100000%')
      await page.getByText('Valid', { exact: true }).waitFor()
      await page.getByRole('button', { name: 'Publish in stages', exact: true }).click()
      await page.waitForURL(/\/releases\/./)
      await until('the release to be done', () => page.getByText('Done').first().isVisible(), 90_000)
      await sound(page, 'a release')
      await shot(page, 'release')
      await open('/releases', 'feed-cache')
    })

    test('adds a resource, and its endpoints', async () => {
      await open('/resources', 'feed-cache')
      await page.getByRole('link', { name: 'Add a resource' }).click()
      await page.getByLabel('Name', { exact: true }).fill('new-cache')
      await page.getByLabel('Kind').selectOption('redis')
      await page.getByRole('button', { name: 'Begin' }).click()
      await page.getByLabel('Document of new-cache').waitFor()
      await page.getByText('Valid', { exact: true }).waitFor()
      await page.getByRole('button', { name: 'Publish', exact: true }).click()
      await page.waitForURL('**/resources/new-cache**')
      await open('/resources/new-cache/endpoints')
      await page.getByRole('button', { name: 'Add an endpoint' }).click()
      await dialog().getByLabel('Address').fill('nonsense')
      await dialog().getByRole('button', { name: 'Add an endpoint' }).click()
      await dialog().getByRole('alert').waitFor()
      await sound(page, 'a wrong address')
      await dialog().getByLabel('Address').fill('127.0.0.1:6399')
      await dialog().getByRole('button', { name: 'Add an endpoint' }).click()
      await gone()
      await page.getByText('127.0.0.1:6399').first().waitFor()
      await page.getByRole('button', { name: 'Remove 127.0.0.1:6399' }).click()
      await dialog().getByRole('button', { name: 'Remove' }).click()
      await gone()
      await page.getByText('127.0.0.1:6399').first().waitFor({ state: 'detached' })
      errors.splice(0, errors.length, ...errors.filter((e) => !/40[09]|422/.test(e)))
    })

    test('drains an endpoint, and undoes it', async () => {
      await open('/resources/feed-cache/endpoints')
      const drain = page.getByRole('button', { name: /^Drain / }).first()
      const address = (await drain.getAttribute('aria-label')).replace('Drain ', '')
      await drain.click()
      await dialog().locator('.cli').filter({ hasText: `sluice drain feed-cache ${address}` }).waitFor()
      await page.keyboard.press('Escape')
      await gone()
    })

    test('sees operations, sessions and live calls', async () => {
      await open('/resources/orders-db/operations', 'SELECT')
      await open('/resources/orders-db/sessions', '127.0.0.1')
      await open('/resources/feed-cache/calls')
      await page.getByLabel('Slower than').fill('1us')
      await page.getByRole('button', { name: 'Show calls' }).click()
      await page.getByRole('cell', { name: 'GET' }).first().waitFor()
      await page.getByRole('cell', { name: 'web-1' }).first().waitFor()
      await page.getByRole('img', { name: /^receive .+, route .+, send .+, wait .+, reply .+/ }).first().waitFor()
      await page.locator('.cli').filter({ hasText: 'sluice observe feed-cache --trace --slower-than 1us' }).waitFor()
      await sound(page, 'live calls')
      await shot(page, 'calls')
      await page.getByRole('button', { name: 'Stop' }).click()
    })

    test('looks at what was', async () => {
      await open('/resources/feed-cache', 'Sessions')
      for (const window of ['1h', '14d']) {
        await page.getByRole('button', { name: window, exact: true }).click()
        await page.getByRole('button', { name: window, exact: true, pressed: true }).waitFor()
      }
      await page.getByText('The same as a table').click()
      await until('rows', async () => (await page.locator('details table tbody tr').count()) > 0)
      await sound(page, 'a chart as a table')
    })

    test('looks at an agent', async () => {
      await open('/agents', 'web-1')
      await page.getByRole('link', { name: 'web-1' }).first().click()
      await page.waitForURL('**/agents/web-1')
      await page.getByText('Current').first().waitFor()
      await page.getByText('The configuration that it runs').click()
      await page.getByText('feed-cache').first().waitFor()
      await shot(page, 'agent')
    })

    test('lets people, programs and agents in, and keeps secrets', async () => {
      await open('/access', 'admin')
      await page.getByRole('button', { name: 'Add or change a person' }).click()
      await dialog().getByLabel('Name').fill('mei')
      await dialog().getByRole('combobox', { name: 'Role', exact: true }).selectOption('owner')
      await dialog().getByLabel('Only for resources with').fill('name=feed-*')
      await sound(page, 'the dialog of a person')
      await dialog().getByRole('button', { name: 'Save' }).click()
      await gone()
      await page.getByRole('row').filter({ hasText: 'mei' }).getByText(/feed-\*/).waitFor()
      await page.getByRole('button', { name: 'Remove mei' }).click()
      await dialog().getByRole('button', { name: 'Remove' }).click()
      await gone()

      await open('/access/tokens', 'For programs and the command line.')
      await page.getByRole('button', { name: 'New token' }).click()
      await dialog().getByLabel('Name').fill('ci')
      await dialog().getByRole('button', { name: 'Make it' }).click()
      await page.getByText('This is shown once.').waitFor()
      await page.getByRole('button', { name: 'Copy the token' }).click()
      const token = await page.evaluate(() => navigator.clipboard.readText())
      await sound(page, 'a token')
      await page.getByRole('button', { name: 'I have it' }).click()
      const status = async () => (await fetch(base + '/v1/resources', { headers: { authorization: `Bearer ${token}` } })).status
      assert.equal(await status(), 200, 'what the token is for')
      await page.getByRole('button', { name: 'Remove ci' }).click()
      await dialog().getByRole('button', { name: 'Remove' }).click()
      await gone()
      assert.equal(await status(), 401, 'the token after it was taken back')

      await open('/access/joins', 'Uses')
      await page.getByRole('button', { name: 'New join token' }).click()
      await dialog().getByLabel('Only this agent').fill('web-9')
      await dialog().getByRole('button', { name: 'Make it' }).click()
      await page.getByText('On the agent’s machine:').waitFor()
      await page.getByRole('button', { name: 'I have it' }).click()
      const row = page.getByRole('row').filter({ hasText: 'web-9' })
      await row.getByRole('button', { name: /^Remove/ }).click()
      await dialog().getByRole('button', { name: 'Remove' }).click()
      await gone()
      await row.waitFor({ state: 'detached' })

      await open('/access/secrets', 'Written, never read back.')
      await page.getByRole('button', { name: 'Set a secret' }).click()
      await dialog().getByLabel('Name').fill('db-password')
      await dialog().getByLabel('Value').fill('hunter2')
      await dialog().getByLabel('Only for resources with').fill('feed-*')
      await dialog().getByRole('button', { name: 'Save' }).click()
      await gone()
      await page.getByText('db-password').first().waitFor()
      await page.getByRole('row').filter({ hasText: 'db-password' }).getByText('feed-*').waitFor()
      assert.doesNotMatch(await page.content(), /hunter2/)
      await page.getByRole('button', { name: 'Remove db-password' }).click()
      await dialog().getByRole('button', { name: 'Remove' }).click()
      await gone()
    })

    test('everything that was done showed its command line', () => lined())

    test('the log holds it all', async () => {
      await open('/commands/audit', 'The chain of hashes holds')
      await page.getByText('slow evenings').first().waitFor()
      await shot(page, 'audit')
    })
  })
})

describe('after all else', () => {
  test('Chinese: what the centre itself says', async () => {
    const { page, context, errors } = await visit()
    await page.getByRole('button', { name: '中文' }).click()
    const endpoint = '/v1/resources/feed-cache/endpoints'
    await api('POST', endpoint, { group: 'tc', address: '127.0.0.1:1' }) // where nothing listens
    try {
      const problem = await until('the centre to see it', async () => (await api('GET', '/v1/overview')).problems.find((p) => p.resource === 'feed-cache'))
      assert.match(problem.what, /^feed-cache: 127\.0\.0\.1:1 in tc is (down|ejected): /, 'programs get English')
      const said = /tc 的节点 127\.0\.0\.1:1 (不可用|已摘除)：/
      for (const [path, name] of [['/', 'overview'], ['/resources/feed-cache', 'detail']]) {
        await page.goto(base + path)
        await page.getByText(said).locator('visible=true').first().waitFor()
        const words = await page.getByRole('main').innerText()
        for (const s of [problem.what, problem.why, ...problem.do.map((d) => d.label)]) assert.ok(!s || !words.includes(s), `${path} says in English: ${s}`)
        if (path === '/') await page.getByText('添加节点').locator('visible=true').first().waitFor() // what was done
        await sound(page, `${path}, Chinese`)
        await shot(page, `chinese-${name}`)
      }
    } finally {
      await api('DELETE', `${endpoint}?group=tc&address=127.0.0.1:1`)
    }
    await page.goto(base + '/traffic/feed-cache')
    await page.getByRole('button', { name: /tc/ }).first().click()
    await page.getByText(/feed-cache：2 个代理上，tc 的每秒调用从 \d+ 变为 \d+。/).first().waitFor()
    await sound(page, 'a preview, Chinese')
    await shot(page, 'chinese-traffic')

    // What was ordered and taken back: in the list of changes of the resource, and in that of all.
    const ordered = await api('POST', '/v1/commands', { type: 'degrade', resource: 'feed-cache', reply: 'empty', match: { caller: 'nobody' }, why: 'test' })
    await api('DELETE', `/v1/commands/${ordered.id}`)
    for (const [path, said] of [['/resources/feed-cache', /降级 .*admin/], ['/', /撤销 降级 /]]) {
      await page.goto(base + path)
      await page.getByText(said).first().waitFor()
      assert.doesNotMatch(await page.getByRole('main').innerText(), /degrade/, `${path} says a command in English`)
    }

    // A command that is about the same calls as another, a plan with its checks, and what the centre refuses.
    const other = await api('POST', '/v1/commands', { type: 'limit', resource: 'feed-cache', rate: '1000000/s', match: { caller: 'nobody' }, why: 'test' })
    try {
      await page.goto(base + '/traffic/feed-cache')
      await page.getByRole('button', { name: /tc/ }).first().click()
      await page.getByText(new RegExp(`${other.id}（限流 .*下发，.*）也涉及 feed-cache 的符合 caller=nobody 的调用`)).first().waitFor()
      await page.goto(base + '/plans/new')
      await page.getByLabel('从').selectOption('yf')
      await page.getByLabel('到', { exact: true }).selectOption('tc')
      await page.getByRole('button', { name: '生成步骤' }).click()
      for (const said of [/个代理全部已连接且为最新/, /每个接收调用的分组都有可用节点/, /也涉及 feed-cache 的/]) await page.getByText(said).first().waitFor()
      assert.doesNotMatch(await page.getByRole('main').innerText(), /no group gets|no replica|is about calls|is about all|are connected and current/)
      await sound(page, 'checks, Chinese')
      await shot(page, 'chinese-plan')
    } finally {
      await api('DELETE', `/v1/commands/${other.id}`)
    }
    await page.goto(base + '/agents/nobody')
    await page.getByText('没有代理 "nobody"，最近 24 小时内也没有').waitFor()
    assert.ok(errors.every((e) => e.includes('404')), errors.join())
    errors.length = 0
    await page.goto(base + '/agents')
    await page.getByText('准确').first().waitFor()
    await shot(page, 'chinese-agents')
    await page.getByRole('button', { name: 'English' }).click()
    assert.deepEqual(errors, [])
    await context.close()
  })

  test('the centre goes, and comes back', async () => {
    const { page, context, errors } = await visit()
    await page.goto(base + '/')
    await page.getByText('Is anything wrong?').waitFor()
    await page.getByText('Live', { exact: true }).waitFor()
    await fetch(process.env.APPLICATION + '/center/kill', { method: 'POST' })
    await page.getByText('Connection lost, trying again').waitFor()
    await unharmed()
    await shot(page, 'center-gone')
    await fetch(process.env.APPLICATION + '/center/restart', { method: 'POST' })
    await page.getByText('Live', { exact: true }).waitFor({ timeout: 30_000 })
    await until('the page to be as before', () => page.getByText('What changed?').isVisible())
    errors.splice(0)
    await context.close()
    await unharmed()
  })
})
