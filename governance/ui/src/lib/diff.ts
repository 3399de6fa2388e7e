// Line difference of two texts, for versions of a document: documents are some hundred lines, so the plain table of common
// subsequences is fast enough once equal ends are cut off.

export interface Line { kind: 'same' | 'gone' | 'new'; text: string }

export function lines(before: string, after: string): Line[] {
  const a = before.replace(/\n$/, '').split('\n')
  const b = after.replace(/\n$/, '').split('\n')
  let head = 0
  while (head < a.length && head < b.length && a[head] === b[head]) head++
  let tail = 0
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++
  const same = (text: string): Line => ({ kind: 'same', text })
  return [
    ...a.slice(0, head).map(same),
    ...middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail)),
    ...a.slice(a.length - tail).map(same),
  ]
}

function middle(a: string[], b: string[]): Line[] {
  const width = b.length + 1
  const common = new Uint32Array((a.length + 1) * width)
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i * width + j] =
        a[i] === b[j] ? common[(i + 1) * width + j + 1]! + 1 : Math.max(common[(i + 1) * width + j]!, common[i * width + j + 1]!)
    }
  }
  const out: Line[] = []
  let i = 0
  let j = 0
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      out.push({ kind: 'same', text: a[i]! })
      i++
      j++
    } else if (common[(i + 1) * width + j]! >= common[i * width + j + 1]!) {
      out.push({ kind: 'gone', text: a[i++]! })
    } else {
      out.push({ kind: 'new', text: b[j++]! })
    }
  }
  while (i < a.length) out.push({ kind: 'gone', text: a[i++]! })
  while (j < b.length) out.push({ kind: 'new', text: b[j++]! })
  return out
}

/** Keeps `around` equal lines beside what changed; null stands for lines left out. */
export function folded(all: Line[], around = 3): (Line | null)[] {
  const keep = new Array<boolean>(all.length).fill(false)
  all.forEach((l, i) => {
    if (l.kind === 'same') return
    for (let k = Math.max(0, i - around); k <= Math.min(all.length - 1, i + around); k++) keep[k] = true
  })
  const out: (Line | null)[] = []
  all.forEach((l, i) => {
    if (keep[i]) out.push(l)
    else if (out[out.length - 1] !== null) out.push(null)
  })
  return out
}
