// Windows of the charts and what they ask for.
import type { Point } from './types'

export const windows = ['5m', '15m', '1h', '6h', '24h', '7d', '14d'] as const
export type Window = (typeof windows)[number]

const minute = 60_000
const lengths: Record<Window, number> = { '5m': 5 * minute, '15m': 15 * minute, '1h': 60 * minute, '6h': 360 * minute, '24h': 1440 * minute, '7d': 10_080 * minute, '14d': 20_160 * minute }
/** Seconds between points: about 300 of them, in the 10 s or 1 min that the centre keeps. */
const steps: Record<Window, number> = { '5m': 10, '15m': 10, '1h': 10, '6h': 60, '24h': 300, '7d': 1800, '14d': 3600 }

export const length = (w: Window): number => lengths[w]
export const step = (w: Window): number => steps[w] * 1000

/** The query of a window that ends now; its end is rounded, so that the same address is asked for during a step. */
export function ask(w: Window, now: number, filter: Record<string, string>): string {
  const every = Math.min(step(w), 60_000)
  const to = Math.floor(now / every) * every
  const q = new URLSearchParams({ ...filter, from: new Date(to - length(w)).toISOString(), to: new Date(to).toISOString(), step: `${steps[w]}s` })
  return `/v1/series?${q}`
}

export interface Columns { t: number[]; calls: number[]; errors: number[]; success: (number | null)[]; p50: (number | null)[]; p99: (number | null)[]; p999: (number | null)[] }

/** Points as columns: counts per second, nothing where there were no calls, gaps where there is no point. */
export function columns(points: Point[], stepMs: number): Columns {
  const out: Columns = { t: [], calls: [], errors: [], success: [], p50: [], p99: [], p999: [] }
  const per = stepMs / 1000
  const put = (p: Point) => {
    out.t.push(p.t / 1000)
    out.calls.push(p.calls / per)
    out.errors.push(p.errors / per)
    out.success.push(p.calls ? 1 - p.errors / p.calls : null)
    out.p50.push(p.calls ? p.p50 : null)
    out.p99.push(p.calls ? p.p99 : null)
    out.p999.push(p.calls ? p.p999 : null)
  }
  for (const p of points) {
    const last = out.t[out.t.length - 1]
    if (last !== undefined && p.t - last * 1000 > 1.5 * stepMs) put({ t: last * 1000 + stepMs, calls: 0, errors: 0, p50: 0, p95: 0, p99: 0, p999: 0 })
    put(p)
  }
  return out
}
