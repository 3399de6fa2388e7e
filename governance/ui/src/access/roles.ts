// Roles as people write them: "operator", or "owner name=feed-* kind=redis" for what a selector holds.
import type { Role, Selector } from '../lib/types'

export const names = ['viewer', 'operator', 'owner', 'admin'] as const

export function text(r: Role): string {
  const s = r.select
  if (!s) return r.role
  const parts = [s.name && `name=${s.name}`, s.kind && `kind=${s.kind}`, s.idc && `idc=${s.idc}`, ...Object.entries(s.labels ?? {}).map(([k, v]) => `${k}=${v}`)]
  return [r.role, ...parts.filter(Boolean)].join(' ')
}

/** Reads a selector of K=V pairs; what is not name, kind or idc is a label. */
export function selector(pairs: string): Selector | undefined {
  const s: Selector = {}
  for (const kv of pairs.trim().split(/\s+/).filter(Boolean)) {
    const [k, v] = [kv.slice(0, kv.indexOf('=')), kv.slice(kv.indexOf('=') + 1)]
    if (!k || !v) continue
    if (k === 'name' || k === 'kind' || k === 'idc') s[k] = v
    else s.labels = { ...s.labels, [k]: v }
  }
  return Object.keys(s).length ? s : undefined
}
