package ratelimit

import (
	"sync/atomic"

	"github.com/sluice-mesh/sluice/resources"
)

// shift makes sixteenths of nanoseconds: 63 bits of them are 18 years.
const shift = 4

// bucket is the state of one limit. It fills a cache line: neighbours belong to other limits.
type bucket struct {
	arrival  atomic.Int64 // theoretical arrival time of the next call, in 1/16 ns
	refused  atomic.Int64
	interval int64 // between calls at the rate, in 1/16 ns; 0: nothing passes
	reach    int64 // burst intervals
	_        [32]byte
}

// newBucket returns a full bucket. The longest interval and reach are about a year, which no rate that makes sense
// comes near.
func newBucket(rate resources.Rate, burst int) *bucket {
	const longest = float64(1 << 59)
	b := &bucket{}
	if rate > 0 {
		interval := max(min((1e9*(1<<shift))/float64(rate), longest), 1)
		b.interval = int64(interval)
		b.reach = int64(min(interval*float64(max(burst, 1)), longest))
		b.reach = max(b.reach, b.interval)
	}
	return b
}

// take lets one call pass at now (ns), or not.
func (b *bucket) take(now int64) bool {
	if b.interval == 0 {
		return false
	}
	now <<= shift
	for {
		old := b.arrival.Load()
		next := max(old, now) + b.interval
		if next-now > b.reach {
			return false
		}
		if b.arrival.CompareAndSwap(old, next) {
			return true
		}
	}
}

// giveBack undoes a take.
func (b *bucket) giveBack() { b.arrival.Add(-b.interval) }
