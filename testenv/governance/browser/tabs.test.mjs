// Tabs of one person over plain HTTP/1.1, by which a browser has six connections to a centre: a tab that is seen holds one for its
// stream of events, and a tab that is hidden holds none, so that there may be any number of them.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { api, base, browser, hide, shot, until, visit } from './page.mjs'

after(() => browser.close())

const cache = '/resources/feed-cache'
const paths = ['/', '/rules', cache, `${cache}/endpoints`, `${cache}/rules`, '/rules/feed-cache', '/traffic/feed-cache', '/resources']
const live = (page) => page.getByText('Live', { exact: true }).waitFor()

let page, context, errors
before(async () => {
  ;({ page, context, errors } = await visit())
})
after(() => assert.deepEqual(errors, []))

test('the eighth tab shows its data, and the first when it is seen again', async () => {
  const tabs = [page]
  await live(page)
  for (const path of paths.slice(1)) {
    await hide(tabs.at(-1)) // as the tab that is opened next does
    const tab = await context.newPage()
    tab.setDefaultTimeout(20_000)
    tabs.push(tab)
    await tab.goto(base + path)
    await live(tab)
    await tab.locator('main').getByText('feed-cache').filter({ visible: true }).first().waitFor()
  }
  assert.equal(tabs.length, 8)
  await shot(tabs.at(-1), 'eighth-tab')
  for (const tab of tabs.slice(0, -1)) await tab.getByText('Paused while hidden').waitFor()
  await hide(tabs.at(-1))
  await hide(page, false)
  await live(page)
  for (const tab of tabs.slice(1)) await tab.close()
})

test('a tab that was opened behind others is quiet, and current when it is seen', async () => {
  const tab = await context.newPage()
  tab.setDefaultTimeout(20_000)
  await tab.addInitScript(() => Object.defineProperty(document, 'hidden', { value: true, configurable: true }))
  const asked = []
  tab.on('request', (r) => asked.push(new URL(r.url()).pathname))
  await tab.goto(base + '/commands')
  await tab.locator('main h1').waitFor()
  await until('the data of the tab', async () => (await tab.locator('main .loading').count()) === 0)
  assert.ok(!asked.includes('/v1/events'), 'a hidden tab holds a stream of events')

  const before = asked.length
  const given = await api('POST', '/v1/commands', { type: 'limit', resource: 'feed-cache', rate: '1000000/s', for: '5m', why: 'while nobody looked' })
  await page.goto(base + '/commands') // the tab in front
  await page.getByText('while nobody looked').first().waitFor()
  assert.equal(await tab.getByText('while nobody looked').count(), 0)
  assert.deepEqual(asked.slice(before), [], 'what a hidden tab asks for')

  await hide(tab, false)
  await live(tab)
  await tab.getByText('while nobody looked').first().waitFor()
  await api('DELETE', `/v1/commands/${given.id}`)
  await tab.close()
})
