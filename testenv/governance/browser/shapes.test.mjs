// What the pages take for granted of the centre's answers (governance/ui/src/lib/types.ts) is in the answers: a key that is not
// there would be shown as 0 or – without an error.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, test } from 'node:test'
import { api, browser } from './page.mjs'

after(() => browser.close())

const source = readFileSync(new URL('../../../governance/ui/src/lib/types.ts', import.meta.url), 'utf8').replace(/\/\*.*?\*\/|\/\/[^\n]*/gs, (c) => c.replace(/[^\n]/g, ' '))

/** The text between the brace at i and its other end. */
function braced(text, i) {
  for (let depth = 0, j = i; j < text.length; j++) {
    if (text[j] === '{') depth++
    if (text[j] === '}' && --depth === 0) return text.slice(i + 1, j)
  }
  throw new Error(`no end of ${text.slice(i, i + 40)}`)
}

/** The members of an object type, as [key, optional, type]. */
function members(body) {
  const out = []
  let depth = 0, from = 0
  for (let i = 0; i <= body.length; i++) {
    if ('{[(<'.includes(body[i] ?? ' ') && body[i]) depth++
    if ('}])'.includes(body[i] ?? ' ') && body[i]) depth--
    if (body[i] === '>' && body[i - 1] !== '=') depth--
    if (i < body.length && (depth > 0 || !';\n'.includes(body[i]))) continue
    const m = /^\s*'?([\w-]+)'?(\?)?:\s*(.+?)\s*$/s.exec(body.slice(from, i))
    if (m) out.push([m[1], !!m[2], m[3]])
    from = i + 1
  }
  return out
}

const types = new Map()
for (const m of source.matchAll(/export interface (\w+)(?: extends (?:Omit<)?(\w+)[^{]*)? \{/g)) {
  types.set(m[1], { base: m[2], own: members(braced(source, m.index + m[0].length - 1)) })
}
const whole = (name) => {
  const t = types.get(name)
  return t ? [...(t.base ? whole(t.base) : []), ...t.own] : []
}

/** Says which keys of a type an answer lacks. */
function lacks(type, value, at, out) {
  if (type.startsWith('(')) return // this or that
  if (type.endsWith('[]')) {
    if (!Array.isArray(value)) out.push(`${at} is no list`)
    else for (const v of value) lacks(type.slice(0, -2), v, `${at}[]`, out)
    return
  }
  const inline = type.startsWith('{') ? members(braced(type, 0)) : whole(type)
  for (const [key, optional, of] of inline) {
    if (value[key] === undefined) {
      if (!optional) out.push(`${at}.${key}`)
    } else if (value[key] !== null && typeof value[key] === 'object') {
      lacks(of, value[key], `${at}.${key}`, out)
    }
  }
}

const plan = { name: 'shapes', for: '1h', steps: [{ type: 'switch', resource: 'feed-cache', weights: { tc: 100, yf: 0 } }] }
const answers = [
  ['Overview', 'GET', '/v1/overview'],
  ['{ resources: Resource[] }', 'GET', '/v1/resources'],
  ['{ resources: Line[]; away: Away[] }', 'GET', '/v1/resources?brief'],
  ['ResourceDetail', 'GET', '/v1/resources/feed-cache'],
  ['{ endpoints: Endpoint[] }', 'GET', '/v1/resources/feed-cache/endpoints'],
  ['{ operations: Operation[] }', 'GET', '/v1/resources/feed-cache/operations?window=5m'],
  ['{ sessions: Session[] }', 'GET', '/v1/resources/orders-db/sessions'],
  ['{ versions: Version[] }', 'GET', '/v1/resources/feed-cache/history'],
  ['{ version: number; yaml: string; diff: DiffLine[] }', 'GET', '/v1/resources/feed-cache/history/1'],
  ['{ agents: Agent[]; revision: number }', 'GET', '/v1/agents'],
  ['AgentDetail', 'GET', '/v1/agents/web-1'],
  ['Topology', 'GET', '/v1/topology?window=5m'],
  ['Series', 'GET', '/v1/series?resource=feed-cache&step=10s'],
  ['Audit', 'GET', '/v1/audit?limit=20'],
  ['{ users: User[] }', 'GET', '/v1/users'],
  ['Secret', 'PUT', '/v1/secrets/shapes', { value: 'x', resources: ['feed-*'] }],
  ['{ secrets: Secret[] }', 'GET', '/v1/secrets'],
  ['Preview', 'POST', '/v1/commands?dry-run=true', plan.steps[0]],
  ['PlanPreview', 'POST', '/v1/plans?dry-run=true', plan],
  ['Plan', 'POST', '/v1/plans', plan],
  ['{ plans: Plan[] }', 'GET', '/v1/plans'],
  ['Command', 'POST', '/v1/commands', { type: 'limit', resource: 'feed-cache', rate: '1000000/s', match: { caller: 'nobody' } }],
  ['{ commands: Command[] }', 'GET', '/v1/commands'],
]

test('the types are read', () => {
  assert.ok(types.size > 40, `${types.size} types`)
  const out = []
  lacks('Resource', { name: 'x', groups: [{ name: 'g' }] }, 'x', out)
  assert.ok(out.includes('x.kind') && out.includes('x.groups[].sound') && !out.includes('x.why'), out.join(' '))
})

for (const [type, method, path, body] of answers) {
  test(`${method} ${path} is ${type}`, async () => {
    const out = []
    const answer = await api(method, path, body)
    lacks(type, answer, 'it', out)
    assert.deepEqual([...new Set(out)], [])
    if (path === '/v1/secrets') await api('DELETE', '/v1/secrets/shapes')
    if (type === 'Plan') await api('DELETE', `/v1/plans/${answer.id}`)
    if (path === '/v1/commands' && method === 'GET') for (const c of answer.commands) await api('DELETE', `/v1/commands/${c.id}`)
  })
}
