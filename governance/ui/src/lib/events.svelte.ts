// The one stream of events. It is closed while the tab is hidden and opened when it is seen again; then everything on the
// page is read anew, since what happened between is not known.
import { clock } from './clock.svelte'
import type { Said } from './types'

export type LiveRow = [calls: number, errors: number, p50: number, p99: number]
export interface Alert { id: number; severity: 'ok' | 'warn' | 'bad'; what: string; whatSay?: Said; resource?: string }
type State = 'connecting' | 'live' | 'lost' | 'paused'
type Listener = (topics: ReadonlySet<string> | 'all') => void

/** Seconds of totals kept for the small chart. */
const kept = 120
/** Without news for this long the stream counts as lost, though the connection may stand: live comes each second. */
const quiet = 6000

class Events {
  state = $state<State>('connecting')
  revision = $state(0)
  resources = $state.raw<Record<string, LiveRow>>({})
  totals = $state.raw<[calls: number, errors: number, p99: number]>([0, 0, 0])
  history = $state.raw<{ t: number; calls: number; errors: number }[]>([])
  alerts = $state.raw<Alert[]>([])

  private source?: EventSource
  private listeners = new Set<Listener>()
  private heard = 0
  private opened = false
  private wanted = false
  private retry?: ReturnType<typeof setTimeout>
  private guard?: ReturnType<typeof setInterval>
  private alertID = 0

  /** Starts listening, until stop. */
  start(): void {
    if (this.wanted) return
    this.wanted = true
    document.addEventListener('visibilitychange', this.visibility)
    this.visibility()
    this.guard ??= setInterval(() => {
      if (this.state === 'live' && Date.now() - this.heard > quiet) this.reopen()
    }, 2000)
  }

  stop(): void {
    this.wanted = false
    clearInterval(this.guard)
    this.guard = undefined
    this.close('paused')
  }

  /** Calls f when topics changed, or 'all' after a time without news. Returns what ends it. */
  on(f: Listener): () => void {
    this.listeners.add(f)
    return () => this.listeners.delete(f)
  }

  dismiss(id: number): void {
    this.alerts = this.alerts.filter((a) => a.id !== id)
  }

  private visibility = (): void => {
    if (!this.wanted) return
    if (document.hidden) {
      this.opened = true // what was read before is old by the time the tab is seen
      this.close('paused')
    } else this.open()
  }

  private close(state: State): void {
    clearTimeout(this.retry)
    this.source?.close()
    this.source = undefined
    this.state = state
  }

  private reopen(): void {
    this.close('lost')
    this.retry = setTimeout(() => this.open(), 1000 + Math.random() * 2000)
  }

  private open(): void {
    if (this.source) return
    clearTimeout(this.retry)
    if (this.state !== 'lost') this.state = 'connecting'
    const source = new EventSource('/v1/events')
    this.source = source
    this.heard = Date.now()
    source.addEventListener('hello', (e) => this.hello(JSON.parse(e.data)))
    source.addEventListener('changed', (e) => this.tell(new Set<string>(JSON.parse(e.data).topics)))
    source.addEventListener('live', (e) => this.live(JSON.parse(e.data)))
    source.addEventListener('alert', (e) => this.alert(JSON.parse(e.data)))
    source.onerror = () => {
      // The browser tries again by itself unless the answer was no event stream.
      if (source.readyState === EventSource.CLOSED) this.reopen()
      else this.state = 'lost'
    }
  }

  private hello(m: { revision: number; now: string }): void {
    this.heard = Date.now()
    this.state = 'live'
    this.revision = m.revision
    clock.set(m.now)
    // What was read before the first stream opened is as fresh as it gets.
    if (this.opened) this.tell('all')
    this.opened = true
  }

  private tell(topics: ReadonlySet<string> | 'all'): void {
    this.heard = Date.now()
    for (const f of this.listeners) f(topics)
  }

  private live(m: { now: string; resources: Record<string, LiveRow>; totals: [number, number, number] }): void {
    this.heard = Date.now()
    this.state = 'live'
    clock.set(m.now)
    this.resources = m.resources
    this.totals = m.totals
    this.history = [...this.history.slice(1 - kept), { t: new Date(m.now).getTime(), calls: m.totals[0], errors: m.totals[1] }]
  }

  private alert(m: Omit<Alert, 'id'>): void {
    this.heard = Date.now()
    this.alerts = [...this.alerts.slice(-3), { ...m, id: ++this.alertID }]
  }
}

export const events = new Events()
