// Shapes of the centre's HTTP interface. Durations are texts ("1.2ms"), times RFC 3339, rates calls per second.

export type Health = 'ok' | 'warn' | 'bad' | 'idle'
export type Duration = string

export interface Rate { calls: number; errors: number }
export interface Latency { p50: Duration; p95?: Duration; p99: Duration; p999?: Duration }

export interface Rights { view: boolean; edit: boolean; publish: boolean; command: boolean; admin: boolean }
export interface Role { role: string; select?: Selector }
export interface Me { name: string; roles: Role[]; rights: Rights; center: string; version: string; cluster: string; oidc?: boolean }

/** What a sentence of the centre says, for other languages than English. */
export interface Said { code: string; with?: Record<string, string | number | Said> }
export interface Action { label: string; labelSay?: Said; cli?: string; link?: string }
export interface Problem {
  id: string
  severity: 'warn' | 'bad'
  resource?: string
  agent?: string
  center?: string
  group?: string
  what: string
  whatSay?: Said
  since: string
  why?: string
  whySay?: Said
  do?: Action[]
}
export interface Change { at: string; author: string; what: string; target?: string; why?: string; link: string; undo?: string }
/** A centre that lives and is not heard: of its agents is known what was so at `since`. */
export interface Away { center: string; since?: string; why: string }
export interface Overview {
  state: 'ok' | 'warn' | 'bad'
  problems: Problem[]
  changes: Change[]
  counts: {
    resources: number; endpoints: number; endpointsDown: number; agents: number; agentsBehind: number
    agentsGone: number; agentsStale: number; commands: number; releases: number
  }
  totals: { calls: number; errors: number; p99: Duration }
  spark: { t: number | string; calls: number; errors: number }[]
  away: Away[]
}

export interface GroupRow {
  name: string; idc?: string; weight: number; sound: number; of: number
  rate: Rate; latency: { p50: Duration; p99: Duration }; protected?: boolean
}
export interface AgentsCount { total: number; applied: number; refused: number; behind: number }
export interface Resource {
  name: string
  kind: string
  source: 'center' | 'file' | 'export'
  labels?: Record<string, string>
  etag?: string
  version?: number
  ready: boolean
  detail?: string
  rate: Rate
  success: number
  latency: Latency
  inflight: number
  sessions: number
  pinned: number
  connections: number
  commands: number
  groups: GroupRow[]
  agents: AgentsCount
  health: Health
  why?: string
  whySay?: Said
}
/** What the catalogue shows of a resource. */
export interface Line {
  name: string
  kind: string
  source: Resource['source']
  labels?: Record<string, string>
  detail?: string
  rate: Rate
  success: number
  latency: { p50: Duration; p99: Duration }
  commands: number
  groups: { name: string; weight: number; sound: number; of: number }[]
  agents: AgentsCount
  health: Health
  why?: string
  whySay?: Said
}
export interface Origin { path: string; from: string; value: unknown }
export interface Refusal { agent?: string; resource?: string; path?: string; message: string }
export interface ResourceDetail extends Resource {
  config?: Spec
  endpoints?: Endpoint[]
  commandsActive?: Command[]
  origins?: Origin[]
  away: Away[]
  applied?: { hash?: string; agents?: number; applied: number; refused: Refusal[]; behind: string[] }
}
export interface Endpoint {
  group: string; address: string; idc?: string; role: string; state: string; detail?: string; weight: number
  origin?: string; protected?: boolean; lag?: Duration
  /** How many agents see which state. */
  agents: Record<string, number>
}
export interface Operation {
  op: string; group?: string; calls: number; errors: number; rate: Rate; latency: Latency
}
export interface Session {
  agent?: string; id: number; client: string; caller?: string; user?: string; age: Duration; calls: number
  'last-op'?: string; pins?: string[]; why?: string
}
export interface Version { version: number; revision: number; author: string; why?: string; changed: string; summary?: string }
export interface DiffLine { path: string; before?: unknown; after?: unknown }
export interface DryRun {
  valid: boolean
  problems?: { path?: string; line?: number; message: string }[]
  diff?: DiffLine[]
  agents?: string[]
  text?: string[]
  textSay?: Said[]
}

export type Spec = Record<string, unknown> & { groups?: Record<string, { idc?: string; weight?: number; endpoints?: unknown[] }> }
export type Match = Partial<Record<'op' | 'class' | 'caller' | 'key' | 'digest' | 'table' | 'topic' | 'user' | 'idc', string>>
export interface Selector { name?: string; kind?: string; labels?: Record<string, string>; idc?: string }

