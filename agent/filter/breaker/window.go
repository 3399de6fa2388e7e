package breaker

import (
	"math/bits"
	"sync/atomic"
)

// ring is the number of buckets that exist; a window uses 9 to 16 of them.
const ring = 16

// geometry says how time is cut into slices.
type geometry struct {
	shift  uint // a slice lasts 1<<shift ns
	slices int64
}

// newGeometry cuts a window (ns) into slices, so that 8 to 16 of them make it up.
func newGeometry(window int64) geometry {
	shift := uint(max(bits.Len64(uint64(max(window, 1)))-4, 0))
	slices := window >> shift
	if slices<<shift < window {
		slices++
	}
	return geometry{shift, min(slices, ring)}
}

// slice returns the number of the slice that ns is in. 32 bits of them last nine years at the shortest window.
func (g geometry) slice(ns int64) uint64 { return uint64(ns) >> g.shift & (1<<32 - 1) }

// counter is a count within one slice: the slice's number in the upper half, the count in the lower.
type counter struct{ word atomic.Uint64 }

func (c *counter) add(slice uint64) {
	for {
		old := c.word.Load()
		if old>>32 == slice {
			// If the slice ends between the two steps the call is counted in the next one, which is as good.
			c.word.Add(1)
			return
		}
		if old>>32 > slice {
			return // a call that ended before the others of its slice were forgotten
		}
		if c.word.CompareAndSwap(old, slice<<32|1) {
			return
		}
	}
}

func (c *counter) in(slice uint64) int64 {
	if w := c.word.Load(); w>>32 == slice {
		return int64(w & (1<<32 - 1))
	}
	return 0
}

// window counts calls of the last while.
type window struct {
	buckets [ring]bucket
}

type bucket struct{ calls, failed, slow counter }

// count is what a window holds.
type count struct{ calls, failed, slow int64 }

func (w *window) sum(g geometry, ns int64) (n count) {
	now := g.slice(ns)
	for i := range uint64(g.slices) {
		if i > now {
			break
		}
		b := &w.buckets[(now-i)%ring]
		n.calls += b.calls.in(now - i)
		n.failed += b.failed.in(now - i)
		n.slow += b.slow.in(now - i)
	}
	return n
}

// clear forgets everything that ended until now.
func (w *window) clear() {
	for i := range w.buckets {
		b := &w.buckets[i]
		b.calls.word.Store(0)
		b.failed.word.Store(0)
		b.slow.word.Store(0)
	}
}
