// Numbers, times and durations as people read them. Digits are meant for tabular numerals: widths stay put while values move.

const units: Record<string, number> = { ns: 1, us: 1e3, µs: 1e3, μs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9, d: 86400e9 }

/** Reads a duration text such as "1h2m3.5s" or a number of nanoseconds; NaN when it is neither. */
export function nanos(d: string | number | undefined | null): number {
  if (typeof d === 'number') return d
  if (d == null || d === '') return 0
  if (d === '0') return 0
  let sum = 0
  let rest = d.trim()
  while (rest) {
    const m = /^(\d+(?:\.\d+)?)(ns|us|µs|μs|ms|s|m|h|d)/.exec(rest)
    if (!m) return NaN
    sum += Number(m[1]) * units[m[2]!]!
    rest = rest.slice(m[0].length)
  }
  return sum
}

/** Three significant digits without an exponent. */
function digits(n: number): string {
  if (n >= 99.95) return n.toFixed(0)
  if (n >= 9.995) return n.toFixed(1)
  return n.toFixed(2)
}

/** A latency: "430 µs", "1.24 ms", "2.10 s". */
export function latency(d: string | number | undefined | null): string {
  const n = nanos(d)
  if (!(n > 0)) return '–'
  if (n < 1e6) return `${(n / 1e3).toFixed(0)} µs`
  if (n < 1e9) return `${digits(n / 1e6)} ms`
  return `${digits(n / 1e9)} s`
}

/** Calls per second: "0", "0.4", "12.5", "1,240", "18.2k". */
export function rate(n: number | undefined): string {
  if (!n) return '0'
  if (n < 10) return n.toFixed(1)
  if (n < 9_999.5) return whole(n)
  if (n < 999_950) return `${digits(n / 1e3)}k`
  return `${digits(n / 1e6)}M`
}

/** A count: "12,345". By hand: to make the first Intl.NumberFormat takes a browser longer than to draw a page of numbers. */
export function whole(n: number | undefined): string {
  return String(Math.round(n ?? 0)).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** A share from 0 to 1. Close to 1 it shows what is missing: 99.98 % is not 100 %. */
export function percent(share: number | undefined): string {
  if (share == null || Number.isNaN(share)) return '–'
  const p = share * 100
  if (p === 100 || p === 0) return `${p} %`
  if (p > 99.99) return '99.99 %'
  if (p > 99) return `${p.toFixed(2)} %`
  if (p < 0.01) return '< 0.01 %'
  return `${p < 1 ? p.toFixed(2) : p.toFixed(1)} %`
}

/** A span as two units at most: "45 s", "6 min", "2 h 5 min", "3 d". `zh` chooses Chinese units. */
export function span(ms: number, zh = false): string {
  const s = Math.max(0, Math.round(ms / 1000))
  const [S, M, H, D] = zh ? ['秒', '分', '时', '天'] : ['s', 'min', 'h', 'd']
  if (s < 60) return `${s} ${S}`
  const m = Math.floor(s / 60)
  if (m < 60) return `${m} ${M}`
  const h = Math.floor(m / 60)
  if (h < 24) return m % 60 ? `${h} ${H} ${m % 60} ${M}` : `${h} ${H}`
  const d = Math.floor(h / 24)
  return d < 7 && h % 24 ? `${d} ${D} ${h % 24} ${H}` : `${d} ${D}`
}

/** What is left, to the second: "9:41", "1:02:03". */
export function countdown(ms: number): string {
  const s = Math.max(0, Math.ceil(ms / 1000))
  const two = (n: number) => String(n).padStart(2, '0')
  const h = Math.floor(s / 3600)
  const m = Math.floor((s % 3600) / 60)
  return h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`
}

/** A moment in local time: only what is needed of it on the day of `now`. */
export function moment(at: string | number, now: number): string {
  const d = new Date(at)
  if (Number.isNaN(d.getTime())) return '–'
  const two = (n: number) => String(n).padStart(2, '0')
  const time = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`
  const today = new Date(now)
  if (d.toDateString() === today.toDateString()) return time
  const day = `${two(d.getMonth() + 1)}-${two(d.getDate())}`
  return d.getFullYear() === today.getFullYear() ? `${day} ${time}` : `${d.getFullYear()}-${day} ${time}`
}

/** Any value of a spec on one line. */
export function value(v: unknown): string {
  if (v === undefined || v === null) return '–'
  return typeof v === 'string' ? v : JSON.stringify(v)
}
