// Reads the part of YAML that configuration is written in, and changes single fields of it in the text, so that comments and
// order stay: block mappings and lists, flow ones, plain and quoted scalars, literal blocks. What goes beyond (anchors, tags,
// several documents, complex keys) is an Unreadable: the form steps back and the text alone is edited. The centre's own
// reading of the text is what counts.

export class Unreadable extends Error {
  constructor(
    readonly line: number,
    why: string,
  ) {
    super(why)
  }
}

export type Value = string | number | boolean | null | Value[] | { [key: string]: Value }

/** A value and the lines that it takes: the first holds its key or dash, the last is exclusive. */
export interface Node {
  value: Value
  first: number
  last: number
  /** Column of the keys or dashes inside; -1 for scalars and flow. */
  indent: number
  kind: 'map' | 'list' | 'flow' | 'scalar'
  /** Children of a block mapping. */
  children?: Map<string, Node>
}

const keyPattern = /^("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^ \t#[\]{},"'&*!|>%@`-](?:[^#:]|:(?=[^ \t]))*?|-[^ \t#:](?:[^#:]|:(?=[^ \t]))*?)[ \t]*:(?=[ \t]|$)/

// Space in YAML is a blank or a tab; other spaces of Unicode, which trim and \s of the language mean too, are text.
const trimStart = (s: string): string => s.replace(/^[ \t]+/, '')
const trim = (s: string): string => trimStart(s).replace(/[ \t]+$/, '')

export function read(text: string): Node {
  return new Reader(text).document()
}

class Reader {
  private at = 0
  private readonly lines: string[]

  constructor(text: string) {
    this.lines = text.split('\n').map((l) => l.replace(/\r$/, ''))
  }

  document(): Node {
    this.skip()
    if (trim(this.lines[this.at] ?? '') === '---') {
      this.at++
      this.skip()
    }
    const node = this.at >= this.lines.length ? empty(this.at) : this.block(this.indent())
    this.skip()
    if (this.at < this.lines.length) throw this.fail('this line does not fit what is above it')
    return node
  }

  private fail(why: string): Unreadable {
    return new Unreadable(this.at + 1, why)
  }

  /** Goes to the next line that holds something. */
  private skip(): void {
    while (this.at < this.lines.length && /^[ \t]*(#|$)/.test(this.lines[this.at]!)) this.at++
  }

  private indent(): number {
    const l = this.lines[this.at] ?? ''
    if (/^ *\t/.test(l)) throw this.fail('a tab cannot indent')
    return l.length - trimStart(l).length
  }

  private block(indent: number): Node {
    const rest = this.lines[this.at]!.slice(indent)
    if (/^-([ \t]|$)/.test(rest)) return this.list(indent)
    if (keyPattern.test(rest)) return this.map(indent)
    throw this.fail('expected "key: value"')
  }

  private map(indent: number): Node {
    const first = this.at
    const children = new Map<string, Node>()
    const value: { [key: string]: Value } = {}
    let last = first
    for (this.skip(); this.at < this.lines.length && this.indent() === indent; this.skip()) {
      const line = this.lines[this.at]!.slice(indent)
      const m = keyPattern.exec(line)
      if (!m) {
        if (/^-([ \t]|$)/.test(line)) break
        throw this.fail('expected "key: value"')
      }
      const key = keyText(m[1]!, this.at)
      if (children.has(key)) throw this.fail(`"${key}" is there twice`)
      const child = this.after(line.slice(m[0].length), indent, false)
      children.set(key, child)
      value[key] = child.value
      last = child.last
    }
    if (this.at < this.lines.length && this.indent() > indent) throw this.fail('this line is indented too far')
    return { value, first, last, indent, kind: 'map', children }
  }

  private list(indent: number): Node {
    const first = this.at
    const value: Value[] = []
    let last = first
    for (this.skip(); this.at < this.lines.length && this.indent() === indent; this.skip()) {
      const line = this.lines[this.at]!.slice(indent)
      if (!/^-([ \t]|$)/.test(line)) break
      const inner = trimStart(line.slice(1))
      let child: Node
      if (keyPattern.test(inner) || /^-([ \t]|$)/.test(inner)) {
        // The dash stands for a space of the indentation of what follows it.
        const column = indent + line.length - inner.length
        this.lines[this.at] = ' '.repeat(column) + inner
        child = this.block(column)
      } else child = this.after(line.slice(1), indent, true)
      value.push(child.value)
      last = child.last
    }
    return { value, first, last, indent, kind: 'list' }
  }

  /** What follows a key or a dash on its line, and the lines below that belong to it. */
  private after(text: string, indent: number, inList: boolean): Node {
    const first = this.at
    const rest = trim(uncomment(text))
    if (rest === '') {
      this.at++
      const here = this.at
      this.skip()
      const deeper = this.at < this.lines.length ? this.indent() : -1
      const sameList = !inList && deeper === indent && /^-([ \t]|$)/.test(this.lines[this.at]!.slice(indent))
      if (deeper > indent || sameList) return { ...this.block(deeper), first }
      this.at = here
      return { value: null, first, last: here, indent: -1, kind: 'scalar' }
    }
    if (/^[|>]/.test(rest)) return this.literal(rest, indent)
    if (/^[[{]/.test(rest)) return this.flow(rest)
    if (/^[&*!%@`]/.test(rest)) throw this.fail(`${rest[0]} is not read here`)
    this.at++
    const value = scalar(rest, first)
    this.skipNothing(indent)
    return { value, first, last: this.at, indent: -1, kind: 'scalar' }
  }

  /** A plain scalar that goes on in the next line is not read here. */
  private skipNothing(indent: number): void {
    const next = this.lines[this.at]
    if (next !== undefined && trim(next) && !trimStart(next).startsWith('#') && this.indent() > indent) throw this.fail('this line is indented too far')
  }

  private literal(head: string, indent: number): Node {
    const first = this.at++
    if (!/^[|>]-?$/.test(head)) throw this.fail('this form of block is not read here')
    const body: string[] = []
    while (this.at < this.lines.length && (trim(this.lines[this.at]!) === '' || this.indent() > indent)) body.push(this.lines[this.at++]!)
    const column = Math.min(...body.filter((l) => trim(l)).map((l) => l.length - trimStart(l).length))
    if (body.some((l) => trim(l) === '' && (l.length > column || l.includes('\t')))) throw this.fail('a line of blanks is not read here')
    while (body.length && trim(body[body.length - 1]!) === '') {
      body.pop()
      this.at--
    }
    if (body.length === 0) throw this.fail('a block with nothing in it is not read here')
    if (head.endsWith('-') && /[ \t]$/.test(body.at(-1)!)) throw this.fail('a block cannot end with a blank')
    if (head[0] === '>' && body.some((l) => /^[ \t]|^$/.test(l.slice(column)))) throw this.fail('this form of block is not read here')
    const joined = body.map((l) => l.slice(column)).join(head[0] === '|' ? '\n' : ' ')
    return { value: joined + (head.endsWith('-') ? '' : '\n'), first, last: this.at, indent: -1, kind: 'scalar' }
  }

  private flow(start: string): Node {
    const first = this.at++
    let text = start
    while (!balanced(text)) {
      if (this.at >= this.lines.length) throw new Unreadable(first + 1, 'a bracket is not closed')
      const more = trim(uncomment(this.lines[this.at++]!))
      if (!more) throw new Unreadable(this.at, 'a line with nothing in it, within brackets, is not read here')
      text += ' ' + more
    }
    return { value: new Flow(text, first).whole(), first, last: this.at, indent: -1, kind: 'flow' }
  }
}

function empty(line: number): Node {
  return { value: {}, first: line, last: line, indent: 0, kind: 'map', children: new Map() }
}

/** Reads {a: b} and [a, b]. */
class Flow {
  private at = 0
  constructor(
    private readonly text: string,
    private readonly line: number,
  ) {}

  whole(): Value {
    const v = this.value()
    this.space()
    if (this.at < this.text.length) throw new Unreadable(this.line + 1, 'something follows the closing bracket')
    return v
  }

  private space(): void {
    while (this.text[this.at] === ' ') this.at++
  }

  private value(): Value {
    this.space()
    if (this.text[this.at] === '{') return this.map()
    if (this.text[this.at] === '[') return this.list()
    return scalar(this.word(/[,\]}]/), this.line)
  }

  private map(): Value {
    const out: { [key: string]: Value } = {}
    this.at++
    for (this.space(); this.text[this.at] !== '}'; this.space()) {
      const word = this.word(/[:,}]/)
      if (/^[^"'].*:/.test(word)) throw new Unreadable(this.line + 1, 'a key with a colon in it needs quotes')
      const key = keyText(word, this.line)
      this.space()
      if (this.text[this.at] === ':') {
        this.at++
        out[key] = this.value()
      } else out[key] = null
      this.comma('}')
    }
    this.at++
    return out
  }

  private list(): Value {
    const out: Value[] = []
    this.at++
    for (this.space(); this.text[this.at] !== ']'; this.space()) {
      out.push(this.value())
      this.comma(']')
    }
    this.at++
    return out
  }

  private comma(end: string): void {
    this.space()
    if (this.text[this.at] === ',') this.at++
    else if (this.text[this.at] !== end) throw new Unreadable(this.line + 1, `expected a comma or ${end}`)
  }

  /** Up to a mark; a colon ends a word only before a space or a mark, so that addresses stay whole. */
  private word(marks: RegExp): string {
    const quote = this.text[this.at]
    const start = this.at
    if (quote === '"' || quote === "'") {
      this.at = closing(this.text, this.at) + 1
      return this.text.slice(start, this.at)
    }
    for (; this.at < this.text.length; this.at++) {
      const c = this.text[this.at]!
      if (c === ':' && marks.test(c) && !/[ \t,\]}]/.test(this.text[this.at + 1] ?? ' ')) continue
      if (marks.test(c)) break
    }
    return trim(this.text.slice(start, this.at))
  }
}

/** Index of the quote that ends the one at `from`. */
function closing(text: string, from: number): number {
  const q = text[from]!
  for (let i = from + 1; i < text.length; i++) {
    if (q === '"' && text[i] === '\\') i++
    else if (text[i] === q) {
      if (q === "'" && text[i + 1] === "'") i++
      else return i
    }
  }
  return text.length
}

/** Without the comment at its end. */
export function uncomment(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const c = text[i]
    // A quote opens a quoted scalar only where a value may begin.
    if ((c === '"' || c === "'") && /(^|[ \t[{,:])$/.test(text.slice(0, i))) i = closing(text, i)
    else if (c === '#' && (i === 0 || /[ \t]/.test(text[i - 1]!))) return text.slice(0, i)
  }
  return text
}

function balanced(text: string): boolean {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!
    if (c === '"' || c === "'") i = closing(text, i)
    else if (c === '[' || c === '{') depth++
    else if (c === ']' || c === '}') depth--
  }
  return depth <= 0
}

/** A key is the text that is written, also one that looks like a number. */
function keyText(text: string, line: number): string {
  const value = scalar(text, line)
  if (value === null || /^[^"'].*<</.test(text) || text.startsWith('<<')) throw new Unreadable(line + 1, 'a key must be text')
  return typeof value === 'string' ? value : text
}

function scalar(text: string, line: number): string | number | boolean | null {
  if (text.startsWith('"')) {
    if (closing(text, 0) !== text.length - 1) throw new Unreadable(line + 1, 'a quote is not closed')
    try {
      return JSON.parse(text) as string
    } catch {
      throw new Unreadable(line + 1, 'this escape is not read here')
    }
  }
  if (text.startsWith("'")) {
    if (closing(text, 0) !== text.length - 1) throw new Unreadable(line + 1, 'a quote is not closed')
    return text.slice(1, -1).replaceAll("''", "'")
  }
  if (/^[&*!%@`|>]/.test(text)) throw new Unreadable(line + 1, `${text[0]} is not read here`)
  if (/: /.test(text) || text.endsWith(':')) throw new Unreadable(line + 1, 'a second colon needs quotes')
  if (/^(~|null|Null|NULL)?$/.test(text)) return null
  if (/^(true|True|TRUE)$/.test(text)) return true
  if (/^(false|False|FALSE)$/.test(text)) return false
  if (/^[-+]?(0|[1-9]\d*|(\d+\.\d*|\.\d+)([eE][-+]?\d+)?)$/.test(text)) return Number(text)
  if (/^[-+]?(0\d+|[\d.]*\d[\d.]*_[\d._]*)([eE][-+]?\d+)?$/.test(text)) throw new Unreadable(line + 1, 'a number needs to be without zeros before it and without _, and a text in quotes')
  if (/^([-?:]([ \t]|$)|---|\.\.\.)/.test(text)) throw new Unreadable(line + 1, `${text[0]} is not read here`)
  if (/[\x00-\x1f\x7f]/.test(text)) throw new Unreadable(line + 1, 'a tab, or another control character, needs quotes')
  return text
}
