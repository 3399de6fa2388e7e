// Package metrics counts calls and keeps the latency of each operation, at a cost that every call can pay.
//
// # Who calls it
//
// The metrics filter calls [Cell.Done] once for each call. The runtime, the cluster and the other filters add to the
// counters and gauges they got when a policy was compiled. The sinks (metrics/prometheus, metrics/graphite), the admin
// interface and the tables of `sluice top` read. Sinks import this package, which knows none of them and imports
// nothing of the project.
//
//	Registry ── Resource ── Cell{group, op, class} ── Histogram     <- Done, from every call
//	   │           └─────── Counter, Gauge{labels}                  <- Add, Set
//	   └── Counter, Gauge of the process
//
//	Gather ── every series as a Point, by name: text formats
//	Each   ── every cell, whose snapshots are merged and subtracted: rates and quantiles of an interval
//
// # The histogram
//
// Durations are counted in buckets of at most 1/32 of their value, from 1 ns to 2.4 h, and a quantile is the middle of
// its bucket: at most 1.6 % off, whatever the distribution and however many calls. (A reservoir of 1,024 samples keeps
// about one call above p999, and any one at that.) All histograms have the same buckets, so that those of groups, of
// agents and of intervals are added and subtracted exactly; quantiles themselves are never averaged. An octave's 32
// counters are made at its first value, so that an operation takes some 2 to 3 KiB and not the 10 of a full table.
//
// # Bounded labels
//
// Operation names come from clients. Each label of a resource holds at most [Options].MaxOps values; what comes later
// is counted under `other`. Values in use are released with [Resource.Forget], when an endpoint goes, and
// [Registry.Drop], when a resource goes.
//
// # Invariants
//
//   - Done, Record, Add and Set never wait and never look up anything. They allocate nothing, except the first value of
//     an octave of a histogram: 256 bytes.
//   - Counters never fall while their series exists, not even by a call that ends during a reading.
//   - A snapshot's Count is the sum of its buckets and its Max covers all of them, also while calls are recorded.
//   - A name has one type. Wrong use of names in code panics at once, where the handle is made.
//
// # Locks
//
// Registry.mu guards all maps, those of its resources included, and is a leaf: no other lock is taken and no function
// of a caller is called while it is held.
package metrics
