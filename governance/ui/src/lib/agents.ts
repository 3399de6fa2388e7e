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
