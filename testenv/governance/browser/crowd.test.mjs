// The pages over a centre with a crowd: a thousand agents, thousands of endpoints. crowd_long_test.go starts it and says in CROWD how many.
// What holds for each page, whatever the machine does besides:
//   - it shows its data soon, and no script fails;
//   - opening it, filtering, sorting and scrolling hold the page up for no longer than a task of `longest` of CPU time;
//   - it holds a bounded number of elements, however long its lists are.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { base, browser, shot, until, variable, visit } from './page.mjs'

const crowd = JSON.parse(variable('CROWD'))
const soon = 30_000 // ms to the first data, on a machine that does much else
const longest = 500 // ms of CPU time
const mostElements = 4000 // and twice that in the picture of the whole topology, which a person asked for
const figures = (what, of) => console.log(`measured: ${what} ${JSON.stringify(of)}`)

/** Waits in the page until `there` holds, and returns the ms since the navigation began. */
const shown = (page, there) => until(there, () => page.evaluate(`(() => { try { return (${there}) && performance.now() } catch { return 0 } })()`), 60_000)
const elements = (page) => page.evaluate(() => document.querySelectorAll('*').length)
const rowCount = (n) => `document.querySelector('main table[aria-rowcount]').getAttribute('aria-rowcount') === '${n + 1}' && document.querySelectorAll('main tbody tr:not(.gap)').length > 8`

/** The CPU time, in ms, of the longest task of the page's main thread while f runs, and what f returned. */
async function held(page, f) {
  await browser.startTracing(page, { categories: ['toplevel', '__metadata'] })
  let out, trace
  try {
    out = await f()
  } finally {
    trace = JSON.parse(await browser.stopTracing()).traceEvents
  }
  const mains = new Set(trace.filter((e) => e.name === 'thread_name' && e.args.name === 'CrRendererMain').map((e) => `${e.pid} ${e.tid}`))
  const tasks = trace.filter((e) => e.ph === 'X' && mains.has(`${e.pid} ${e.tid}`) && /RunTask$/.test(e.name))
  assert.ok(tasks.length > 10, `a trace of ${tasks.length} tasks`)
  return { out, task: Math.max(...tasks.map((e) => (e.tdur ?? e.dur) / 1000)) }
}

/** Does what a person does with a list: types a filter and takes it back, orders by each column, scrolls to the end and back. */
async function used(page) {
  const search = page.locator('main input[type=search]').first()
  if (await search.count()) {
    await search.pressSequentially('yf 1', { delay: 30 })
    await search.fill('')
  }
  for (const head of await page.locator('main thead th button').all()) {
    if (await head.isVisible()) await head.click()
  }
  await page.evaluate(async () => {
    const frame = () => new Promise((done) => requestAnimationFrame(done))
    const high = document.documentElement.scrollHeight
    for (let i = 0; i <= 20; i++) {
      scrollTo(0, (high * i) / 20)
      await frame()
    }
    scrollTo(0, 0)
    await frame()
  })
}

const pages = {
  overview: ['/', `document.querySelector('.lead .answer') && document.querySelectorAll('.figures dd').length > 4`],
  topology: ['/topology', `document.querySelectorAll('svg a.node').length > 20`],
  'topology-whole': ['/topology?all=1', `document.querySelectorAll('svg a.node').length > 20`],
  'topology-table': ['/topology?view=table', `document.querySelectorAll('main tbody tr:not(.gap)').length > 8`],
  catalogue: ['/resources', rowCount(crowd.resources)],
  detail: ['/resources/feed-large', `document.querySelectorAll('main canvas').length > 1 && document.querySelector('.figures dd')`],
  endpoints: ['/resources/feed-large/endpoints', rowCount(crowd.large)],
  'detail-rules': ['/resources/feed-large/rules', `document.querySelectorAll('main table, main pre').length > 0`],
  traffic: ['/traffic', `document.querySelectorAll('main a, main option').length > 8`],
  'traffic-of-one': ['/traffic/feed-large', `document.querySelector('main input[type=range]')`],
  commands: ['/commands', `document.querySelector('section .chip').innerText === '${crowd.commands}' && document.querySelectorAll('main li').length > 8`],
  audit: ['/commands/audit', `document.querySelectorAll('main tbody tr, main li').length > 8`],
  rules: ['/rules', rowCount(crowd.resources)],
  editor: ['/rules/feed-large', `document.querySelector('textarea').value.length > 1000`],
  plans: ['/plans', `document.querySelector('main h1')`],
  releases: ['/releases', `document.querySelector('main h1')`],
  agents: ['/agents', rowCount(crowd.agents)],
  agent: ['/agents/agent-0010', `document.querySelectorAll('main tbody tr').length > 4`],
  access: ['/access', `document.querySelectorAll('main tbody tr').length > 0`],
}

let context
before(async () => {
  ;({ context } = await visit())
})
after(() => browser.close())

for (const [name, [path, there]] of Object.entries(pages)) {
  test(`${name} is there soon, and stays at hand`, async () => {
    const page = await context.newPage()
    page.setDefaultTimeout(20_000)
    const failed = []
    page.on('pageerror', (e) => failed.push(String(e)))
    try {
      const opened = await held(page, async () => {
        await page.goto(base + path)
        return shown(page, there)
      })
      await until('the rest of the page', async () => (await page.locator('.loading').count()) === 0)
      const before = await elements(page)
      await shot(page, `crowd-${name}`)
      const use = await held(page, () => used(page))
      const after = await elements(page)
      figures(name, { ms: Math.round(opened.out), opening: Math.round(opened.task), using: Math.round(use.task), elements: Math.max(before, after) })
      assert.ok(opened.out < soon, `${path} showed its data after ${opened.out} ms`)
      assert.ok(opened.task < longest, `a task of ${opened.task} ms while ${path} was opened`)
      assert.ok(use.task < longest, `a task of ${use.task} ms while ${path} was used`)
      assert.ok(Math.max(before, after) < mostElements * (name === 'topology-whole' ? 2 : 1), `${path} has ${before} elements, and ${after} when it was used`)
      assert.deepEqual(failed, [])
    } finally {
      await page.close()
    }
  })
}
