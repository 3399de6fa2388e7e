// What lies over the page: short notices, the palette, the dialog for a command.
import type { Order } from './types'

/** What takes back what a notice tells of, and its command line. */
export interface Undo { line: string; act: () => void }
export interface Notice { id: number; kind: 'ok' | 'bad'; text: string; undo?: Undo }

class UI {
  notices = $state.raw<Notice[]>([])
  palette = $state(false)
  menu = $state(false)
  keys = $state(false)
  order = $state.raw<Partial<Order>>()
  private next = 0

  /** Says that something was done, or was not. */
  say(text: string, kind: Notice['kind'] = 'ok', undo?: Undo): void {
    const n = { id: ++this.next, kind, text, undo }
    this.notices = [...this.notices.slice(-2), n]
    setTimeout(() => this.close(n.id), kind === 'ok' ? 6000 : 12000)
  }

  close(id: number): void {
    this.notices = this.notices.filter((n) => n.id !== id)
  }
}

export const ui = new UI()
