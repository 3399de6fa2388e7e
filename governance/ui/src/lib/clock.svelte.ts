// The centre's time, by which countdowns run: this machine's clock may be wrong. It ticks while the page is visible.

class Clock {
  private offset = 0
  now = $state(Date.now())

  constructor() {
    setInterval(() => this.tick(), 1000)
    document.addEventListener('visibilitychange', () => this.tick())
  }

  private tick(): void {
    if (!document.hidden) this.now = Date.now() + this.offset
  }

  /** Takes the centre's time from a message. Small differences are the network's. */
  set(server: string | number): void {
    const at = new Date(server).getTime()
    if (Number.isNaN(at)) return
    const offset = at - Date.now()
    if (Math.abs(offset - this.offset) > 1500) {
      this.offset = offset
      this.tick()
    }
  }
}

export const clock = new Clock()
