// Plans as the editor holds them.
import { moved } from './orders'
import type { Order, Resource, Stage } from './types'

/** Steps that move everything from one data centre's groups to another's, caches first and databases last. */
export function moveAll(resources: Resource[], from: string, to: string): Order[] {
  const rank: Record<string, number> = { mysql: 2, kafka: 1 }
  return resources
    .filter((r) => r.groups.some((g) => at(g) === from && g.weight > 0))
    .sort((a, b) => (rank[a.kind] ?? 0) - (rank[b.kind] ?? 0) || a.name.localeCompare(b.name))
    .flatMap((r) => {
      const a = r.groups.find((g) => at(g) === from && g.weight > 0)
      const b = r.groups.find((g) => at(g) === to)
      const weights = a && b && moved(r.groups, a.name, b.name)
      return weights ? [{ type: 'switch' as const, resource: r.name, weights }] : []
    })
}

const at = (g: { name: string; idc?: string }): string => g.idc || g.name

export const idcs = (resources: Resource[]): string[] => [...new Set(resources.flatMap((r) => r.groups.map(at)))].sort()

/** Stages as people write them, one a line: "agent-1, agent-2 for 5m" or "25% for 10m". */
export function parseStages(text: string): Stage[] {
  return text
    .split('\n')
    .map((l) => l.trim())
    .filter(Boolean)
    .map((l, i) => {
      const m = /^(.*?)(?:\s+for\s+(\S+))?$/.exec(l)!
      const who = m[1]!.trim()
      const stage: Stage = { name: who.endsWith('%') ? who : `canary ${i + 1}` }
      if (/^\d+(\.\d+)?%$/.test(who)) stage.share = who
      else stage.agents = who.split(',').map((a) => a.trim()).filter(Boolean)
      if (m[2]) stage.bake = m[2]
      return stage
    })
}
