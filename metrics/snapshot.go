package metrics

import "math"

// Snapshot is the content of a [Histogram] at one moment, or the sum or difference of such contents. The zero value is
// empty and ready. Copies share memory: use Set for an independent one. It is not safe for concurrent use.
type Snapshot struct {
	Count uint64 // durations counted
	Sum   uint64 // of all durations, ns
	Max   int64  // the longest, ns: exact, except after Sub, where it is the upper end of the highest bucket in use

	blocks [numBlocks]*[subBuckets]uint64
}

// block returns the counters of an octave, which it makes when they are missing.
func (s *Snapshot) block(i int) *[subBuckets]uint64 {
	if s.blocks[i] == nil {
		s.blocks[i] = new([subBuckets]uint64)
	}
	return s.blocks[i]
}

// Reset empties the snapshot and keeps its memory.
func (s *Snapshot) Reset() {
	s.Count, s.Sum, s.Max = 0, 0, 0
	for _, b := range s.blocks {
		if b != nil {
			clear(b[:])
		}
	}
}

// Set makes s an independent copy of from.
func (s *Snapshot) Set(from *Snapshot) {
	s.Reset()
	s.Merge(from)
}

// Merge adds the durations of o, for example those of another group or another agent.
func (s *Snapshot) Merge(o *Snapshot) {
	if o.Count == 0 {
		return
	}
	for i, from := range o.blocks {
		if from == nil {
			continue
		}
		to := s.block(i)
		for j, n := range from {
			to[j] += n
		}
	}
	s.Count += o.Count
	s.Sum += o.Sum
	s.Max = max(s.Max, o.Max)
}

// Sub takes away the durations of an earlier snapshot of the same histogram, so that s holds what came since. Buckets
// that earlier has more of, because it is not of the same histogram or of more than s, become empty.
func (s *Snapshot) Sub(earlier *Snapshot) {
	s.Count = 0
	top := -1
	for i, b := range s.blocks {
		if b == nil {
			continue
		}
		for j := range b {
			if before := earlier.blocks[i]; before != nil {
				b[j] -= min(before[j], b[j])
			}
			if b[j] != 0 {
				s.Count += b[j]
				top = i<<subBits + j
			}
		}
	}
	s.Sum -= earlier.Sum
	switch {
	case top < 0:
		s.Sum, s.Max = 0, 0
	case top < numBlocks<<subBits-1: // the last bucket holds all that is longer, so its upper end says nothing
		_, high := bucketRange(top)
		s.Max = min(s.Max, high)
	}
	// A sum is read after its buckets, so that of a short interval can hold a long call of the one before; and that of
	// another histogram can be anything. The buckets know better than an average above the maximum.
	if s.Count > 0 && s.Sum/s.Count > uint64(s.Max) {
		s.Sum = 0
		s.Each(func(low, high int64, n uint64) { s.Sum += uint64(min(low+(high-low+1)/2, s.Max)) * n })
	}
}

// Quantile returns the duration in ns that a share q of all durations does not exceed: the smallest for q = 0, the
// median for 0.5, Max for 1. It is within 1.6 % of the duration at that rank, and 0 when there is none.
func (s *Snapshot) Quantile(q float64) int64 {
	if s.Count == 0 {
		return 0
	}
	if q >= 1 {
		return s.Max
	}
	rank := uint64(1)
	if q > 0 {
		rank = max(1, uint64(math.Ceil(q*float64(s.Count))))
	}
	var seen uint64
	for i, b := range s.blocks {
		if b == nil {
			continue
		}
		for j, n := range b {
			if seen += n; seen >= rank {
				low, high := bucketRange(i<<subBits + j)
				return min(low+(high-low+1)/2, s.Max)
			}
		}
	}
	return s.Max
}

// Mean returns the average duration in ns, 0 when there is none.
func (s *Snapshot) Mean() int64 {
	if s.Count == 0 {
		return 0
	}
	return int64(s.Sum / s.Count)
}

// Cumulative stores in into[i] how many durations are at most bounds[i] ns. Bounds must ascend. The bucket that
// contains a bound counts whole, so that no duration up to the bound is missing and some up to 3.2 % above it are
// included.
func (s *Snapshot) Cumulative(bounds []int64, into []uint64) {
	var seen uint64
	next := 0 // first bucket that is not in seen
	for i, bound := range bounds {
		last := -1
		if bound >= 0 {
			last = bucketOf(uint64(min(bound, maxValue)))
		}
		for ; next <= last; next++ {
			b := s.blocks[next>>subBits]
			if b == nil {
				next |= subBuckets - 1
				continue
			}
			seen += b[next&(subBuckets-1)]
		}
		into[i] = seen
	}
}

// Each calls visit for every bucket that is not empty, in ascending order. The bucket counts durations from low to high
// ns, both included; the very last one also those above.
func (s *Snapshot) Each(visit func(low, high int64, count uint64)) {
	for i, b := range s.blocks {
		if b == nil {
			continue
		}
		for j, n := range b {
			if n != 0 {
				low, high := bucketRange(i<<subBits + j)
				visit(low, high, n)
			}
		}
	}
}
