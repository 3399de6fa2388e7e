/**
 * Places for labels that want to be at some, which ascend: each at least `gap` from the next, none before `low` or after `high`, and as
 * near to where it wants to be as that leaves. Labels that do not all fit stand closer.
 */
export function apart(wanted: number[], gap: number, low: number, high: number): number[] {
  const step = Math.min(gap, (high - low) / Math.max(1, wanted.length - 1))
  const places: number[] = []
  for (const at of wanted) places.push(Math.max(at, low, (places.at(-1) ?? -Infinity) + step))
  for (let i = places.length - 1, most = high; i >= 0; i--, most -= step) places[i] = Math.min(places[i]!, most)
  return places
}
