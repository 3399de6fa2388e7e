// Orders as forms hold them and as the centre takes them.
import type { CommandType, Order } from './types'

export const types: CommandType[] = ['switch', 'degrade', 'limit', 'fault', 'mock', 'drain']

const parts: Record<CommandType, (keyof Order)[]> = {
  switch: ['weights'],
  degrade: ['reply', 'percent'],
  limit: ['rate', 'burst', 'per'],
  fault: ['delay', 'error', 'percent'],
  mock: ['reply', 'percent'],
  drain: ['endpoint'],
}

/** Only what belongs to the type of the order and is set. */
export function clean(o: Partial<Order>): Order {
  const out: Record<string, unknown> = { type: o.type ?? 'switch' }
  if (o.select) out.select = o.select
  else if (o.resource) out.resource = o.resource
  for (const k of [...parts[o.type ?? 'switch'], 'for', 'why'] as (keyof Order)[]) {
    const v = o[k]
    if (v !== undefined && v !== '' && v !== 0) out[k] = v
  }
  if (o.match && Object.keys(o.match).length) out.match = o.match
  if (typeof out.percent === 'string' && !out.percent.endsWith('%')) out.percent += '%'
  return out as unknown as Order
}

/** What lacks before an order can be sent, as a word of the dictionary; '' when nothing does. */
export function lacks(o: Order): '' | 'lack.resource' | 'lack.weights' | 'lack.rate' | 'lack.fault' | 'lack.reply' | 'lack.endpoint' {
  if (!o.resource && !o.select) return 'lack.resource'
  switch (o.type) {
    case 'switch':
      return Object.values(o.weights ?? {}).some((w) => w > 0) ? '' : 'lack.weights'
    case 'limit':
      return /^\d+(\.\d+)?\/[smh]$/.test(o.rate ?? '') ? '' : 'lack.rate'
    case 'fault':
      return o.delay || o.error ? '' : 'lack.fault'
    case 'mock':
      return o.reply ? '' : 'lack.reply'
    case 'drain':
      return o.endpoint ? '' : 'lack.endpoint'
    default:
      return ''
  }
}

/** Weights that move all of one group's share to another. */
export function moved(groups: { name: string; weight: number }[], from: string, to: string): Record<string, number> | undefined {
  const a = groups.find((g) => g.name === from)
  const b = groups.find((g) => g.name === to)
  if (!a || !b || from === to) return undefined
  return Object.fromEntries(groups.map((g) => [g.name, g.name === from ? 0 : g.name === to ? a.weight + b.weight || 100 : g.weight]))
}
