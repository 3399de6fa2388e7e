// Who is logged in, and what they may do. What a person may not do is not offered; the centre checks again by itself.
import { ApiError, call, take } from './api'
import type { Me, Rights } from './types'

const nothing: Rights = { view: false, edit: false, publish: false, command: false, admin: false }

class Session {
  me = $state.raw<Me>()
  state = $state<'unknown' | 'in' | 'out' | 'unreachable'>('unknown')
  rights = $derived(this.me?.rights ?? nothing)

  async load(): Promise<void> {
    try {
      this.me = take<Me>('/v1/me') ?? (await call<Me>('GET', '/v1/me'))
      this.state = 'in'
    } catch (e) {
      this.state = e instanceof ApiError && (e.status === 401 || e.status === 403) ? 'out' : 'unreachable'
    }
  }
}

export const session = new Session()
