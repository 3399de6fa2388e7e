import { describe, expect, it } from 'vitest'
import { agentState, clockAhead } from './agents'
import { command, quote, request, undo } from './cli'
import { folded, lines } from './diff'
import { apart } from './flags'
import { countdown, latency, moment, nanos, percent, rate, span, value, whole } from './format'
import { clean, lacks, moved } from './orders'
import { idcs, moveAll, parseStages } from './plans'
import { ask, columns, step, windows } from './series'
import { matches, sorted } from './table'
import { labels, layout } from './topology'
import type { Agent, Resource, Topology } from './types'

describe('clocks of agents', () => {
  it('are ahead or behind', () => {
    expect(['1h0m0.5s', '-24h', '0s', '-12ms', undefined].map((clock) => clockAhead({ clock } as Agent))).toEqual([3600500, -86400e3, 0, -12, NaN])
  })
})

describe('format', () => {
  it('reads durations', () => {
    for (const [text, ns] of [['1.5ms', 1.5e6], ['1h2m3.5s', 3723.5e9], ['430µs', 430e3], ['0', 0], ['', 0], ['0s', 0], ['14d', 14 * 86400e9]] as const) expect(nanos(text)).toBe(ns)
    expect(nanos('soon')).toBeNaN()
    expect(nanos('1ms x')).toBeNaN()
  })
  it('writes latencies', () => expect([0, 430e3, 1.24e6, 21.3e6, 118e6, 2.1e9, undefined, 'x'].map(latency)).toEqual(['–', '430 µs', '1.24 ms', '21.3 ms', '118 ms', '2.10 s', '–', '–']))
  it('writes rates', () => expect([0, 0.42, 12.4, 1240, 9999.6, 18_240, 999_999, 2_500_000, undefined].map(rate)).toEqual(['0', '0.4', '12', '1,240', '10.0k', '18.2k', '1.00M', '2.50M', '0']))
  it('never rounds a failure away', () => expect([1, 0.99999, 0.9998, 0.969, 0.005, 0.00001, 0, undefined, NaN].map(percent)).toEqual(['100 %', '99.99 %', '99.98 %', '96.9 %', '0.50 %', '< 0.01 %', '0 %', '–', '–']))
  it('writes spans', () => expect([0, 59e3, 60e3, 3_600e3, 7_500e3, 86_400e3 * 2 + 7200e3, 86_400e3 * 9 + 7200e3].map((ms) => span(ms))).toEqual(['0 s', '59 s', '1 min', '1 h', '2 h 5 min', '2 d 2 h', '9 d']))
  it('counts down', () => expect([0, 61e3, 3661e3, -5].map(countdown)).toEqual(['0:00', '1:01', '1:01:01', '0:00']))
  it('writes moments', () => {
    const now = new Date(2026, 4, 3, 12, 0, 0).getTime()
    expect(moment(new Date(2026, 4, 3, 9, 5, 7).getTime(), now)).toBe('09:05:07')
    expect(moment(new Date(2026, 3, 3, 9, 5, 7).getTime(), now)).toBe('04-03 09:05:07')
    expect(moment(new Date(2025, 3, 3, 9, 5, 7).getTime(), now)).toBe('2025-04-03 09:05:07')
    expect(moment('x', now)).toBe('–')
  })
  it('writes values', () => expect([value('a'), value({ a: 1 }), value(null), value(3), whole(12345)]).toEqual(['a', '{"a":1}', '–', '3', '12,345']))
})

describe('flags', () => {
  it('stay where they are when they are far from each other', () => expect(apart([15, 60, 85], 20, 10, 90)).toEqual([15, 60, 85]))
  it('move apart, and not over the edge', () => {
    expect(apart([50, 50, 60], 20, 10, 190)).toEqual([50, 70, 90])
    expect(apart([88, 88], 20, 10, 90)).toEqual([70, 90])
    expect(apart([2, 88, 90, 99], 20, 10, 90)).toEqual([10, 50, 70, 90])
  })
  it('stand closer when they do not fit', () => expect(apart([90, 90, 90, 90, 90], 20, 10, 50)).toEqual([10, 20, 30, 40, 50]))
  it('may be none', () => expect(apart([], 20, 10, 90)).toEqual([]))
})

