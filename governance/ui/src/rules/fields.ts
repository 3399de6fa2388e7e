// The fields of the form: what people change often. Everything else is in the text beside it.
import type { Path } from '../lib/document'
import type { Key } from '../lib/words'

export interface FieldSpec { path: Path; title: Key; hint: string; options?: string[] }
export interface Section { title: Key; fields: FieldSpec[] }

const p = (...rest: string[]): Path => ['policy', ...rest]

export const sections: Section[] = [
  {
    title: 'form.calls',
    fields: [
      { path: p('timeout'), title: 'form.timeout', hint: '1s' },
      { path: p('reads'), title: 'form.reads', hint: 'primary', options: ['primary', 'replica', 'prefer-replica', 'nearest'] },
      { path: p('balance'), title: 'form.balance', hint: 'p2c', options: ['p2c', 'random', 'round-robin', 'hash'] },
      { path: p('slower-than'), title: 'form.slower', hint: '50ms' },
    ],
  },
  {
    title: 'form.failover',
    fields: [
      { path: p('failover', 'tries'), title: 'form.tries', hint: '2' },
      { path: p('failover', 'budget'), title: 'form.budget', hint: '15%' },
      { path: p('backup', 'after'), title: 'form.backup', hint: 'p95' },
      { path: p('backup', 'budget'), title: 'form.backupbudget', hint: '5%' },
    ],
  },
  {
    title: 'form.breaker',
    fields: [
      { path: p('breaker', 'errors'), title: 'form.errors', hint: '50%' },
      { path: p('breaker', 'slow'), title: 'form.slow', hint: '0%' },
      { path: p('breaker', 'slower-than'), title: 'form.slower', hint: '100ms' },
      { path: p('breaker', 'open'), title: 'form.open', hint: '5s' },
      { path: p('breaker', 'mode'), title: 'form.mode', hint: 'enforce', options: ['enforce', 'observe'] },
    ],
  },
  {
    title: 'form.eject',
    fields: [
      { path: p('eject', 'consecutive'), title: 'form.consecutive', hint: '5' },
      { path: p('eject', 'base'), title: 'form.base', hint: '5s' },
      { path: p('eject', 'at-most'), title: 'form.atmost', hint: '50%' },
      { path: p('slow-start'), title: 'form.slowstart', hint: '10s' },
    ],
  },
]

/** A number where it is one, so that the document holds 2 and not "2". */
export function typed(text: string): string | number | undefined {
  const s = text.trim()
  if (s === '') return undefined
  return /^-?\d+$/.test(s) ? Number(s) : s
}
