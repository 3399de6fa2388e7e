// Reads that stay current: read again when the centre says that one of their topics changed, at most once a second. The last
// answer of an address is kept, so that going back shows something at once.
import { untrack } from 'svelte'
import { ApiError, call, take } from './api'
import { events } from './events.svelte'

const lastAnswers = new Map<string, unknown>()
const keptAnswers = 60
const between = 1000
const patience = 20_000

export interface Query<T> {
  readonly data: T | undefined
  readonly error: ApiError | undefined
  readonly loading: boolean
  reload(): Promise<void>
}

function remember(path: string, data: unknown): void {
  lastAnswers.delete(path)
  lastAnswers.set(path, data)
  if (lastAnswers.size > keptAnswers) lastAnswers.delete(lastAnswers.keys().next().value!)
}

/** Forgets all answers: another person may log in. */
export function forget(): void {
  lastAnswers.clear()
}

/**
 * Reads path while the component stands; what is known of it is there at once. A topic may end in `*`. With `every` (ms) it is read at that pace too, for figures
 * that change all the time; not while the tab is hidden.
 */
export function query<T>(path: () => string | null, topics: () => string[], every = 0): Query<T> {
  const first = untrack(path)
  const taken = first === null ? undefined : take<T>(first)
  if (first !== null && taken) remember(first, taken)
  let data = $state.raw<T | undefined>(first === null ? undefined : (lastAnswers.get(first) as T | undefined))
  let error = $state.raw<ApiError>()
  let loading = $state(false)
  let current = taken ? first : null
  let abort: AbortController | undefined
  let again = false // something changed since the last read began
  let timer: ReturnType<typeof setTimeout> | undefined
  let last = taken ? Date.now() : 0

  async function load(): Promise<void> {
    const at = current
    if (at === null) return
    clearTimeout(timer)
    timer = undefined
    abort?.abort()
    const mine = (abort = new AbortController())
    loading = true
    again = false
    last = Date.now()
    try {
      const answer = await call<T>('GET', at, { signal: mine.signal })
      if (mine.signal.aborted) return
      remember(at, answer)
      data = answer
      error = undefined
    } catch (e) {
      if (mine.signal.aborted) return
      error = e instanceof ApiError ? e : new ApiError(0, 'unreadable', String(e))
    }
    loading = false
    if (again) soon()
  }

  /**
   * A little later, together with what else changes by then. What is on its way is let come, for a while: else there would be no answer at
   * all where each takes longer than the time between two changes. While the tab is hidden nothing is read: all is when it is seen again.
   */
  function soon(): void {
    if (document.hidden) return
    if (loading && Date.now() - last < patience) {
      again = true
      return
    }
    timer ??= setTimeout(() => {
      timer = undefined
      if (!document.hidden) void load()
    }, Math.max(80, last + between - Date.now()))
  }

  $effect(() => {
    const p = path()
    if (p === current) return
    current = p
    data = p === null ? undefined : (lastAnswers.get(p) as T | undefined)
    error = undefined
    void load()
  })

  $effect(() => {
    const mine = topics()
    const hit = (topic: string) => mine.some((m) => (m.endsWith('*') ? topic.startsWith(m.slice(0, -1)) : m === topic))
    const off = events.on((changed) => {
      if (changed === 'all' || [...changed].some(hit)) soon()
    })
    const ticker = every ? setInterval(soon, every) : undefined
    return () => {
      off()
      clearInterval(ticker)
    }
  })

  $effect(() => () => {
    clearTimeout(timer)
    abort?.abort()
  })

  return {
    get data() {
      return data
    },
    get error() {
      return error
    },
    get loading() {
      return loading
    },
    reload: load,
  }
}
