// Dry runs of what a form holds, a moment after the last change, with the newest answer only.
import { ApiError, call } from './api'

export interface Trial<T> {
  readonly data: T | undefined
  readonly error: ApiError | undefined
  readonly busy: boolean
}

/** Sends body to path whenever it changes; null means that there is nothing to try yet. */
export function trial<T>(path: string, body: () => unknown | null, wait = 350): Trial<T> {
  let data = $state.raw<T>()
  let error = $state.raw<ApiError>()
  let busy = $state(false)

  $effect(() => {
    const b = body()
    const text = b === null ? '' : JSON.stringify(b)
    if (!text) {
      data = error = undefined
      busy = false
      return
    }
    busy = true
    const abort = new AbortController()
    const timer = setTimeout(async () => {
      try {
        data = await call<T>('POST', path, { body: JSON.parse(text), signal: abort.signal })
        error = undefined
      } catch (e) {
        if (abort.signal.aborted) return
        data = undefined
        error = e instanceof ApiError ? e : new ApiError(0, 'unreadable', String(e))
      }
      busy = false
    }, wait)
    return () => {
      clearTimeout(timer)
      abort.abort()
    }
  })

  return {
    get data() {
      return data
    },
    get error() {
      return error
    },
    get busy() {
      return busy
    },
  }
}
