// Two centres on one store: where agents are linked is shown, and a centre that is not heard is named wherever its agents' part of what is
// shown is missing. away_test.go starts them and cuts one off.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { api, base, browser, shot, sound, until, variable, visit } from './page.mjs'

after(() => browser.close())

let page, errors
before(async () => ({ page, errors } = await visit()))
after(() => assert.deepEqual(errors, []))

const between = (what) => fetch(`${variable('APPLICATION')}/${what}`, { method: 'POST' })
const away = async () => (await api('GET', '/v1/overview')).away.map((a) => a.center).join()
const open = async (path, text) => {
  await page.goto(base + path)
  await page.getByText(text).locator('visible=true').first().waitFor()
}
const note = () => page.getByRole('note')

// Pages whose figures are of all agents.
const all = { '/': '/s', '/agents': 'web-2', '/resources': 'feed-cache', '/resources/feed-cache': 'Sessions', '/resources/feed-cache/operations': 'GET', '/topology': 'app-of-web-1' }

test('says at which centre an agent is', async () => {
  await until('the figures', async () => (await api('GET', '/v1/topology?window=5m')).edges.length >= 2)
  await open('/agents', 'web-1')
  for (const n of [1, 2]) await page.getByRole('row').filter({ hasText: `web-${n}` }).getByText(`c${n}`, { exact: true }).waitFor()
  await page.getByRole('searchbox').fill('c2')
  await until('one agent', async () => (await page.getByRole('row').filter({ hasText: 'web-' }).count()) === 1)
  await sound(page, 'agents of two centres')
  await page.getByRole('link', { name: 'web-2' }).click()
  await page.waitForURL('**/agents/web-2')
  await page.getByRole('definition').filter({ hasText: /^c2$/ }).waitFor()
  for (const [path, text] of Object.entries(all)) {
    await open(path, text)
    assert.equal(await note().count(), 0, `${path} says that something is missing`)
  }
})

test('names a centre that is away', async () => {
  await between('cut')
  await until('the centre to be missed', async () => (await away()) === 'c2')
  for (const [path, text] of Object.entries(all)) {
    await open(path, text)
    await note().getByText(/^Centre c2 was last heard at \d\d:\d\d/).waitFor()
    await sound(page, `${path} without a centre`)
    await shot(page, `away${path.replaceAll('/', '-')}`)
  }
  await open('/', 'centre c2 is not heard here')
  await page.getByRole('button', { name: '中文' }).click()
  await page.getByText('这里收不到治理中心 c2 的消息').first().waitFor()
  await page.getByText('查看连接到它的代理').waitFor()
  assert.doesNotMatch(await page.getByRole('main').innerText(), /is not heard here|its agents are shown/)
  for (const path of Object.keys(all)) {
    await page.goto(base + path)
    await note().getByText(/^治理中心 c2 自 .*起失联/).waitFor()
    await sound(page, `${path} without a centre, Chinese`)
  }
  await shot(page, 'away-chinese')
})

test('says no more when it is back', async () => {
  await page.goto(base + '/agents')
  await note().waitFor()
  await between('mend')
  await until('the centre to be heard', async () => (await away()) === '')
  await note().waitFor({ state: 'detached' })
})
