// How fast the pages are on a slow laptop: run by testenv/bench, which says what the figures mean. Reads an order from the
// environment (ORDER, JSON) and writes what it measured as JSON to its output.
//
// The profile is that of a laptop whose processor is `cpu` times slower than this machine's, on a network of `mbit` Mbit/s and
// `rtt` ms: both are made by Chromium itself (Emulation.setCPUThrottlingRate, Network.emulateNetworkConditions).
import assert from 'node:assert/strict'
import { base, launch, link, variable } from './centre.mjs'

const order = JSON.parse(variable('ORDER')) // cpu, mbit, rtt, runs, updates, resources
const browser = await launch()

/** What is on a page once it shows its data. */
const shown = {
  '/': () => document.querySelector('.lead .answer') && document.querySelectorAll('.figures dd').length > 4,
  '/resources': (n) => document.querySelector('table')?.getAttribute('aria-rowcount') === String(n + 1) && document.querySelectorAll('tbody tr.link').length > 10,
}

/** Logs in once, as a person does, and keeps the session's cookie. */
async function session() {
  const context = await browser.newContext()
  const page = await context.newPage()
  await page.goto(base + (await link()))
  await page.waitForURL((url) => !url.pathname.startsWith('/login'))
  const state = await context.storageState({ indexedDB: false })
  await context.close()
  return state
}

/** A page with nothing in its caches, on the slow network and a processor that is `cpu` times slower. */
async function open(storageState, viewport, cpu) {
  const context = await browser.newContext({ viewport, storageState })
  const page = await context.newPage()
  const errors = []
  page.on('pageerror', (e) => errors.push(String(e)))
  const cdp = await context.newCDPSession(page)
  await cdp.send('Network.enable')
  await cdp.send('Network.emulateNetworkConditions', { offline: false, latency: order.rtt, downloadThroughput: order.mbit * 125_000, uploadThroughput: order.mbit * 125_000 })
  await cdp.send('Emulation.setCPUThrottlingRate', { rate: cpu })
  return { context, page, errors }
}

/**
 * ms from the start of the navigation to the end of the first frame that has the page's data: what `shown` looks for is looked
 * for after each change of the document, and the clock is read when the main thread has painted the frame after it.
 */
async function view(path, storageState) {
  const { context, page, errors } = await open(storageState, { width: 1360, height: 860 }, order.cpu)
  let measured
  const done = new Promise((resolve) => (measured = resolve))
  await page.exposeFunction('measured', measured)
  await page.addInitScript(`(() => {
    const there = ${shown[path]}
    const look = () => {
      if (!there(${order.resources})) return
      watch.disconnect()
      requestAnimationFrame(() => {
        const after = new MessageChannel()
        after.port1.onmessage = () => measured(performance.now())
        after.port2.postMessage(0)
      })
    }
    const watch = new MutationObserver(look)
    watch.observe(document, { childList: true, subtree: true, attributes: true })
  })()`)
  await page.goto(base + path, { waitUntil: 'commit' })
  const ms = await within(60_000, async () => `${path} to show its data; it shows ${await page.locator('body').innerText()}; errors: ${errors}`, done)
  assert.deepEqual(errors, [], path)
  await context.close()
  return ms
}

/**
 * CPU time, in ms, of the page's main thread for each update: the events that bring new numbers of all resources, once a second. From a trace: all
 * tasks of the main thread from the one in which the page hears the event until it hears the next. That is reading the
 * event, the script, the changes of the document, style, layout and painting, and whatever else the page does in that second.
 * Events that change nothing that is in the page, and so cause no layout, are left out: agents report every two seconds. CPU
 * time is what passes on a machine that does nothing else; Chromium slows a processor down by turning in circles, which counts.
 */
async function updates(storageState, height, cpu) {
  const { context, page, errors } = await open(storageState, { width: 1360, height }, cpu)
  await page.addInitScript(() => {
    const add = EventSource.prototype.addEventListener
    EventSource.prototype.addEventListener = function (type, listener, ...rest) {
      if (type !== 'live') return add.call(this, type, listener, ...rest)
      add.call(this, type, (e) => {
        performance.mark('live')
        listener(e)
      }, ...rest)
    }
  })
  await page.goto(base + '/resources')
  await page.waitForFunction(shown['/resources'], order.resources, { timeout: 60_000 })
  await page.waitForTimeout(2000) // what comes after the first view is over
  const rows = await page.locator('tbody tr.link').count()
  const before = await page.locator('tbody').innerText()
  await browser.startTracing(page, { categories: ['toplevel', 'devtools.timeline', 'blink.user_timing'] })
  await page.waitForTimeout(order.updates * 1000 + 500)
  const trace = JSON.parse(await browser.stopTracing()).traceEvents
  const after = await page.locator('tbody').innerText()
  assert.notEqual(after, before, 'no number on the page changed')
  assert.deepEqual(errors, [])
  await context.close()
  return { rows, cpu, ms: costs(trace) }
}

function costs(trace) {
  const marks = trace.filter((e) => e.name === 'live' && e.cat === 'blink.user_timing')
  assert.ok(marks.length >= order.updates / 2, `${marks.length} updates came in ${order.updates} s`)
  const { pid, tid } = marks[0]
  const main = trace.filter((e) => e.pid === pid && e.tid === tid && e.ph === 'X')
  const tasks = main.filter((e) => e.name === 'ThreadControllerImpl::RunTask' || e.name === 'RunTask').sort((a, b) => a.ts - b.ts)
  const heard = marks.map((mark) => tasks.findLast((t) => t.ts <= mark.ts)?.ts ?? mark.ts)
  const ms = []
  for (let i = 1; i + 1 < heard.length; i++) { // the trace may begin within the first
    const during = (e) => e.ts >= heard[i] && e.ts < heard[i + 1]
    if (main.some((e) => e.name === 'Layout' && during(e))) ms.push(tasks.filter(during).reduce((sum, t) => sum + (t.tdur ?? t.dur), 0) / 1000)
  }
  assert.ok(ms.length >= (marks.length - 2) / 4, `${ms.length} of ${marks.length} updates changed something`)
  return ms
}

async function within(ms, what, promise) {
  let timer
  const late = new Promise((_, fail) => (timer = setTimeout(async () => fail(new Error(`waited ${ms} ms for ${await what()}`)), ms)))
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

const state = await session()
const out = { overview: [], catalogue: [], updates: [] }
for (let i = 0; i < order.runs; i++) {
  out.overview.push(await view('/', state))
  out.catalogue.push(await view('/resources', state))
}
for (const cpu of new Set([1, order.cpu])) {
  for (const height of [860, 160 + 46 * order.resources]) out.updates.push(await updates(state, height, cpu))
}
await browser.close()
console.log(JSON.stringify(out))
