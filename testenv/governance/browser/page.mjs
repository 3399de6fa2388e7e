// What every test of the pages needs: the distribution's Chromium, a person who is logged in, and a watch on what must never be:
// an error in the console, and anything that axe finds.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { api, base, launch, link, token, variable } from './centre.mjs'

export { api, base, link, variable }

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** Where the applications say how they are. */
const application = variable('APPLICATION')
/** A folder for screenshots; empty: none are made. */
const shots = process.env.SHOTS ?? ''
if (shots) mkdirSync(shots, { recursive: true })

export const browser = await launch()

/** How the applications are: who answers them, and how many calls and errors they had. */
export const applications = async () => (await fetch(application)).json()

/** Runs a command line as it was copied, with the `sluice` under test. */
export const run = (line) => new Promise((done, fail) => {
  execFile('sh', ['-c', line], { env: { ...process.env, SLUICE_AT: base, SLUICE_TOKEN: token, PATH: `${variable('SLUICE_BIN')}:${process.env.PATH}` } }, (error, out, err) => (error ? fail(new Error(`${line}: ${err}`)) : done(out)))
})

/** Waits until f returns something true. */
export async function until(what, f, ms = 20_000) {
  const end = Date.now() + ms
  for (let last; ; await new Promise((done) => setTimeout(done, 50))) {
    try {
      last = await f()
      if (last) return last
    } catch (e) {
      last = e
    }
    if (Date.now() > end) assert.fail(`waited ${ms} ms for ${what}: ${last instanceof Error ? last.message : JSON.stringify(last)}`)
  }
}

/** Opens a page for a person, whom a one-time link lets in. Options are those of Playwright's contexts. */
export async function visit(user = 'admin', { role = 'admin', ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, permissions: ['clipboard-read', 'clipboard-write'], ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(20_000) // beside other tests
  const errors = []
  page.on('pageerror', (e) => errors.push(String(e)))
  page.on('console', (m) => {
    // A question whose answer is "there is none" is logged by the browser as an error.
    if (m.type() === 'error' && !/\/draft$/.test(m.location().url)) errors.push(`${m.text()} (${m.location().url})`)
  })
  await page.goto(base + (await link(user, role)))
  await page.waitForURL((url) => !url.pathname.startsWith('/login'))
  return { page, context, errors }
}

/** The rules of axe that look at colours. */
export const byColour = ['color-contrast', 'link-in-text-block']

/** Fails when axe finds anything on the page, by all rules or by some, or the page is wider than the window. */
export async function sound(page, what, rules) {
  await page.evaluate(() => Promise.all(document.getAnimations().map((a) => a.finished.catch(() => {}))))
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe)
  const found = await page.evaluate((rules) => window.axe.run(document, { resultTypes: ['violations'], ...(rules && { runOnly: rules }) }), rules)
  assert.deepEqual(found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join('; ')}`), [], `what axe finds on ${what}`)
  const [wide, window_] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth])
  assert.ok(wide <= window_, `${what} is ${wide} pixels wide in a window of ${window_}`)
}

/** Keeps a picture, for a person to look at. */
export async function shot(page, name, options = {}) {
  if (shots) await page.screenshot({ path: join(shots, `${name}.png`), ...options })
}
