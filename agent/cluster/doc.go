// Package cluster keeps the groups and endpoints of one resource: who they are, which of them may be used, and how to
// connect to them.
//
// # Flow
//
//	spec, discovery ──> members (identity {group, address}) ──> View (immutable, one atomic pointer) ──> routing
//	probes, calls, dials, reports ──> health of members ──────────┘
//
// The runtime reads the [View] for each call. Everything that changes it happens under one mutex that no call takes:
// [Plan.Apply] (a new spec), a probe that crosses its threshold, a topology report, and the keeper, a goroutine that
// ejects, takes back and lets go of held discoveries. A call that fails only counts, marks its member as a suspect and
// pokes the keeper, without waiting.
//
// # Who is used
//
// A member is sound unless it is down (probes), ejected (calls failed) or drained (a command). Each role of each
// group has its list of sound members. When more than half of the members that a list could have are out, all of them
// but the drained ones are used: then it is more likely that the checks are wrong, or that there is nothing better to
// do than to try. Such a list panics; a call goes to it only when no other group of the call has a sound member.
//
// # Ejection
//
// A member is ejected after `consecutive` failures in a row or when `errors` of at least ten calls of the window
// failed: first for `base`, then twice as long each time, up to `max`. A quiet window halves the next one again. At
// most `at-most` of a group is ejected, counted with the new one, and never the last sound member of the group, nor
// its last sound primary. Members that come back start slowly. A member that was down meanwhile comes back as soon as
// its probes say so; one whose probes were always good, although its calls failed, sits its time out.
//
// # Discovery
//
// Where the driver knows a [resources.Topology], what it reports takes the place of the configured addresses. A
// report that is empty, or that takes away more than half of the members, is held for thirty seconds, or until the
// members that it takes away are down by their probes, or a fuller report supersedes it; an empty one needs both, the
// time and the probes. What a spec takes away goes at once: an operator said so.
//
// # Identity
//
// An Endpoint lives as long as its group lists its address. Its ID is dense and is given to another endpoint only a
// minute after it was gone, so that arrays indexed by it have long noticed.
//
// # Lock order
//
// Cluster.mu, then resolver.mu, then Member.dial. No lock is held while a driver is called, a name is resolved or a
// connection is opened.
package cluster