describe('command lines', () => {
  it('are those of the program', () => {
    expect(command({ type: 'switch', resource: 'feed-cache', weights: { tc: 100, yf: 0 }, for: '10m', why: "it's late" })).toBe(`sluice switch feed-cache tc=100 yf=0 --for 10m --why 'it'\\''s late'`)
    expect(command({ type: 'limit', resource: 'a', rate: '50/s', per: 'caller' })).toBe('sluice limit a 50/s --per caller')
    expect(command({ type: 'limit', resource: 'a', rate: '500/s', burst: 5, match: { caller: 'batch-*' } })).toBe("sluice limit a 500/s --burst 5 --match 'caller=batch-*'")
    expect(command({ type: 'degrade', resource: 'a', reply: 'empty', percent: '50%' })).toBe('sluice degrade a --reply empty --percent 50')
    expect(command({ type: 'fault', resource: 'a', delay: '50ms', error: 'no luck' })).toBe("sluice fault a --delay 50ms --error 'no luck'")
    expect(command({ type: 'mock', resource: 'a', reply: 'x y' })).toBe("sluice mock a 'x y'")
    expect(command({ type: 'drain', resource: 'a', endpoint: '10.0.0.1:1' })).toBe('sluice drain a 10.0.0.1:1')
    expect(undo('g-1')).toBe('sluice undo g-1')
  })
  it('are requests where there is no verb', () => {
    expect(request('GET', '/v1/audit')).toBe('curl -sS -H "Authorization: Bearer $SLUICE_TOKEN" "$SLUICE_AT/v1/audit"')
    expect(command({ type: 'degrade', select: { name: 'a-*', labels: { team: 'x' } } })).toBe("sluice degrade 'name=a-* label.team=x'")
  })
  it('are safe in a shell', () => {
    for (const word of ['$(id)', '`id`', 'a;b', 'a b', '', "'", '"', '\\', 'a\nb', '*', '~', '!x', '#']) expect(quote(word).startsWith("'")).toBe(true)
  })
})

describe('diff', () => {
  it('finds what changed', () => {
    expect(lines('a\nb\nc\n', 'a\nx\nc\n').map((l) => l.kind[0] + l.text)).toEqual(['sa', 'gb', 'nx', 'sc'])
    expect(lines('', 'a').map((l) => l.kind)).toEqual(['gone', 'new'])
    expect(lines('a', 'a').every((l) => l.kind === 'same')).toBe(true)
  })
  it('folds what did not', () => {
    const many = Array.from({ length: 30 }, (_, i) => `l${i}`)
    const all = folded(lines(many.join('\n'), many.with(15, 'x').join('\n')), 2)
    expect(all.filter((l) => l === null)).toHaveLength(2)
    expect(all).toHaveLength(8)
  })
})

describe('orders', () => {
  it('hold only what belongs to their type', () => {
    expect(clean({ type: 'limit', resource: 'a', rate: '5/s', reply: 'x', weights: { a: 1 }, match: {}, for: '' })).toEqual({ type: 'limit', resource: 'a', rate: '5/s' })
    expect(clean({ type: 'degrade', resource: 'a', percent: '50' }).percent).toBe('50%')
    expect(clean({ type: 'drain', resource: 'a', select: { name: '*' }, endpoint: 'e' })).toEqual({ type: 'drain', select: { name: '*' }, endpoint: 'e' })
  })
  it('say what they lack', () => {
    expect(lacks({ type: 'switch' })).toBe('lack.resource')
    expect(lacks({ type: 'switch', resource: 'a', weights: { x: 0 } })).toBe('lack.weights')
    expect(lacks({ type: 'limit', resource: 'a', rate: '5' })).toBe('lack.rate')
    expect(lacks({ type: 'limit', resource: 'a', rate: '0/s' })).toBe('')
    expect(lacks({ type: 'fault', resource: 'a' })).toBe('lack.fault')
  })
  it('move a whole share', () => {
    const groups = [{ name: 'yf', weight: 70 }, { name: 'tc', weight: 0 }, { name: 'gz', weight: 30 }]
    expect(moved(groups, 'yf', 'tc')).toEqual({ yf: 0, tc: 70, gz: 30 })
    expect(moved(groups, 'yf', 'yf')).toBeUndefined()
    expect(moved(groups, 'no', 'tc')).toBeUndefined()
  })
})

const resource = (name: string, kind: string, ...groups: [string, number][]) => ({ name, kind, groups: groups.map(([g, weight]) => ({ name: g, idc: g, weight })) }) as unknown as Resource

describe('plans', () => {
  const all = [resource('db', 'mysql', ['yf', 100], ['tc', 0]), resource('b-cache', 'redis', ['yf', 60], ['tc', 40]), resource('a-cache', 'redis', ['yf', 100], ['tc', 0]), resource('only-yf', 'redis', ['yf', 100]), resource('moved', 'redis', ['yf', 0], ['tc', 100])]
  it('move a data centre, databases last', () => {
    expect(moveAll(all, 'yf', 'tc').map((s) => [s.resource, s.weights])).toEqual([['a-cache', { yf: 0, tc: 100 }], ['b-cache', { yf: 0, tc: 100 }], ['db', { yf: 0, tc: 100 }]])
    expect(idcs(all)).toEqual(['tc', 'yf'])
  })
  it('read stages', () => {
    expect(parseStages('web-1, web-2 for 5m\n\n25% for 10m\n100%')).toEqual([{ name: 'canary 1', agents: ['web-1', 'web-2'], bake: '5m' }, { name: '25%', share: '25%', bake: '10m' }, { name: '100%', share: '100%' }])
  })
})

