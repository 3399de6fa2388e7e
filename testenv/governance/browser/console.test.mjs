// Commands of Motan's console, as agents find them in a registry: the pages show them where they show the centre's own, say where they
// are, and offer no way back, since they can be taken back only there. console_test.go writes them and runs this.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { api, base, browser, shot, sound, visit } from './page.mjs'

after(() => browser.close())

let page, errors, context, all
before(async () => {
  ;({ page, errors, context } = await visit())
  all = (await api('GET', '/v1/commands')).commands
  assert.deepEqual(all.map((c) => c.type).sort(), ['degrade', 'switcher'], 'the commands that the test is about')
})
after(() => assert.deepEqual(errors, []))

const texts = {
  English: { list: 'Commands in force', kinds: ['degrade', 'switcher'], until: 'until gone there', undo: 'Undo', not: 'not in force' },
  中文: { list: '生效中的指令', kinds: ['降级', '开关'], until: '直到在来源处移除', undo: '撤销', not: '未生效' },
}

for (const [language, text] of Object.entries(texts)) {
  test(`shows where they are, in ${language}`, async () => {
    const other = page.getByRole('button', { name: language, exact: true })
    if (await other.count()) await other.click()
    for (const path of ['/commands', '/', '/resources/user-rpc']) {
      await page.goto(base + path)
      const list = page.getByRole('region', { name: text.list })
      for (const [i, type] of ['degrade', 'switcher'].entries()) {
        const c = all.find((c) => c.type === type)
        const item = list.getByRole('listitem').filter({ hasText: text.kinds[i] })
        await item.getByText(c.origin).waitFor()
        await item.getByText(text.until).waitFor()
        await item.getByRole('link', { name: 'user-rpc' }).waitFor()
        assert.equal(await item.getByText(text.not, { exact: true }).count(), c.problem ? 1 : 0, `${path} says whether ${type} is in force`)
      }
      await list.getByText('too slow').waitFor()
      assert.equal(await list.getByRole('button', { name: text.undo }).count(), 0, `${path} offers to undo what is not the centre's`)
      await sound(page, `${path} in ${language}`)
      await shot(page, `console${path.replaceAll('/', '-')}-${language === 'English' ? 'en' : 'zh'}`, { fullPage: true })
    }
  })
}

test('fits a phone', async () => {
  await page.setViewportSize({ width: 390, height: 844 })
  await page.goto(base + '/commands')
  await page.getByText(all[0].origin).first().waitFor()
  await sound(page, 'commands of the console on a phone')
  await shot(page, 'console-phone', { fullPage: true })
  await context.close()
})
