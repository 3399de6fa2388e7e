import { nanos } from './format'
import type { Agent } from './types'

/** The state of an agent that matters most. */
export function agentState(a: Agent): 'gone' | 'refused' | 'bad' | 'stale' | 'behind' | 'draining' | 'ok' {
  if (!a.connected) return 'gone'
  if (a.refused?.length) return 'refused'
  if (a.draining) return 'draining'
  if (!a.ready) return 'bad'
  if (a.stale) return 'stale'
  return a.behind ? 'behind' : 'ok'
}

/** How far an agent's clock is ahead of the centre's, in ms; negative when it is behind, NaN when it does not say. */
export function clockAhead(a: Agent): number {
  if (!a.clock) return NaN
  return a.clock.startsWith('-') ? -nanos(a.clock.slice(1)) / 1e6 : nanos(a.clock) / 1e6
}
