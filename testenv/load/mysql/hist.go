package mysql

import (
	"math/bits"
	"time"
)

// octave is the number of buckets for each doubling of a latency, which makes a quantile 3 % too high at most.
const octave = 32

// latencies counts durations in microseconds.
type latencies struct {
	count [octave * 32]int64
	total int64
	max   time.Duration
}

func (l *latencies) add(d time.Duration) {
	us := uint64(max(d, 0) / time.Microsecond)
	b := int(us)
	if us >= 2*octave {
		shift := bits.Len64(us) - 6 // leaves octave to 2*octave-1
		b = min(octave*shift+int(us>>shift), len(l.count)-1)
	}
	l.count[b]++
	l.total++
	l.max = max(l.max, d)
}

func (l *latencies) merge(o *latencies) {
	for i, n := range o.count {
		l.count[i] += n
	}
	l.total += o.total
	l.max = max(l.max, o.max)
}

// quantile returns the duration that a share q of all does not exceed.
func (l *latencies) quantile(q float64) time.Duration {
	rank, seen := int64(q*float64(l.total)), int64(0)
	for b, n := range l.count {
		if seen += n; seen > rank {
			us := b
			if b >= 2*octave {
				shift := b/octave - 1
				us = (b%octave+octave+1)<<shift - 1
			}
			return min(time.Duration(us+1)*time.Microsecond, l.max)
		}
	}
	return l.max
}
