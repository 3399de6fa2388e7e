// Package runtime is the agent's half of a resource: it implements [resources.Runtime], which drivers ask for each
// call, and holds what the agent's control and admin change and show.
//
// # Flow of a call
//
//	driver                    runtime
//	Begin(c)  ─────────────>  load the snapshot; deadline; which switch command routes it; filters' OnCall
//	Route(c)  ─────────────>  group by weight, endpoint by role and balance; in flight +1
//	   ... bytes ...
//	End(c)    ─────────────>  in flight -1; latency, health; again elsewhere (ha)? else filters' OnDone in reverse
//
// # Snapshot
//
// Everything that policy, commands and the operation table decide is compiled into one immutable snapshot behind one
// atomic pointer. A call keeps the snapshot under which it began, so that its filters see it to its end. Which
// endpoints are usable changes far more often, and is the cluster's View, behind a pointer of its own.
//
// [Resource.Update] compiles a new snapshot whole. If any part of it is refused, nothing changes. Otherwise the
// cluster, the snapshot and the driver change in this order; calls that began before finish as they began, except
// that a call that was not routed yet, or is to be tried again, goes where the newest snapshot says: a switch holds
// for all that is not written yet.
//
// # Which group
//
// The newest switch command that matches a call gives the weights of the groups, else the spec does. A call with a
// key goes by the hash of the key, so that a weight is a share of the keys, and reads and writes of a key meet in one
// group; other calls go by their session. Groups of weight 0 get nothing at all, whatever fails. When the chosen
// group has no sound endpoint for the call, another one with a weight takes it; when none has, endpoints that are out
// are tried.
//
// # When memory is short
//
// While the gate of package pressure refuses calls, Begin asks only the filters that watch (access log, metrics, tap,
// trace) and stops the call with LIMITED. Calls of a transaction go on: they end soon, and then give a connection back.
//
// # Extra attempts
//
// End repeats a request under the law of package ha, and follows a redirect that an upstream gave. Backup finds the
// second endpoint for a read that stays unanswered.
//
// # Invariants
//
//   - A call that began ends once: `sluice_calls_open` is 0 at rest.
//   - Begin, Route, End and Boundary allocate nothing and take no lock.
//   - Group and endpoint IDs stay with their names; see package cluster.
//
// # Lock order
//
// Resource.update, then those of cluster, control and metrics. Shard locks of the session registry are leaves. Drivers
// are called without any lock, except Open.
package runtime
