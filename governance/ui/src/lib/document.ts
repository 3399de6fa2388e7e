// A resource's document: what the form reads of the text, and how it changes a field in it.
import { read, uncomment, Unreadable, type Node, type Value } from './yaml'

export type Path = (string | number)[]
export interface Parsed { value: Record<string, unknown>; error?: { line: number; message: string } }

export function parse(text: string): Parsed {
  try {
    const { value } = read(text)
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return { value: {}, error: { line: 1, message: 'the document is not a mapping' } }
    return { value }
  } catch (e) {
    if (e instanceof Unreadable) return { value: {}, error: { line: e.line, message: e.message } }
    throw e
  }
}

export function get(value: unknown, path: Path): unknown {
  let at: unknown = value
  for (const p of path) {
    if (at === null || typeof at !== 'object') return undefined
    at = (at as Record<string | number, unknown>)[p]
  }
  return at
}

/** The text with one field set; undefined or '' removes it, and sections that are empty then. Text that is not read stays. */
export function set(text: string, path: Path, value: unknown): string {
  let root: Node
  try {
    root = read(text)
  } catch {
    return text
  }
  const remove = value === undefined || value === ''
  // Below a list or a flow mapping the text is written anew from there.
  let node: Node = root
  let depth = 0
  while (depth < path.length && node.kind === 'map') {
    const next = node.children!.get(String(path[depth]))
    if (!next) break
    node = next
    depth++
  }
  const lines = text.split('\n')
  if (depth === path.length) {
    if (!remove) return write(lines, root, path, value as Value)
    const parent = path.slice(0, -1)
    const siblings = get(root.value, parent)
    if (parent.length > 0 && siblings !== null && typeof siblings === 'object' && Object.keys(siblings).length === 1) return set(text, parent, undefined)
    lines.splice(node.first, node.last - node.first)
    return lines.join('\n')
  }
  const rest = path.slice(depth)
  if (node.kind === 'map' || node.value === null) return remove ? text : insert(lines, root, path, depth, node, value as Value)
  const changed = changedCopy(node.value, rest, remove ? undefined : (value as Value))
  if (changed === undefined) return set(text, path.slice(0, depth), undefined)
  return write(lines, root, path.slice(0, depth), changed, node.kind === 'flow')
}

/** A copy of a list or mapping with something in it set or removed; undefined when nothing is left. */
function changedCopy(v: Value, path: Path, value: Value | undefined): Value | undefined {
  const [head, ...rest] = path
  const copy: Value[] | { [key: string]: Value } = Array.isArray(v) ? [...v] : v !== null && typeof v === 'object' ? { ...v } : {}
  const at = copy as Record<string | number, Value>
  const next = rest.length ? changedCopy(at[head!] ?? null, rest, value) : value
  if (next !== undefined) at[head!] = next
  else if (Array.isArray(copy)) copy.splice(Number(head), 1)
  else delete at[head!]
  return Object.keys(copy).length ? copy : undefined
}

function find(root: Node, path: Path): Node {
  return path.reduce<Node>((n, p) => n.children!.get(String(p))!, root)
}

/** Replaces the value of a key that is there, and keeps the comment on its line. */
function write(lines: string[], root: Node, path: Path, value: Value, flow = false): string {
  const node = find(root, path)
  const line = lines[node.first]!
  const bare = uncomment(line)
  const comment = line.slice(bare.length)
  const column = find(root, path.slice(0, -1)).indent
  // In a list the first key follows the dash.
  const head = /^[\s-]*?("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^:]*?(?::\S[^:]*?)*?)\s*:(?=\s|$)/.exec(bare)![0]
  if (isScalar(value) || flow) lines.splice(node.first, node.last - node.first, `${head} ${flow ? inline(value) : plain(value)}${comment ? ' ' + comment : ''}`)
  else lines.splice(node.first, node.last - node.first, `${head}${comment ? ' ' + comment : ''}`, ...block(value, column + 2))
  return lines.join('\n')
}

/** Adds what is missing of a path below the deepest mapping that is there. */
function insert(lines: string[], root: Node, path: Path, depth: number, node: Node, value: Value): string {
  const column = node.kind === 'map' ? node.indent : find(root, path.slice(0, depth - 1)).indent + 2
  let nested: Value = value
  for (const key of path.slice(depth + 1).reverse()) nested = { [String(key)]: nested }
  let end = node.last
  // The document's last line may be empty.
  if (node === root && end > lines.length) end = lines.length
  lines.splice(end, 0, ...block({ [String(path[depth])]: nested }, column))
  return lines.join('\n')
}

const isScalar = (v: Value): boolean => v === null || typeof v !== 'object' || Object.keys(v).length === 0

/** A scalar, quoted where it would be read as something else. */
export function plain(v: Value): string {
  if (v === null) return 'null'
  if (typeof v === 'object') return Array.isArray(v) ? '[]' : '{}'
  if (typeof v !== 'string') return String(v).replace(/^(-?\d+)e/, '$1.0e') // without a point it is text for the centre
  const safe = /^[A-Za-z0-9_./$(+-][^#\x00-\x1f\x7f]*$/.test(v) && !/(: |:$| #|^-(?![\w.])|\s$|^---|^\.\.\.|<<)/.test(v) && !/^(true|false|null|yes|no|on|off|~|[-+]?[\d._]+(e[-+]?\d+)?|[-+]?0[xob][\da-f_]+|[-+]?\.(inf|nan)|\d{4}-\d\d?-\d\d?.*)$/i.test(v)
  return safe ? v : JSON.stringify(v)
}

function inline(v: Value): string {
  if (Array.isArray(v)) return `[${v.map(inline).join(', ')}]`
  if (v !== null && typeof v === 'object') return `{ ${Object.entries(v).map(([k, x]) => `${inline(k)}: ${inline(x)}`).join(', ')} }`
  const p = plain(v)
  return typeof v === 'string' && !p.startsWith('"') && /[,[\]{}:*]/.test(p) ? JSON.stringify(v) : p
}

function block(v: Value, indent: number): string[] {
  const pad = ' '.repeat(indent)
  if (Array.isArray(v)) {
    return v.flatMap((x) => {
      if (isScalar(x)) return [`${pad}- ${plain(x)}`]
      const [first, ...rest] = block(x, indent + 2)
      return [`${pad}- ${first!.trimStart()}`, ...rest]
    })
  }
  return Object.entries(v as { [key: string]: Value }).flatMap(([k, x]) => (isScalar(x) ? [`${pad}${plain(k)}: ${plain(x)}`] : [`${pad}${plain(k)}:`, ...block(x, indent + 2)]))
}
