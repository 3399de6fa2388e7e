package peers

import (
	"sync"
	"time"
)

// reports are the last ones of the agents that are linked here, for all followers.
type reports struct {
	most int           // bytes
	keep time.Duration // and no longer

	mu      sync.Mutex
	list    []*report // by number
	last    uint64    // number of the last one
	bytes   int
	dropped time.Time // when the last one came that is not there any more
	wakes   map[chan struct{}]struct{}
}

func newReports(most int, keep time.Duration) *reports {
	return &reports{most: most, keep: keep, wakes: make(map[chan struct{}]struct{})}
}

// overhead is about what a report takes beside its bytes.
const overhead = 160

func (r *report) size() int { return overhead + len(r.payload) }

// add takes a report, whose number it gives, and lets go of what is too much or too old.
func (l *reports) add(r *report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	r.seq = l.last
	l.list = append(l.list, r)
	l.bytes += r.size()
	n := 0
	for ; n < len(l.list)-1 && (l.bytes > l.most || r.at.Sub(l.list[n].at) > l.keep); n++ {
		l.bytes -= l.list[n].size()
		l.dropped = l.list[n].at
		l.list[n] = nil
	}
	l.list = l.list[n:]
	for wake := range l.wakes {
		poke(wake)
	}
}

// after returns what follows a number, as much as has about so many bytes. Where reports are missing in between, it says until when:
// which was the last of them, and when it came.
func (l *reports) after(seq uint64, bytes int) (batch []*report, gone uint64, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.last + 1 - uint64(len(l.list))
	if seq+1 < first {
		gone, until = first-1, l.dropped
		seq = gone
	}
	for i := int(seq + 1 - first); i < len(l.list) && bytes > 0; i++ {
		batch = append(batch, l.list[i])
		bytes -= l.list[i].size()
	}
	return batch, gone, until
}

// follow has a channel sent to when there is something new, until stop.
func (l *reports) follow(wake chan struct{}) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wakes[wake] = struct{}{}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.wakes, wake)
	}
}

func poke(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
