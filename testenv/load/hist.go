package load

import (
	"math/bits"
	"time"
)

// subBits gives 32 buckets for each doubling: a quantile is at most 3 % too high.
const subBits = 5

// Histogram counts durations in buckets whose width grows with the value. The zero value is empty.
type Histogram struct {
	Max time.Duration // the largest so far

	counts [(64 - subBits) << subBits]uint64
	total  uint64
}

func bucketOf(ns uint64) int {
	if ns < 2<<subBits {
		return int(ns)
	}
	shift := bits.Len64(ns) - subBits - 1
	return shift<<subBits + int(ns>>shift)
}

// upperBound returns the largest value of a bucket.
func upperBound(i int) uint64 {
	if i < 2<<subBits {
		return uint64(i)
	}
	shift := i>>subBits - 1
	return (uint64(i&(1<<subBits-1)|1<<subBits)+1)<<shift - 1
}

// Add counts a duration; a negative one as 0.
func (h *Histogram) Add(d time.Duration) {
	h.counts[bucketOf(uint64(max(d, 0)))]++
	h.total++
	h.Max = max(h.Max, d)
}

// Merge adds what o counted.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.Max = max(h.Max, o.Max)
}

// Quantile returns the duration that a share q of all values does not exceed.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.total))
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen > rank {
			return min(time.Duration(upperBound(i)), h.Max)
		}
	}
	return h.Max
}
