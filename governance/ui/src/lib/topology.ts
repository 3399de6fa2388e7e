// Places for who calls what: applications left, resources right with a line for each group, edges between. Ordering by the
// mean place of what a node is joined to keeps edges from crossing.
import { nanos } from './format'
import type { Health, Topology } from './types'

export interface AppNode { name: string; y: number; agents: number; idcs: string[]; calls: number }
export interface GroupSlot { name: string; y: number; calls: number; errors: number }
export interface ResourceNode { name: string; kind: string; health: Health; y: number; height: number; calls: number; groups: GroupSlot[] }
export interface Edge { id: string; application: string; resource: string; group: string; calls: number; errors: number; p99: number; y1: number; y2: number; width: number }
export interface Layout { apps: AppNode[]; resources: ResourceNode[]; edges: Edge[]; height: number; hiddenApps: number; hiddenResources: number }

export const appHeight = 40
const gap = 12
const head = 30
const slot = 22

const add = (m: Map<string, number>, k: string, n: number) => m.set(k, (m.get(k) ?? 0) + n)

/** Edges of one application, resource and group are one, over all data centres; p99 is then the worst of them. */
function joined(t: Topology, keep: (app: string, resource: string) => boolean) {
  const out = new Map<string, Edge>()
  for (const e of t.edges) {
    if (!keep(e.application, e.resource)) continue
    const id = `${e.application}\n${e.resource}\n${e.group ?? ''}`
    const at = out.get(id) ?? { id, application: e.application, resource: e.resource, group: e.group ?? '', calls: 0, errors: 0, p99: 0, y1: 0, y2: 0, width: 1 }
    at.calls += e.calls
    at.errors += e.errors
    at.p99 = Math.max(at.p99, nanos(e.p99))
    out.set(id, at)
  }
  return [...out.values()]
}

/** The busiest names of a side, at most `most`. */
function busiest(names: string[], calls: Map<string, number>, most: number): Set<string> {
  return new Set([...names].sort((a, b) => (calls.get(b) ?? 0) - (calls.get(a) ?? 0) || a.localeCompare(b)).slice(0, most))
}

/** Lays out what passes the filter, at most `most` nodes a side. */
export function layout(t: Topology, passes: (app: string, resource: string) => boolean, most: number): Layout {
  const perApp = new Map<string, number>()
  const perResource = new Map<string, number>()
  for (const e of t.edges) {
    if (!passes(e.application, e.resource)) continue
    add(perApp, e.application, e.calls)
    add(perResource, e.resource, e.calls)
  }
  const apps = busiest(t.applications.map((a) => a.name).filter((n) => perApp.has(n)), perApp, most)
  const resources = busiest(t.resources.map((r) => r.name).filter((n) => perResource.has(n)), perResource, most)
  const edges = joined(t, (a, r) => apps.has(a) && resources.has(r) && passes(a, r))

  let left = [...apps].sort()
  let right = [...resources].sort()
  for (let i = 0; i < 4; i++) {
    right = byMean(right, left, edges.map((e) => [e.resource, e.application, e.calls]))
    left = byMean(left, right, edges.map((e) => [e.application, e.resource, e.calls]))
  }
  return place(t, left, right, edges, perApp, perResource)
}

function byMean(names: string[], other: string[], links: [string, string, number][]): string[] {
  const at = new Map(other.map((n, i) => [n, i / Math.max(1, other.length)]))
  const sum = new Map<string, [number, number]>()
  for (const [n, o, calls] of links) {
    const w = Math.log2(2 + calls)
    const [s, c] = sum.get(n) ?? [0, 0]
    sum.set(n, [s + (at.get(o) ?? 0) * w, c + w])
  }
  const mean = (n: string) => {
    const [s, c] = sum.get(n) ?? [0.5, 1]
    return s / c
  }
  return [...names].sort((a, b) => mean(a) - mean(b) || a.localeCompare(b))
}

