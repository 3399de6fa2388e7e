package metrics

import (
	"math/bits"
	"sync/atomic"
)

// The layout: values below 64 have a bucket each; above, each octave [2^k, 2^(k+1)) is cut into subBuckets equal
// buckets, so that a bucket is at most 1/32 of its lowest value wide and its middle is at most 1/64 = 1.6 % off any
// value in it.
const (
	subBits    = 5
	subBuckets = 1 << subBits
	maxBits    = 43 // values from 2^43 ns (2.4 h) on are counted as the largest one below
	numBlocks  = maxBits - subBits + 1
	maxValue   = 1<<maxBits - 1
)

// block holds the counters of one octave. Most histograms touch eight to twelve octaves, so blocks are made on first
// use.
type block [subBuckets]atomic.Uint64

// Histogram counts durations in nanoseconds, in buckets so fine that any quantile is within 1.6 % of the true value,
// for values from 0 to 2.4 h. The zero value is ready. It must not be copied.
//
// All methods may be called from any goroutine; none waits for another. An empty histogram takes 328 bytes and each
// octave in use 256 bytes more: 2 to 3 KiB in practice.
type Histogram struct {
	sum    atomic.Uint64 // ns; wraps after 584 years of summed latency, which Sub undoes
	max    atomic.Int64  // raised before the bucket is counted, so that a snapshot's Max covers its buckets
	blocks [numBlocks]atomic.Pointer[block]
}

// bucketOf returns the index of the bucket that counts v, which must not exceed maxValue.
func bucketOf(v uint64) int {
	shift := max(bits.Len64(v)-(subBits+1), 0)
	return shift<<subBits + int(v>>shift)
}

// bucketRange returns the lowest and the highest value that bucket i counts.
func bucketRange(i int) (low, high int64) {
	shift := max(i>>subBits-1, 0)
	low = int64(i-shift<<subBits) << shift
	return low, low + 1<<shift - 1
}

// Record counts one duration of ns nanoseconds. A negative one counts as 0. It allocates only when it is the first in
// its octave.
func (h *Histogram) Record(ns int64) {
	v := uint64(min(max(ns, 0), maxValue))
	if ns > h.max.Load() {
		h.raise(ns)
	}
	i := bucketOf(v)
	b := h.blocks[i>>subBits].Load()
	if b == nil {
		b = h.grow(i >> subBits)
	}
	b[i&(subBuckets-1)].Add(1)
	h.sum.Add(v)
}

// raise is the rare half of keeping the maximum.
func (h *Histogram) raise(ns int64) {
	for {
		old := h.max.Load()
		if ns <= old || h.max.CompareAndSwap(old, ns) {
			return
		}
	}
}

// grow makes an octave's counters. Of several goroutines that try, one wins and all use its block.
func (h *Histogram) grow(i int) *block {
	b := new(block)
	if h.blocks[i].CompareAndSwap(nil, b) {
		return b
	}
	return h.blocks[i].Load()
}

// Count returns how many durations were recorded.
func (h *Histogram) Count() uint64 {
	var n uint64
	for i := range h.blocks {
		if b := h.blocks[i].Load(); b != nil {
			for j := range b {
				n += b[j].Load()
			}
		}
	}
	return n
}

// Snapshot copies the counters into a snapshot, whose former content is overwritten and whose memory is used again.
// Durations recorded meanwhile are in it or not; Count always is the sum of the buckets.
func (h *Histogram) Snapshot(into *Snapshot) {
	into.Reset()
	for i := range h.blocks {
		b := h.blocks[i].Load()
		if b == nil {
			continue
		}
		to := into.block(i)
		for j := range b {
			n := b[j].Load()
			to[j] = n
			into.Count += n
		}
	}
	into.Sum = h.sum.Load()
	into.Max = h.max.Load()
}
