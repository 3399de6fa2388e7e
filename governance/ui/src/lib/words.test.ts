import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { common } from '../words/common'
import { forms } from '../words/forms'
import { pages } from '../words/pages'
import { says } from '../words/says'
import { did } from '../words/did'
import { done, fill, known, learnChinese, text, type Key } from './words'

const words = { ...common, ...pages, ...forms, ...says }

const places = (s: string) => [...s.matchAll(/\{(\w+)/g)].map((m) => m[1]!).filter((v, i, all) => all.indexOf(v) === i).sort()

function sources(dir: string): string[] {
  return readdirSync(dir).flatMap((f) => (statSync(join(dir, f)).isDirectory() ? sources(join(dir, f)) : /\.(svelte|ts)$/.test(f) && !f.endsWith('.test.ts') && !dir.endsWith('words') ? [join(dir, f)] : []))
}

describe('the dictionary', () => {
  it('has each key once', () => {
    expect(Object.keys(words)).toHaveLength(Object.keys(common).length + Object.keys(pages).length + Object.keys(forms).length + Object.keys(says).length)
  })
  for (const [key, [en, zh]] of Object.entries(words)) {
    it(`${key} is there in both languages, with the same places`, () => {
      expect(en.trim()).not.toBe('')
      expect(zh.trim()).not.toBe('')
      for (const p of places(zh)) expect(places(en)).toContain(p)
      for (const p of places(en)) if (!en.includes(`{${p}|`) || en.includes(`{${p}}`)) expect(places(zh)).toContain(p)
      // Latin words alone are names; a text of several words is not translated yet.
      if (!/[\u4e00-\u9fff]/.test(zh)) expect(en.split(' ').length).toBeLessThan(3)
    })
  }
  it('has no key that nothing uses', () => {
    const text = sources(join(__dirname, '..')).map((f) => readFileSync(f, 'utf8')).join('\n')
    const built = ['live.', 'spent.', 'theme.', 'term.', 'source.', 'agentstate.', 'plan.', 'release.', 'role.', 'lack.', 'says.', 'error.', 'check.']
    expect(Object.keys(words).filter((k) => !text.includes(`'${k}'`) && !built.some((b) => k.startsWith(b)))).toEqual([])
  })
})

describe('the dictionary of one language', () => {
  it('has no Chinese before that is asked for, and nothing that English does not need', async () => {
    for (const [key, [en]] of Object.entries({ ...common, ...pages, ...forms })) expect(text(key as Key, true)).toBe(fill(en))
    for (const key of Object.keys(says)) expect(known(key)).toBe(false)
    await learnChinese()
    for (const [key, [en, zh]] of Object.entries(words)) {
      expect(text(key as Key, true)).toBe(fill(zh))
      if (!(key in says)) expect(text(key as Key, false)).toBe(fill(en))
    }
    expect(known('says.nothing')).toBe(false)
    expect(done('publish')).toBe(did.publish)
  })
})

describe('fill', () => {
  it('puts numbers and names into their places', () => {
    expect(fill('{n} {n|agent|agents}', { n: 1 })).toBe('1 agent')
    expect(fill('{n} {n|agent|agents}', { n: 0 })).toBe('0 agents')
    expect(fill('{name} to v{v}', { name: 'a{v}', v: 3 })).toBe('a{v} to v3')
    expect(fill('{missing}')).toBe('{missing}')
  })
})
