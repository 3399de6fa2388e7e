// The centre that pages are opened of, and the distribution's Chromium.
import assert from 'node:assert/strict'
import { chromium } from 'playwright-core'

/** A variable of the environment that the Go program sets which runs this. */
export function variable(name) {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set: a Go program runs this, and sets it`)
  return value
}

export const base = variable('CENTER')
export const token = variable('CENTER_TOKEN')

/** Starts Chromium. Its own services are off: it would look up its maker's hosts. */
export const launch = () => chromium.launch({
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

/** The path of a one-time link, for a person who may be new. */
export const link = async (user = 'admin', role = 'admin') => (await api('POST', '/v1/login-links', { user, roles: [{ role }] })).path