function place(t: Topology, left: string[], right: string[], edges: Edge[], perApp: Map<string, number>, perResource: Map<string, number>): Layout {
  let y = 0
  const nodes: ResourceNode[] = right.map((name) => {
    const r = t.resources.find((x) => x.name === name)!
    const named = new Set([...(r.groups ?? []).map((g) => (typeof g === 'string' ? g : g.name)), ...edges.filter((e) => e.resource === name).map((e) => e.group)])
    const groups = [...named].filter(Boolean).sort()
    const height = head + Math.max(1, groups.length) * slot + 6
    const node: ResourceNode = {
      name, kind: r.kind, health: r.health, y, height, calls: perResource.get(name) ?? 0,
      groups: groups.map((g, i) => ({ name: g, y: y + head + i * slot + slot / 2, calls: 0, errors: 0 })),
    }
    y += height + gap
    return node
  })
  const leftHeight = left.length * (appHeight + gap) - gap
  const height = Math.max(y - gap, leftHeight, 80)
  // The shorter side is spread over the height of the longer one, up to a distance at which it still is one column; over all of it
  // where the picture is higher than a window, which else would show one side alone.
  const stride = Math.min(height > 3000 ? Infinity : appHeight + 110, left.length > 1 ? (height - appHeight) / (left.length - 1) : 0)
  const start = (height - stride * (left.length - 1) - appHeight) / 2
  const apps: AppNode[] = left.map((name, i) => {
    const a = t.applications.find((x) => x.name === name)!
    return { name, agents: a.agents, idcs: a.idcs ?? [], y: start + i * stride, calls: perApp.get(name) ?? 0 }
  })
  const shift = (height - (y - gap)) / 2
  for (const n of nodes) {
    n.y += shift
    for (const g of n.groups) g.y += shift
  }
  const top = Math.max(1, ...edges.map((e) => e.calls))
  const appAt = new Map(apps.map((a) => [a.name, a]))
  const nodeAt = new Map(nodes.map((n) => [n.name, n]))
  for (const e of edges) {
    const n = nodeAt.get(e.resource)!
    const g = n.groups.find((x) => x.name === e.group)
    e.y1 = appAt.get(e.application)!.y + appHeight / 2
    e.y2 = g ? g.y : n.y + head / 2
    e.width = 1 + 4 * Math.sqrt(e.calls / top)
    if (g) {
      g.calls += e.calls
      g.errors += e.errors
    }
  }
  return { apps, resources: nodes, edges, height, hiddenApps: perApp.size - left.length, hiddenResources: perResource.size - right.length }
}

export interface Label { edge: Edge; x: number; y: number; text: string }

/** Places texts on edges, the first of them first; one that would cover another is moved along its edge, or left out. */
export function labels(edges: Edge[], x1: number, x2: number, text: (e: Edge) => string): Label[] {
  const out: Label[] = []
  const boxes: [number, number, number][] = []
  for (const edge of edges) {
    const line = text(edge)
    const half = line.length * 3.2 + 4
    for (const f of [0.7, 0.62, 0.78, 0.54, 0.46, 0.85, 0.38, 0.3]) {
      const x = x1 + (x2 - x1) * bezier(f, 0, 0.5, 0.5, 1)
      const y = edge.y1 + (edge.y2 - edge.y1) * bezier(f, 0, 0, 1, 1)
      if (x - half < x1 || x + half > x2 || boxes.some(([bx, by, bh]) => Math.abs(bx - x) < bh + half && Math.abs(by - y) < 14)) continue
      boxes.push([x, y, half])
      out.push({ edge, x, y, text: line })
      break
    }
  }
  return out
}

function bezier(f: number, a: number, b: number, c: number, d: number): number {
  const g = 1 - f
  return g * g * g * a + 3 * g * g * f * b + 3 * g * f * f * c + f * f * f * d
}
