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

/** What pages sent that changes something: { method, path, body, shown }. */
export const sends = []

// The command line of each action, by method and path. $1 and on are the parts of the path.
const actions = [
  ['POST /v1/commands', /^sluice (switch|degrade|limit|fault|mock|drain) /],
  ['DELETE /v1/commands/(.+)', 'sluice undo $1'],
  ['POST /v1/plans', 'printf .* \\| sluice plan make -f -'],
  ['POST /v1/plans/(.+)/run', '(sluice plan run $1|printf .* \\| sluice plan make -f - --run$)'],
  ['POST /v1/plans/(.+)/(pause|continue|undo)', 'sluice plan $2 $1'],
  ['POST /v1/releases/(.+)/(pause|continue|back)', 'sluice release $2 $1'],
  ['PUT /v1/resources/([^/]+)', 'sluice apply $1 -f $1.yaml --revision \\d+(?!.* --(stage|draft))'],
  ['PUT /v1/resources/([^/]+)/draft', 'sluice apply $1 -f $1.yaml .*--(stage|draft)'],
  ['DELETE /v1/resources/([^/]+)/draft', '.*sluice draft drop $1'],
  ['POST /v1/resources/([^/]+)/publish', 'sluice apply $1 -f $1.yaml --revision \\d+ .*--stage '],
  ['POST /v1/resources/([^/]+)/revert', 'sluice revert $1 '],
  ['POST /v1/resources/([^/]+)/endpoints', 'sluice endpoint add $1 '],
  ['DELETE /v1/resources/([^/]+)/endpoints.*', 'sluice endpoint remove $1 '],
  ['PUT /v1/users/(.+)', 'sluice center user set $1 '],
  ['DELETE /v1/users/(.+)', 'sluice center user remove $1'],
  ['POST /v1/tokens', 'sluice center token '],
  ['DELETE /v1/tokens/(.+)', 'sluice center token remove $1'],
  ['POST /v1/joins', 'sluice center join'],
  ['DELETE /v1/joins/(.+)', 'sluice center join remove $1'],
  ['PUT /v1/secrets/(.+)', 'sluice center secret set $1 '],
  ['DELETE /v1/secrets/(.+)', 'sluice center secret remove $1'],
]

/** Fails unless each change that was sent had its line on the page, and each kind of change was made. */
export function lined() {
  const made = new Set()
  const wrong = []
  for (const { method, path, shown } of sends) {
    const at = decodeURIComponent(path.replace(/\?.*/, ''))
    if (/dry-run=true/.test(path) || /^\/v1\/log(in|out)$/.test(at)) continue
    const found = actions.map(([what, line]) => [what, line, new RegExp(`^${what}$`).exec(`${method} ${at}`)]).find(([, , m]) => m)
    if (!found) {
      wrong.push(`${method} ${at} is an action that this list does not have`)
      continue
    }
    const [what, line, m] = found
    made.add(what)
    const want = line instanceof RegExp ? line : new RegExp('^' + line.replace(/\$(\d)/g, (_, i) => m[i].replace(/[.*+?^${}()|[\]\\]/g, '\\$&')))
    if (!shown.some((s) => want.test(s))) wrong.push(`${method} ${at}: no line ${want} among ${JSON.stringify(shown)}`)
  }
  assert.deepEqual(wrong, [])
  assert.deepEqual(actions.map(([what]) => what).filter((what) => !made.has(what)), [], 'actions that nobody did')
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
  // Each request that changes something is kept with the command lines that are shown as it is sent.
  await context.exposeBinding('sluiceSends', (_, sent) => void sends.push(sent))
  await context.addInitScript(() => {
    const send = (window.unseenFetch = window.fetch.bind(window)) // for what a test sends, and no button
    window.fetch = (path, options) => {
      const shown = [...document.querySelectorAll('.cli code')].filter((c) => c.checkVisibility()).map((c) => c.innerText.replace(/^\$/, ''))
      const method = options?.method ?? 'GET'
      if (method !== 'GET') window.sluiceSends({ method, path: String(path), body: options?.body ?? '', shown })
      return send(path, options)
    }
  })
  await page.goto(base + (await link(user, role)))
  await page.waitForURL((url) => !url.pathname.startsWith('/login'))
  return { page, context, errors }
}

/** Hides a page as a tab that is left is hidden, or shows it again. Chromium without a screen takes every page for seen. */
export const hide = (page, hidden = true) => page.evaluate((hidden) => {
  if (hidden === document.hidden) throw new Error(`the page is ${hidden ? 'hidden' : 'seen'} already`)
  if (hidden) Object.defineProperty(document, 'hidden', { value: true, configurable: true })
  else delete document.hidden
  document.dispatchEvent(new Event('visibilitychange'))
}, hidden)

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
