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
// A member is sound unless it is down (probes), closed (it refuses connections), ejected (calls failed), drained (a
// command) or fenced (see below). Each role of each group has its list of sound members. When more than half of the
// members that a list could have are out, all of them but the drained and fenced ones are used, and but the closed
// ones if there are others: then it is more likely that the checks are wrong, or that there is nothing better to do
// than to try. Such a list panics; a call goes to it only when no other group of the call has a sound member.
//
// A replica whose driver says that it is too far behind ([resources.Health].Stale) is in no list for reads until it has
// caught up. It is up all the same, and does not count among those that are out.
//
// # Refused connections
//
// That nobody listens at an address is no opinion that calls or checks have, but what the system says there, for
// certain and at no cost. So one attempt to connect that is refused takes a member out, also the last one of its
// group: calls go to other groups that have a weight, and where there is none they try it as before. It does not
// count for ejections. From then on one check at a time tries it, after 100 ms and then after twice the time each, up
// to a second, whatever probe.every is; the first good one, or the first connection that a call gets there, brings it
// back, slowly like others. An attempt to connect that takes too long says nothing for certain: it counts as a
// failure, like a call that fails.
//
// Others do much the same: Finagle's FailFastFactory takes a host out at the first connection that fails, and tries it in the
// background with pauses that double from 1 s to 32 s (finagle-core, com.twitter.finagle.service); gRPC picks no
// subchannel in TRANSIENT_FAILURE, whose connection failed, and connects again with backoff
// (https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md); Linkerd's balancer passes over endpoints that are
// pending until they have a connection (https://github.com/linkerd/linkerd2-proxy/pull/1289).
//
// # Ejection
//
// A member is ejected after `consecutive` failures in a row or when `errors` of at least ten calls of the window
// failed: first for `base`, then twice as long each time, up to `max`. A quiet window halves the next one again. At
// most `at-most` of a group is ejected, counted with the new one, and never the last sound member of the group, nor
// its last sound primary. Members that come back start slowly. A member that was down meanwhile comes back as soon as
// its probes say so; one whose probes were always good, although its calls failed, sits its time out.
//
// # The writer
//
// Servers that say that they are primaries may be wrong: one that was cut off while another was promoted takes itself
// for the primary when it is back, and what is written to it is lost. So a group has one writer at most, as soon as one
// of its servers says that it is primary:
//
//	there is no writer yet                     the one that says primary is it, once all were checked
//	the writer says primary and answers        it stays, whoever else says so
//	another one shows a higher Health.Epoch    that one takes over at once, and the writer is deposed
//	the writer is down by its probes           another one that says primary takes over, and the writer is deposed
//	the writer answers that it is not ready    likewise
//	the writer says replica                    there is none, until one says primary
//
// Down is what it is elsewhere: policy.probe.fall checks in a row have failed. With nobody to take over, a writer that
// is down stays the writer.
//
// Whoever says primary and is not the writer is fenced: it gets no calls at all, also no reads, since its data belongs
// to no history that the group shares. Checks go on. A fenced member is let back when it says that it is a replica, and
// one that never was the writer may still become it. A deposed one may not: its data stopped when it was cut off. That
// is forgotten when it says that it is a replica; when an operator declares it anew, by role: primary or by taking it
// out of the group and putting it back; and when the writer says itself that it is a replica and nobody else claims its
// place for as long as it takes to know that a server is down, because then the deposed one is all there is.
//
// At a cold start with several that say primary: the one whose epoch is the highest, when all tell theirs; or the one
// that alone is declared as role: primary; or else none, and the group refuses calls for its primary and says so. The
// first in the order of the spec would be no better than a guess, and a bad one: it is most often the old primary.
// Other agents that have run for longer write to the new one, and two writers lose data without anybody noticing, while
// a refused call can be repeated and one line of configuration ends it. An agent that ran before remembers its writer
// and does not need to guess.
//
// Members that have not said what they are get no writes once there is a claim; before the first claim, which is for
// the milliseconds until the first checks are back, they are used as declared. Kinds whose servers tell no roles have
// no writer. The fence is not for partitioned resources ([resources.Partitioned]), nor for groups whose topology
// reports, since that decides; and two or more endpoints that are declared as role: primary in one group are an
// operator's word for several writers.
//
// Each agent decides from what it sees. Agents that see different parts of a broken network may differ for as long as
// it is broken; only something that the servers obey, as sentinels are, can rule that out. And a session that is inside
// a transaction when its server is fenced ends it there.
//
// # Discovery
//
// Where the driver knows a [resources.Topology], what it reports takes the place of the configured addresses. A
// report that is empty, or that takes away more than half of the members, is held for thirty seconds, or until the
// members that it takes away are down by their probes, or a fuller report supersedes it; an empty one needs both, the
// time and the probes. What a spec takes away goes at once: an operator said so.
//
// # Memory
//
// What discovery found and who the writer is are kept in a [Book], if there is one, each time they change. A cluster
// that starts uses the members that an earlier process found until the first report, whatever that has but nothing:
// they are stale, which status says, and of those that say that they are primaries one is the writer as above. A memory
// of which no configured address is left is void.
//
// # Identity
//
// An Endpoint lives as long as its group lists its address. Its ID is dense and is given to another endpoint only a
// minute after it was gone, so that arrays indexed by it have long noticed.
//
// # Lock order
//
// Cluster.mu, then resolver.mu, then Member.dial. A Book is called with Cluster.mu held. No lock is held while a driver
// is called, a name is resolved or a connection is opened.
package cluster
