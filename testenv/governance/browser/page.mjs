// What every test of the pages needs: the distribution's Chromium, a person who is logged in, and a watch on what must never be:
// an error in the console, and anything that axe finds.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

function variable(name) {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set: these tests are run by browser_test.go`)
  return value
}

export const base = variable('CENTER')
const token = variable('CENTER_TOKEN')
/** Where the applications say how they are. */
const application = variable('APPLICATION')
/** A folder for screenshots; empty: none are made. */
const shots = process.env.SHOTS ?? ''
if (shots) mkdirSync(shots, { recursive: true })

// Chromium's own services are off: it would look up its maker's hosts.
export const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})

/** Asks the centre as a program does. */
export async function api(method, path, body) {
  const answer = await fetch(base + path, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) },
    body: body && JSON.stringify(body),
  })
  const text = await answer.text()
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`)
  return text && JSON.parse(text)
}

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

/** The path of a one-time link, for a person who may be new. */
export const link = async (user = 'admin', role = 'admin') => (await api('POST', '/v1/login-links', { user, roles: [{ role }] })).path

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

/** Fails when axe finds anything on the page, or the page is wider than the window. */
export async function sound(page, what) {
  await page.evaluate(() => Promise.all(document.getAnimations().map((a) => a.finished.catch(() => {}))))
  await page.evaluate(axe)
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }))
  assert.deepEqual(found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join('; ')}`), [], `what axe finds on ${what}`)
  const [wide, window_] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth])
  assert.ok(wide <= window_, `${what} is ${wide} pixels wide in a window of ${window_}`)
}

/** Keeps a picture, for a person to look at. */
export async function shot(page, name, options = {}) {
  if (shots) await page.screenshot({ path: join(shots, `${name}.png`), ...options })
}
