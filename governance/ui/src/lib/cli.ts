// The command line of what a person does here. What `sluice` has a verb for is that verb; the rest is the request itself.
import type { Guards, Order, Role, Selector } from './types'

/** Quotes a word for a POSIX shell. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

function line(...words: (string | undefined | false)[]): string {
  return words.filter((w): w is string => !!w).join(' ')
}

function flags(o: Order): string[] {
  const out: string[] = []
  for (const [k, v] of Object.entries(o.match ?? {})) if (v) out.push('--match', quote(`${k}=${v}`))
  if (o.for) out.push('--for', quote(o.for))
  if (o.why) out.push('--why', quote(o.why))
  return out
}

const share = (o: Order) => (o.percent && o.percent !== '100%' && o.percent !== '100' ? ['--percent', quote(o.percent.replace('%', ''))] : [])

/** Several resources, as the verbs take them: "kind=redis idc=tc label.team=feed". */
function several(s: Selector = {}): string {
  const labels = Object.entries(s.labels ?? {}).map(([k, v]) => `label.${k}=${v}`)
  return [s.name && `name=${s.name}`, s.kind && `kind=${s.kind}`, s.idc && `idc=${s.idc}`, ...labels].filter(Boolean).join(' ')
}

/** The line of a command. */
export function command(o: Order): string {
  const at = quote(o.resource || several(o.select))
  const rest = flags(o)
  switch (o.type) {
    case 'switch':
      return line('sluice switch', at, ...Object.entries(o.weights ?? {}).map(([g, w]) => quote(`${g}=${w}`)), ...rest)
    case 'degrade':
      return line('sluice degrade', at, o.reply && o.reply !== 'error' && `--reply ${quote(o.reply)}`, ...share(o), ...rest)
    case 'limit':
      return line('sluice limit', at, quote(o.rate || '0/s'), o.burst ? `--burst ${o.burst}` : '', o.per && `--per ${o.per}`, ...rest)
    case 'fault':
      return line('sluice fault', at, o.delay && `--delay ${quote(o.delay)}`, o.error && `--error ${quote(o.error)}`, ...share(o), ...rest)
    case 'mock':
      return line('sluice mock', at, quote(o.reply ?? ''), ...share(o), ...rest)
    case 'drain':
      return line('sluice drain', at, quote(o.endpoint ?? ''), ...rest)
  }
}

export const revert = (name: string, version: number, why = '') => line('sluice revert', quote(name), `${version}`, why && `--why ${quote(why)}`)

/**
 * Publishes the document of a file: at once, or in the stages that text has one a line (see parseStages), under guards. With a revision it is
 * refused, as the button is, once there is a newer one.
 */
export function publish(name: string, reason: string, stages = '', guards: Guards = {}, revision?: number): string {
  const lines = stages.split('\n').map((l) => l.trim()).filter(Boolean)
  const { errors, p99, refusals } = lines.length ? guards : ({} as Guards)
  return line(applied(name), since(revision), why(reason), ...lines.map((l) => `--stage ${quote(l)}`), errors && `--errors ${quote(errors)}`, p99 && `--p99 ${quote(p99)}`, !!refusals && `--refusals ${refusals}`)
}

export const saveDraft = (name: string, revision?: number) => line(applied(name), '--draft', since(revision))

const since = (revision?: number) => revision !== undefined && `--revision ${revision}`

export const dropDraft = (name: string) => line('sluice draft drop', quote(name || 'NAME'))

const applied = (name: string) => line('sluice apply', quote(name || 'NAME'), '-f', quote(`${name || 'NAME'}.yaml`))

/** Keeps a plan, and runs it. */
export const makePlan = (of: object, run: boolean) => line("printf '%s'", quote(JSON.stringify(of)), '| sluice plan make -f -', run && '--run')

export const plan = (order: string, id: string, why = '') => line('sluice plan', order, quote(id), why && `--why ${quote(why)}`)

const why = (text: string) => text && `--why ${quote(text)}`

export const endpoint = (order: 'add' | 'remove', resource: string, e: { group: string; address: string; role?: string; weight?: number }, reason = '') =>
  line('sluice endpoint', order, quote(resource), quote(e.group), quote(e.address || 'HOST:PORT'), order === 'add' && e.role !== 'any' && `--role ${quote(e.role ?? 'any')}`, order === 'add' && e.weight !== 100 && `--weight ${e.weight}`, why(reason))

export const release = (order: string, id: string, reason = '') => line('sluice release', order, quote(id), why(reason))

/** Of roles the verbs take one; with several the request itself is shown. */
const role = (r: Role | undefined) => line(`--role ${r?.role ?? 'viewer'}`, r?.select && `--on ${quote(several(r.select))}`)

export const user = (name: string, roles: Role[]) =>
  roles.length > 1 ? request('PUT', `/v1/users/${encodeURIComponent(name)}`, { roles }) : line('sluice center user set', quote(name || 'NAME'), role(roles[0]))

export const token = (name: string, roles: Role[], time: string) =>
  roles.length > 1 ? request('POST', '/v1/tokens', { name, roles, for: time }) : line('sluice center token', quote(name || 'NAME'), role(roles[0]), time && `--for ${quote(time)}`)

export const join = (time: string, uses: number, agent: string) => line('sluice center join', time && `--for ${quote(time)}`, uses !== 1 && `--uses ${uses}`, agent && `--agent ${quote(agent)}`)

export const secret = (name: string, resources: string[] = []) => line('sluice center secret set', quote(name || 'NAME'), ...resources.map((r) => `--for ${quote(r)}`), '-f value.txt')

/** Removes one by its name; tokens have ids. */
export const removed = (what: 'user' | 'secret' | 'token' | 'join', name: string, reason = '') => line(`sluice center ${what} remove`, quote(name), why(reason))

export const undo = (id: string) => line('sluice undo', quote(id))

/** A request by curl, with the address and token that `sluice` uses too. */
export function request(method: string, path: string, body?: unknown): string {
  const head = `curl -sS ${method === 'GET' ? '' : `-X ${method} `}-H "Authorization: Bearer $SLUICE_TOKEN"`
  const data = body === undefined ? '' : ` -d ${quote(typeof body === 'string' ? body : JSON.stringify(body))}`
  return `${head}${data} "$SLUICE_AT${path}"`
}