export type CommandType = 'switch' | 'degrade' | 'limit' | 'fault' | 'mock' | 'drain'
/** What a person may order; also a step of a plan. */
export interface Order {
  type: CommandType
  resource?: string
  select?: Selector
  match?: Match
  weights?: Record<string, number>
  percent?: string
  reply?: string
  error?: string
  delay?: Duration
  rate?: string
  burst?: number
  per?: 'caller'
  endpoint?: string
  for?: Duration
  why?: string
}
export interface Command extends Omit<Order, 'for'> {
  id: string
  author: string
  created: string
  expires?: string
  summary: string
  matching?: string
  plan?: string
  agents?: { total: number; applied: number; refused: number }
  resources?: string[]
  observed?: number
  ended?: string
  how?: string
  by?: string
  /** Where agents found it, which is where it can be taken back; none: it is the centre's. */
  origin?: string
  /** Why it is not in force. */
  problem?: string
}
export interface Effect {
  agents?: string[]
  resources?: { name: string; calls: number; before?: Record<string, number>; after?: Record<string, number> }[]
}
export interface Preview { command?: Command; text?: string[]; textSay?: Said[]; effect?: Effect; warnings: string[]; warningsSay: Said[] }

export interface Check { name: string; ok: boolean; warning?: boolean; detail?: string; detailSay?: Said[] }
export interface Stage {
  name: string; share?: string; agents?: string[]; bake?: Duration; state?: string; started?: string
  applied?: number; of?: number; guards?: GuardState[]
}
export interface GuardState { name: string; ok: boolean; value: string | number; limit: string | number }
export interface Guards { errors?: string; p99?: string; refusals?: number }
export interface PlanStep {
  n: number; command: Order & { summary?: string }; state: string
  agents?: { total: number; applied: number }; started?: string; ended?: string; error?: string
}
export interface Plan {
  id: string; name: string; author: string; why?: string; created: string; state: string
  checks?: Check[]; steps: PlanStep[]; stages?: Stage[]; guards?: Guards; for?: Duration
}
export interface PlanPreview {
  checks: Check[]; warnings: string[]; warningsSay: Said[]
  steps?: { command?: Order; text?: string[]; textSay?: Said[]; agents?: string[] | number; resources?: string[] }[]
}
export interface Release {
  id: string; resource: string; from: number; to: number; author: string; why?: string; state: string
  created?: string; stages: Stage[]; diff?: DiffLine[]
}

/** Another centre of the same store. */
export interface Center { name: string; address: string; gone?: boolean; heard: boolean; since?: string; why?: string }
/** `center` is the one that answers. */
export interface Agents { agents: Agent[]; revision: number; center: string; centers: Center[]; away: Away[] }
export interface Agent {
  name: string; application: string; idc?: string; version: string; host?: string; center: string; labels?: Record<string, string>
  connected: boolean; since?: string; seen?: string; uptime?: Duration; ready: boolean; draining?: boolean
  /** How far its clock is ahead of the centre's: "-1h" when it is behind. clockOff: too far. */
  clock?: string; clockOff?: boolean
  detail?: string; stale?: string; revision: number; behind: boolean | number; resources: number
  wants?: string[]; owns?: (string | { name: string; also?: boolean })[]; refused?: Refusal[]; pinned?: number; rate: Rate
}
export interface AgentState {
  name: string; kind: string; source: string; hash?: string; ready: boolean; detail?: string; sessions: number
  pinned?: number; listen?: string[]; groups?: { name: string; weight: number; sound: number; of: number }[]
}
export interface AgentDetail extends Agent { states?: AgentState[] }

export interface Topology {
  applications: { name: string; idcs?: string[]; agents: number }[]
  resources: { name: string; kind: string; groups?: (string | { name: string })[]; health: Health }[]
  edges: { application: string; idc?: string; resource: string; group?: string; calls: number; errors: number; p99: Duration | number }[]
  /** There were calls that no centre knows. */
  partial: boolean
  away: Away[]
}
export interface Operations { operations: Operation[]; partial: boolean; away: Away[] }
export interface Point { t: number; gap?: boolean; partial?: boolean; calls: number; errors: number; p50: number; p95: number; p99: number; p999: number; max?: number }
export interface Series { step: Duration | number; points: Point[] }

export interface AuditEntry { n: number; at: string; center: string; who: string; what: string; target?: string; why?: string; keys?: { key: string; before?: number; value: string }[]; hash: string }
export interface Audit { entries: AuditEntry[]; chain: { ok: boolean; upTo: number; brokenAt?: number } }

export interface User { name: string; roles: Role[]; created?: string; seen?: string }
export interface Token { id: string; name: string; roles?: Role[]; author: string; created: string; expires?: string }
export interface Join { id: string; agent?: string; left: number; author: string; created: string; expires: string }
export interface Secret { name: string; resources?: string[]; author: string; changed: string; used: string[] }

export interface Observed {
  time: string; agent?: string; op: string; class: string; caller?: string; group?: string; endpoint?: string
  outcome: string; latency: Duration; text?: string; fault?: string
  stages?: Record<string, number> // in µs: 'receive-us' and so on, 'total-us'
}
