// Random values that the form writes are read again as themselves, by our reader and by the package `yaml`. Each case has a seed, which
// the failure names; SEED=N runs that one alone.
import { expect, it } from 'vitest'
import { parse as reference } from 'yaml'
import { parse, set } from './document'
import type { Value } from './yaml'

/** Numbers in [0, 1): mulberry32. */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const pieces = ['a', 'b1', '0', '7', '-', ':', ': ', ' #', '#', "'", '"', '\\', ',', '[', ']', '{', '}', '*', '&', '!', '|', '>', '%', '@', '`', '~', ' ', '\n', '\t', '.', 'e', 'true', 'null', 'no', '0x1', '汉', '${env:X}', '/s', '?', '=', '<<']
const names = ['a', 'policy', 'slow-calls', 'label.team', 'x y', '7', 'true', 'a:b', '汉']

function made(next: () => number, deep: number): Value {
  const pick = <T>(of: T[]): T => of[Math.floor(next() * of.length)]!
  const kind = next() * (deep > 0 ? 6 : 4)
  if (kind < 2) return Array.from({ length: Math.floor(next() * 5) }, () => pick(pieces)).join('')
  if (kind < 3) return pick([0, 1, -1, 12.5, 100, 1e21, -0.001])
  if (kind < 4) return pick([true, false])
  const n = 1 + Math.floor(next() * 3)
  if (kind < 5) return Array.from({ length: n }, () => made(next, deep - 1))
  return Object.fromEntries(Array.from({ length: n }, () => [pick(names), made(next, deep - 1)]))
}

const only = process.env.SEED
it('what is written is read as itself', () => {
  for (const seed of only ? [Number(only)] : Array.from({ length: 1000 }, (_, i) => i + 1)) {
    const next = random(seed)
    let text = '# a document\nkind: redis\npolicy:\n  timeout: 1s # of a call\n'
    const want: Record<string, Value> = { kind: 'redis', policy: { timeout: '1s' } }
    for (const name of ['settings', 'labels', 'groups']) {
      const value = made(next, 3)
      if (value === '') continue // takes the field away
      text = set(text, [name], value)
      want[name] = value
    }
    const at = `SEED=${seed}\n${text}`
    expect(parse(text).error, at).toBeUndefined()
    expect(parse(text).value, at).toEqual(want)
    expect(reference(text), at).toEqual(want)
  }
}, 120_000)
