// Columns of a table and the order of its rows.
export interface Column<Row> {
  id: string
  title: string
  /** What rows are ordered by. */
  sort?: (row: Row) => number | string
  num?: boolean
  /** Left out on a phone. */
  wide?: boolean
  /** Width class; the column without one takes what is left. */
  size?: 'xs' | 's' | 'm' | 'l' | 'xl'
}

/** Made when texts are first compared: that takes a browser milliseconds, and the first view orders by numbers. */
let collator: Intl.Collator | undefined
const compared = (a: string, b: string): number => (collator ??= new Intl.Collator(undefined, { numeric: true })).compare(a, b)

/** A sorted copy; equal rows stay in their order. Without a column the rows as they are. */
export function sorted<Row>(rows: Row[], by: Column<Row> | undefined, down: boolean): Row[] {
  if (!by?.sort) return rows
  const of = by.sort
  const keyed = rows.map((row, i) => ({ row, i, k: of(row) }))
  keyed.sort((a, b) => {
    const c = typeof a.k === 'number' && typeof b.k === 'number' ? a.k - b.k : compared(String(a.k), String(b.k))
    return (down ? -c : c) || a.i - b.i
  })
  return keyed.map((x) => x.row)
}

/** Whether any of the texts holds all words of what is searched. */
export function matches(search: string, ...texts: (string | undefined)[]): boolean {
  const all = texts.filter(Boolean).join(' ').toLowerCase()
  return search.toLowerCase().split(/\s+/).every((w) => all.includes(w))
}
