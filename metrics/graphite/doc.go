// Package graphite sends the calls of each interval to a Graphite server, in its plaintext protocol
// (https://graphite.readthedocs.io/en/latest/feeding-carbon.html), or to a receiver that reads the statsd-like lines of
// Weibo's Motan agent.
//
// # Who calls it
//
// The agent opens one [Sink] when `metrics.graphite` is configured, and closes it last.
//
//	every interval:  Registry -> cells -> differences -> lines -> queue (bounded, oldest dropped and counted)
//	meanwhile:       queue -> connection (reconnected with growing, jittered pauses)
//
// # Lines
//
// One row of each operation of a group of a resource, named
//
//	[PREFIX.]ROLE.APPLICATION.GROUP.byhost.HOST.RESOURCE.OP.STAT
//
// Each part but the prefix is one level of the name: whatever is not a letter, a digit or a hyphen becomes `_`, dots of
// addresses included. Names that become equal are counted together. All values are of the interval alone:
//
//	total_count error_count slow_count     calls, calls that did not end ok, calls the policy calls slow
//	avg_time p50 p75 p95 p99 p999          milliseconds, with three decimals
//
// In the statsd dialect names and counts are those of motan-go v1.2.0's agent: ROLE is motan-client-agent or
// motan-server-agent, RESOURCE the service and GROUP its group as callers name them (see Options.Name), HOST the address that
// the agent sends from. total_count, biz_error_count (the upstream answered an error), other_error_count, slow_count (over
// 200 ms) and the ranges Less50ms, Less100ms, Less200ms, Less500ms, More500ms are `NAME:N|c` where they are not zero, quantiles
// up to p9999 `NAME:MS|kv` and avg_time `NAME:MS|ms`, with two decimals. The rows of motan-client-agent come a second time as
// GROUP.cluster. Each half minute the agent's memory (MiB), cpu (percent), goroutine_count and
// motan_server_connection_count come as motan-agent.APPLICATION.motan-stat.byhost.HOST.status.WHAT:N|kv.
//
// In plaintext an operation without calls sends one row of zero counts, so that its line drops to zero, and nothing after that.
//
// # Time
//
// Intervals end at multiples of Every on the wall clock, plus a pause that each process draws once, so that agents do
// not send all at once; the timestamp is the multiple. So an interval is one point of a whisper file with the same
// step. Close sends what the unfinished interval holds under the timestamp that it would have had.
//
// # Loss
//
// Over TCP a batch that failed is sent again, whole: the same name and timestamp overwrite themselves. Lines are lost,
// and counted in sluice_dropped_total{what="graphite"}, when the queue is full and when Close gives up. What the kernel
// took and the server never read is not known and not counted. Over UDP a batch whose sending fails is dropped and
// counted.
//
// # Goroutines and locks
//
// The collector and the sender belong to the Sink, which Close ends and waits for; a connection's reader belongs to the
// sender. queue.mu is a leaf and guards the queue alone.
package graphite
