// The command line of what a person does here. What `sluice` has a verb for is that verb; the rest is the request itself.
import type { Order } from './types'

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

/** The line of a command. One on a selector has no verb and is written as a request. */
export function command(o: Order): string {
  if (!o.resource) return request('POST', '/v1/commands', o)
  const at = quote(o.resource)
  const rest = flags(o)
  switch (o.type) {
    case 'switch':
      return line('sluice switch', at, ...Object.entries(o.weights ?? {}).map(([g, w]) => quote(`${g}=${w}`)), ...rest)
    case 'degrade':
      return line('sluice degrade', at, o.reply && o.reply !== 'error' && `--reply ${quote(o.reply)}`, ...share(o), ...rest)
    case 'limit':
      return line('sluice limit', at, quote(o.rate || '0/s'), o.burst ? `--burst ${o.burst}` : '', ...rest)
    case 'fault':
      return line('sluice fault', at, o.delay && `--delay ${quote(o.delay)}`, o.error && `--error ${quote(o.error)}`, ...share(o), ...rest)
    case 'mock':
      return line('sluice mock', at, quote(o.reply ?? ''), ...share(o), ...rest)
    case 'drain':
      return line('sluice drain', at, quote(o.endpoint ?? ''), ...rest)
  }
}

export const undo = (id: string) => line('sluice undo', quote(id))

/** A request by curl, with the address and token that `sluice` uses too. */
export function request(method: string, path: string, body?: unknown): string {
  const head = `curl -sS ${method === 'GET' ? '' : `-X ${method} `}-H "Authorization: Bearer $SLUICE_TOKEN"`
  const data = body === undefined ? '' : ` -d ${quote(typeof body === 'string' ? body : JSON.stringify(body))}`
  return `${head}${data} "$SLUICE_AT${path}"`
}
