package load

import "math/bits"

// histogram counts latencies in ns, 64 steps to each power of two: under 1.6 % off. One goroutine uses it.
type histogram struct {
	n     int64
	count [64 * 42]int64
}

func (h *histogram) add(ns int64) {
	h.n++
	h.count[bucket(ns)]++
}

func (h *histogram) reset() { *h = histogram{} }

// bucket maps 0..63 to themselves and every later octave to 64 equal steps.
func bucket(ns int64) int {
	if ns < 64 {
		return int(max(ns, 0))
	}
	octave := bits.Len64(uint64(ns)) - 7
	return min(64*(octave+1)+int(ns>>octave)-64, 64*42-1)
}

// upper is the largest value of a bucket.
func upper(b int) int64 {
	if b < 64 {
		return int64(b)
	}
	octave := b/64 - 1
	return (int64(b%64)+65)<<octave - 1
}

// quantile returns the latency that the share q of all stayed at or under, 0 when there was none.
func (h *histogram) quantile(q float64) int64 {
	if h.n == 0 {
		return 0
	}
	left := int64(q*float64(h.n)) + 1
	for b, c := range h.count {
		if left -= c; left <= 0 {
			return upper(b)
		}
	}
	return upper(len(h.count) - 1)
}
