/** Calls f when the frame that is being made is on the screen. Returns what takes that back. A tab that is hidden paints none. */
export function afterPaint(f: () => void): () => void {
  let frame = requestAnimationFrame(() => (frame = requestAnimationFrame(f)))
  return () => cancelAnimationFrame(frame)
}
