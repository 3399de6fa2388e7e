// The login page's button of an identity provider, which is another site. oidc_test.go starts both and this.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { base, browser } from './page.mjs'

after(() => browser.close())

test('the button leads to the provider, and back in', async () => {
  const context = await browser.newContext()
  const page = await context.newPage()
  page.setDefaultTimeout(20_000)
  await page.goto(base + '/login')
  await page.getByRole('link', { name: 'The Provider' }).click()
  await page.getByRole('button', { name: 'Sign in as ann' }).click()
  await page.getByText('Is anything wrong?').waitFor()
  assert.equal(page.url(), base + '/', 'the code stays in the address')
  const me = await page.evaluate(async () => (await fetch('/v1/me')).json())
  assert.equal(me.name, 'ann@example.com')
  assert.deepEqual([me.rights.command, me.rights.publish, me.rights.admin], [true, false, false], 'what an operator may do')
  assert.equal(await page.evaluate(() => document.cookie), '', 'scripts see the session')
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.waitForURL('**/login')
  await context.close()
})

test('whom the provider does not let in is not logged in', async () => {
  const context = await browser.newContext()
  const page = await context.newPage()
  page.setDefaultTimeout(20_000)
  await page.goto(base + '/login')
  await page.getByRole('link', { name: 'The Provider' }).click()
  await page.getByRole('button', { name: 'Deny' }).click()
  await page.getByText('access_denied').waitFor()
  await page.goto(base + '/')
  await page.waitForURL('**/login**')
  await context.close()
})
