import { describe, expect, it } from 'vitest'
import { parse as reference } from 'yaml'
import { get, parse, plain, set } from './document'

const whole = `# The feed's cache.
kind: redis
listen: 127.0.0.1:6380      # or unix:/run/sluice/feed-cache.sock
labels: { team: feed, tier: "cache" }
groups:
  yf: { idc: yf, weight: 100, endpoints: ["10.0.0.1:6379", { address: "10.0.0.2:6379", role: replica, weight: 50 }] }
  tc:
    idc: tc
    weight: 0   # cold
    endpoints:
    - 10.1.0.1:6379
    - address: 10.1.0.2:6379
      role: replica
policy:
  timeout: 1s
  failover: { tries: 2, budget: 15% }
  breaker:
    errors: 50%
    # Slow calls do not count yet.
    slow-calls: 'it''s off'
  limits:
    - { rate: 5000/s, burst: 500 }
    - match: { op: "KEYS" }
      rate: 0/s
    - match:
        caller: batch-*
      mode: observe
      rate: 100/s
  trace: {}
settings:
  note: |
    two
    lines
  folded: >-
    one
    line
  many: [
    a, b,   # with a comment
    "c: d",
  ]
  number: -1.5
  nothing:
  yes-text: "true"
`

describe('parse', () => {
  it('reads what a full reader reads', () => {
    const mine = parse(whole)
    expect(mine.error).toBeUndefined()
    expect(mine.value).toEqual(reference(whole))
  })
  for (const text of ['', 'a: 1', '---\na: b\n', 'a:\n- 1\n- - 2\n  - 3\nb: 2', 'a: "x # y" # z', "'k k': v", 'url: http://h:1/x', 'a: {b: [1, {c: d}], e: }', 'a:\n\n  # c\n\n  b: 1\n', '"a: b": 1', 'a: -1\nb: -x', 'a: 10.0.0.1:6379', '- a\n'.repeat(0)]) {
    it(`reads ${JSON.stringify(text)}`, () => expect(parse(text).value).toEqual(reference(text) ?? {}))
  }
  for (const text of ['a: &x 1', 'a: !t 1', 'a: [1', 'a: "b', ' a: 1\nb: 2', 'a: 1\n b: 2', 'a: 1\na: 2', '\ta: 1', 'a', '? a\n: b', 'a: b: c', '- a']) {
    it(`steps back from ${JSON.stringify(text)}`, () => expect(parse(text).error).toBeDefined())
  }
})

describe('set', () => {
  const paths: [string[], unknown][] = [
    [['policy', 'timeout'], '250ms'], [['policy', 'breaker', 'errors'], '60%'], [['policy', 'breaker', 'open'], '9s'],
    [['policy', 'failover', 'tries'], 4], [['policy', 'backup', 'after'], 'p95'], [['groups', 'tc', 'weight'], 100],
    [['groups', 'yf', 'weight'], 0], [['groups', 'tc', 'note'], 'a: b'], [['policy', 'trace', 'sample'], '1%'],
    [['top'], 'x'], [['settings', 'nothing', 'now'], true], [['settings', 'note'], 'short'],
    [['policy', 'limits'], [{ rate: '1/s', match: { op: 'GET,SET' } }, { rate: '2/s' }]],
    [['labels', 'glob'], '*,a'], [['policy', 'limits', '1', 'rate'], '7/s'],
  ]
  for (const [path, value] of paths) {
    it(`${path.join('.')} = ${JSON.stringify(value)}`, () => {
      const p = path.map((x) => (/^\d+$/.test(x) ? Number(x) : x))
      const changed = set(whole, p, value)
      const want = reference(whole)
      let at = want
      for (const k of p.slice(0, -1)) at = at[k] ??= {}
      at[p[p.length - 1]!] = value
      expect(reference(changed)).toEqual(want)
      expect(parse(changed).value).toEqual(want)
      expect(get(parse(changed).value, p)).toEqual(value)
    })
  }
  it('keeps comments and all other lines', () => {
    const changed = set(whole, ['groups', 'tc', 'weight'], 30)
    expect(changed).toContain('weight: 30 # cold')
    expect(changed.split('\n').filter((l, i) => l !== whole.split('\n')[i])).toHaveLength(1)
  })
  it('takes a field away, and a section that is empty then', () => {
    const one = set(whole, ['policy', 'breaker', 'errors'], undefined)
    expect(get(reference(one), ['policy', 'breaker'])).toEqual({ 'slow-calls': "it's off" })
    const none = set(one, ['policy', 'breaker', 'slow-calls'], '')
    expect(get(reference(none), ['policy', 'breaker'])).toBeUndefined()
    expect(get(reference(none), ['policy', 'timeout'])).toBe('1s')
    expect(get(reference(set(whole, ['policy', 'failover', 'tries'], '')), ['policy', 'failover'])).toEqual({ budget: '15%' })
  })
  it('starts from nothing', () => expect(reference(set('', ['policy', 'breaker', 'open'], '5s'))).toEqual({ policy: { breaker: { open: '5s' } } }))
  it('leaves alone what it cannot read', () => expect(set('a: &x 1', ['a'], 2)).toBe('a: &x 1'))
})

describe('plain', () => {
  for (const s of ['a', '1', '1s', 'true', 'no', '*', 'a: b', 'a #b', '', ' a', '-', '- a', '"', "'", '50%', '%', '@x', '10.0.0.1:6379', 'x:', '1e3', '~', '汉字', 'a\nb', '{', '[', '0/s', '---', '${env:X}']) {
    it(`writes ${JSON.stringify(s)} so that it is read as itself`, () => {
      expect(reference(`k: ${plain(s)}`)).toEqual({ k: s })
      expect(parse(`k: ${plain(s)}`).value).toEqual({ k: s })
    })
  }
})
