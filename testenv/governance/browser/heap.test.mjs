// Pages that stay open over a centre with a crowd, while commands come and go: what they hold of memory is bounded, and one that is hidden
// is quiet until it is seen again. thousand_long_test.go starts this.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { api, base, browser, hide, shot, until, visit } from './page.mjs'

after(() => browser.close())

const MB = 2 ** 20
const early = 30, late = 150 // s after all pages are there
// What has to be there, and how often, when a page shows its data.
const paths = {
  overview: ['/', '.figures dd', 5],
  topology: ['/topology', 'svg a.node', 20],
  catalogue: ['/resources', 'main tbody tr:not(.gap)', 9],
  agents: ['/agents', 'main tbody tr:not(.gap)', 9],
}
const pause = (s) => new Promise((done) => setTimeout(done, 1000 * s))
const figures = (what, of) => console.log(`measured: ${what} ${JSON.stringify(of)}`)
const live = (page) => page.getByText('Live', { exact: true }).waitFor()

/** Opens a page as a person of its own: a browser has six connections to a centre, and its own for each context. */
async function opened(name, [path, what, least]) {
  const { page, context, errors } = await visit()
  await page.addInitScript(() => {
    window.heard = 0
    const add = EventSource.prototype.addEventListener
    EventSource.prototype.addEventListener = function (type, listener, ...rest) {
      add.call(this, type, (e) => {
        window.heard++
        listener(e)
      }, ...rest)
    }
  })
  const requests = []
  page.on('request', (r) => requests.push(r.url().slice(base.length)))
  await page.goto(base + path)
  await live(page)
  await until(`the data of ${name}`, async () => (await page.locator(what).count()) >= least && (await page.locator('main .loading').count()) === 0, 60_000)
  return { name, page, errors, requests, cdp: await context.newCDPSession(page) }
}

/** What a page holds after its garbage is collected: MB of its scripts' heap, nodes of its documents, and listeners. */
async function holds({ page, cdp }) {
  for (let i = 0; i < 2; i++) await cdp.send('HeapProfiler.collectGarbage') // what the first finalizes goes with the second
  const { usedSize } = await cdp.send('Runtime.getHeapUsage')
  const { nodes, jsEventListeners } = await cdp.send('Memory.getDOMCounters')
  return { MB: Math.round((usedSize / MB) * 100) / 100, nodes, listeners: jsEventListeners, heard: await page.evaluate(() => window.heard) }
}

/** Gives commands and takes them back until the signal ends it: lists, audit and topology change each second. */
async function changes(signal) {
  let n = 0
  for (; !signal.aborted; n++) {
    const { id } = await api('POST', '/v1/commands', { type: 'limit', resource: 'feed-large', rate: '1000000/s', for: '1h', why: `change ${n}` })
    await pause(0.5)
    await api('DELETE', `/v1/commands/${id}`)
    await pause(0.5)
  }
  return n
}

test('pages that stay open hold no more and more, and hidden ones are quiet', async () => {
  const pages = []
  for (const [name, path] of Object.entries(paths)) pages.push(await opened(name, path))
  const end = new AbortController()
  const made = changes(end.signal)
  made.catch(() => {}) // it is awaited below
  try {
    await pause(early)
    const first = []
    for (const p of pages) first.push(await holds(p))
    await pause(late - early)
    for (const [i, p] of pages.entries()) {
      const [was, is] = [first[i], await holds(p)]
      figures(p.name, { [`after ${early} s`]: was, [`after ${late} s`]: is, requests: p.requests.length })
      assert.ok(is.heard > was.heard + 60, `${p.name} heard of ${is.heard - was.heard} events in ${late - early} s: it is not live`)
      assert.ok(is.MB < 1.25 * was.MB + 4, `the heap of ${p.name} grew from ${was.MB} MB to ${is.MB} MB`)
      assert.ok(is.nodes < 1.25 * was.nodes + 2000, `the nodes of ${p.name} grew from ${was.nodes} to ${is.nodes}`)
      assert.ok(is.listeners < 1.25 * was.listeners + 200, `the listeners of ${p.name} grew from ${was.listeners} to ${is.listeners}`)
    }

    for (const p of pages) {
      await hide(p.page)
      p.hidden = { requests: p.requests.length, heard: await p.page.evaluate(() => window.heard) }
    }
    await pause(20) // ten times what agents need to report, and of changes as many as seconds
    for (const p of pages) {
      await p.page.getByText('Paused while hidden').waitFor()
      assert.deepEqual(p.requests.slice(p.hidden.requests), [], `what ${p.name} asks for while it is hidden`)
      assert.equal(await p.page.evaluate(() => window.heard), p.hidden.heard, `events that ${p.name} hears while it is hidden`)
      await hide(p.page, false)
      await live(p.page)
      await until(`${p.name} to read anew, and to hear of changes`, async () =>
        p.requests.slice(p.hidden.requests).some((r) => r.startsWith('/v1/') && r !== '/v1/events') && (await p.page.evaluate(() => window.heard)) > p.hidden.heard + 3)
      await shot(p.page, `heap-${p.name}`)
      assert.deepEqual(p.errors, [], p.name)
    }
  } finally {
    end.abort()
  }
  const n = await made
  figures('changes', n)
  assert.ok(n > 30, `${n} changes were made`)
})
