// Whatever changes something shows its command line: no request that changes something stands in a component without one.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { dropDraft, makePlan, publish, removed, saveDraft } from './cli'

const root = join(import.meta.dirname, '..')

// What a person does to their own browser session has no other place to be done.
const own = /^\/v1\/log(in|out)$/

/** The requests of a source that change something: method and path as they are written. */
function changes(text: string): string[] {
  return [...text.matchAll(/\b(?:call|exchange)(?:<[^(]*>)?\('(POST|PUT|PATCH|DELETE)', ([^\n]*)/g)].map((m) => `${m[1]} ${m[2]}`).filter((c) => !own.test(/'([^']*)'/.exec(c)?.[1] ?? ''))
}

it('each component that changes something shows lines', () => {
  let seen = 0
  for (const file of readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.svelte'))) {
    const text = readFileSync(join(root, file), 'utf8')
    const found = changes(text)
    seen += found.length
    // Of a question and of what a notice takes back the line is a must by type.
    const rest = text.split('\n').filter((l) => !/<Ask .*\bcli=/.test(l) && !/\bline: .*\bact: /.test(l)).join('\n')
    if (changes(rest).length) expect(rest, `${file} has no line for ${changes(rest).join('; ')}`).toMatch(/<Cli /)
  }
  expect(seen).toBeGreaterThan(20) // the pages have that many; with none the pattern above is wrong
})

it('documents are published as the button says', () => {
  expect(publish('a', '')).toBe('sluice apply a -f a.yaml')
  expect(publish('a', "it's late", '', { errors: '1%' })).toBe(`sluice apply a -f a.yaml --why 'it'\\''s late'`)
  expect(publish('a', 'why', ' web-1, web-2 for 5m \n\n100%', { errors: '1%', p99: '150%', refusals: 2 })).toBe("sluice apply a -f a.yaml --why why --stage 'web-1, web-2 for 5m' --stage 100% --errors 1% --p99 150% --refusals 2")
  expect(publish('a', 'why', '', {}, 7)).toBe('sluice apply a -f a.yaml --revision 7 --why why')
  expect(publish('a', '', '100%', {}, 0)).toBe('sluice apply a -f a.yaml --revision 0 --stage 100%')
  expect(saveDraft('a', 7)).toBe('sluice apply a -f a.yaml --draft --revision 7')
  expect(removed('token', 't-1', 'left us')).toBe("sluice center token remove t-1 --why 'left us'")
  expect(removed('join', 'j-1')).toBe('sluice center join remove j-1')
  expect(saveDraft('a b')).toBe("sluice apply 'a b' -f 'a b.yaml' --draft")
  expect(dropDraft('a')).toBe('sluice draft drop a')
})

it('plans are kept, and run', () => {
  expect(makePlan({ name: "ann's" }, false)).toBe(`printf '%s' '{"name":"ann'\\''s"}' | sluice plan make -f -`)
  expect(makePlan({}, true)).toMatch(/ \| sluice plan make -f - --run$/)
})
