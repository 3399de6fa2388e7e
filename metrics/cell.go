package metrics

import "sync/atomic"

// MaxOutcomes bounds [Options].Outcomes, so that a cell can keep its counters in place.
const MaxOutcomes = 16

// Cell counts the calls of one {group, operation, class} of a resource. Filters get their cells when a policy is
// compiled, or at an operation's first call, and keep the pointers.
//
// What every call changes sits in the first 64 bytes: cores that share a cell pass one cache line, and one of the
// histogram's, between them. Calls that ended ok are not counted on their own, which would cost one more locked
// instruction for each call: they are those that the histogram counts and `failed` does not.
type Cell struct {
	in, out atomic.Uint64
	slow    atomic.Uint64
	latency Histogram                  // its sum and max are in the first line too
	okSeen  atomic.Uint64              // the highest count of ok calls that was ever read
	failed  [MaxOutcomes]atomic.Uint64 // by outcome; slot 0 stays empty
}

// Done counts one call that ended: its outcome (an index into [Options].Outcomes), how long it took in ns, whether the
// policy calls that slow, and the bytes of its request (in) and its answer (out). An outcome that has no name counts as
// the last slot, "other".
func (c *Cell) Done(outcome uint8, ns int64, slow bool, in, out int64) {
	if outcome != 0 {
		c.failed[min(outcome, MaxOutcomes-1)].Add(1) // before Record: see outcomes
	}
	c.latency.Record(ns)
	if slow {
		c.slow.Add(1)
	}
	if in > 0 {
		c.in.Add(uint64(in))
	}
	if out > 0 {
		c.out.Add(uint64(out))
	}
}

// Histogram returns the cell's latencies.
func (c *Cell) Histogram() *Histogram { return &c.latency }

// outcomes reads the calls by outcome, where count is the histogram's count, read just before.
//
// A call that fails is in `failed` before it is in the histogram, and `failed` is read after it, so that what is left
// over is never more than the calls that ended ok. It can be less, by the calls that fail meanwhile; the highest count
// that was ever read then stands, because a counter must not fall.
func (c *Cell) outcomes(count uint64, into *[MaxOutcomes]uint64) {
	var failed uint64
	for o := 1; o < MaxOutcomes; o++ {
		into[o] = c.failed[o].Load()
		failed += into[o]
	}
	ok := count - min(failed, count)
	for {
		seen := c.okSeen.Load()
		if ok <= seen {
			into[0] = seen
			return
		}
		if c.okSeen.CompareAndSwap(seen, ok) {
			into[0] = ok
			return
		}
	}
}

// Outcomes returns the calls by outcome: the index into [Options].Outcomes.
func (c *Cell) Outcomes() (by [MaxOutcomes]uint64) {
	c.outcomes(c.latency.Count(), &by)
	return by
}

// Snapshot copies all counters; see [Histogram.Snapshot].
func (c *Cell) Snapshot(into *CellSnapshot) {
	c.latency.Snapshot(&into.Latency)
	c.outcomes(into.Latency.Count, &into.Outcomes)
	into.Slow = c.slow.Load()
	into.BytesIn = c.in.Load()
	into.BytesOut = c.out.Load()
}

// CellSnapshot is the content of a [Cell] at one moment, or the sum or difference of such contents. The zero value is
// empty and ready. Copies share memory: use Set for an independent one. The histogram and the other counters are read
// one after the other, so calls that end meanwhile may be in some and not in others.
type CellSnapshot struct {
	Latency  Snapshot
	Outcomes [MaxOutcomes]uint64 // by index into Options.Outcomes
	Slow     uint64
	BytesIn  uint64 // of requests
	BytesOut uint64 // of answers
}

// Total returns the number of calls.
func (s *CellSnapshot) Total() uint64 {
	var n uint64
	for _, v := range s.Outcomes {
		n += v
	}
	return n
}

// Errors returns the number of calls whose outcome is not the first one, ok.
func (s *CellSnapshot) Errors() uint64 { return s.Total() - s.Outcomes[0] }

// Reset empties the snapshot and keeps its memory.
func (s *CellSnapshot) Reset() {
	s.Latency.Reset()
	s.Outcomes = [MaxOutcomes]uint64{}
	s.Slow, s.BytesIn, s.BytesOut = 0, 0, 0
}

// Set makes s an independent copy of from.
func (s *CellSnapshot) Set(from *CellSnapshot) {
	s.Reset()
	s.Merge(from)
}

// Merge adds the calls of o.
func (s *CellSnapshot) Merge(o *CellSnapshot) {
	s.Latency.Merge(&o.Latency)
	for i, n := range o.Outcomes {
		s.Outcomes[i] += n
	}
	s.Slow += o.Slow
	s.BytesIn += o.BytesIn
	s.BytesOut += o.BytesOut
}

// Sub takes away an earlier snapshot of the same cell, so that s holds what came since. What earlier has more of,
// because it is not of the same cell, becomes 0.
func (s *CellSnapshot) Sub(earlier *CellSnapshot) {
	s.Latency.Sub(&earlier.Latency)
	for i, n := range earlier.Outcomes {
		s.Outcomes[i] -= min(n, s.Outcomes[i])
	}
	s.Slow -= min(earlier.Slow, s.Slow)
	s.BytesIn -= min(earlier.BytesIn, s.BytesIn)
	s.BytesOut -= min(earlier.BytesOut, s.BytesOut)
}