describe('series', () => {
  it('asks for windows that end on a step', () => {
    for (const w of windows) {
      const q = new URLSearchParams(ask(w, 1_800_000_123_456, { resource: 'a b' }).split('?')[1])
      expect(Date.parse(q.get('to')!) % Math.min(step(w), 60_000)).toBe(0)
      expect((Date.parse(q.get('to')!) - Date.parse(q.get('from')!)) / step(w)).toBeLessThanOrEqual(400)
      expect(q.get('resource')).toBe('a b')
    }
  })
  it('makes rates, and gaps where there is nothing', () => {
    const p = (t: number, calls: number) => ({ t, calls, errors: calls / 10, p50: 1, p95: 2, p99: 3, p999: 4 })
    const c = columns([p(0, 100), p(10_000, 0), p(60_000, 50)], 10_000)
    expect(c.t).toEqual([0, 10, 20, 60])
    expect(c.calls).toEqual([10, 0, 0, 5])
    expect(c.p99).toEqual([3, null, null, 3])
    expect(c.success[0]).toBeCloseTo(0.9)
  })
})

describe('tables', () => {
  const rows = [{ n: 'b10', v: 1 }, { n: 'b2', v: 3 }, { n: 'a', v: 1 }]
  it('sort numbers, names with numbers in them, and keep equal rows in order', () => {
    expect(sorted(rows, { id: 'n', title: '', sort: (r) => r.n }, false).map((r) => r.n)).toEqual(['a', 'b2', 'b10'])
    expect(sorted(rows, { id: 'v', title: '', sort: (r) => r.v }, true).map((r) => r.n)).toEqual(['b2', 'b10', 'a'])
    expect(sorted(rows, undefined, false)).toBe(rows)
  })
  it('search for all words', () => {
    expect(matches('feed REDIS', 'feed-cache', 'redis')).toBe(true)
    expect(matches('feed mysql', 'feed-cache', 'redis', undefined)).toBe(false)
    expect(matches('', 'x')).toBe(true)
  })
  it('sort 5,000 rows within a frame', () => {
    const many = Array.from({ length: 5000 }, (_, i) => ({ v: (i * 7919) % 5000 }))
    sorted(many, { id: 'v', title: '', sort: (r) => r.v }, false)
    const start = performance.now()
    sorted(many, { id: 'v', title: '', sort: (r) => r.v }, true)
    expect(performance.now() - start).toBeLessThan(100) // some 3 ms on an idle machine
  })
})

describe('topology', () => {
  const t: Topology = {
    partial: false, away: [],
    applications: [{ name: 'a', agents: 1 }, { name: 'b', agents: 2 }, { name: 'idle', agents: 1 }],
    resources: [{ name: 'x', kind: 'redis', groups: ['yf', 'tc'], health: 'ok' }, { name: 'y', kind: 'mysql', health: 'bad' }],
    edges: [
      { application: 'a', idc: 'yf', resource: 'x', group: 'yf', calls: 10, errors: 1, p99: '2ms' },
      { application: 'a', idc: 'tc', resource: 'x', group: 'yf', calls: 30, errors: 0, p99: '5ms' },
      { application: 'b', resource: 'y', calls: 5, errors: 0, p99: 1e6 },
    ],
  }
  it('joins edges of all data centres and keeps nodes apart', () => {
    const l = layout(t, () => true, 10)
    expect(l.edges).toHaveLength(2)
    expect(l.edges.find((e) => e.resource === 'x')).toMatchObject({ calls: 40, errors: 1, p99: 5e6 })
    expect(l.apps.map((a) => a.name).sort()).toEqual(['a', 'b'])
    const [first, second] = [...l.resources].sort((p, q) => p.y - q.y)
    expect(first!.y + first!.height).toBeLessThan(second!.y)
    for (const n of [...l.apps.map((a) => a.y + 40), ...l.resources.map((r) => r.y + r.height)]) expect(n).toBeLessThanOrEqual(l.height + 0.01)
  })
  it('says what it leaves out', () => expect(layout(t, () => true, 1)).toMatchObject({ hiddenApps: 1, hiddenResources: 1 }))
  it('shows nothing when nothing passes', () => expect(layout(t, () => false, 5).edges).toEqual([]))
  it('puts labels where they cover no other', () => {
    const l = layout(t, () => true, 10)
    const many = Array.from({ length: 40 }, (_, i) => ({ ...l.edges[0]!, id: String(i) }))
    const out = labels(many, 100, 700, () => '1,000/s')
    expect(out.length).toBeGreaterThan(2)
    for (const a of out) for (const b of out) if (a !== b) expect(Math.abs(a.x - b.x) > 40 || Math.abs(a.y - b.y) >= 14).toBe(true)
  })
})

describe('agents', () => {
  const a = { connected: true, ready: true } as Agent
  it('are what matters most of them', () => {
    expect(agentState(a)).toBe('ok')
    expect(agentState({ ...a, behind: 3 })).toBe('behind')
    expect(agentState({ ...a, behind: true, stale: 'x', refused: [{ message: 'm' }] })).toBe('refused')
    expect(agentState({ ...a, connected: false, refused: [{ message: 'm' }] })).toBe('gone')
  })
})
