package graphite

import (
	"sync"

	"github.com/sluice-mesh/sluice/metrics"
)

// queue keeps batches for the sender. When it is full the oldest go, and are counted: the newest say how things are.
type queue struct {
	limit   int // bytes
	dropped *metrics.Counter
	ready   chan struct{} // holds a token when there may be something to take

	mu      sync.Mutex
	batches []batch
	bytes   int
}

func newQueue(limit int, dropped *metrics.Counter) *queue {
	return &queue{limit: limit, dropped: dropped, ready: make(chan struct{}, 1)}
}

func (q *queue) put(b batch) {
	q.mu.Lock()
	for len(q.batches) > 0 && q.bytes+len(b.data) > q.limit {
		q.dropped.Add(int64(q.batches[0].lines))
		q.bytes -= len(q.batches[0].data)
		q.batches[0] = batch{}
		q.batches = q.batches[1:]
	}
	q.batches = append(q.batches, b)
	q.bytes += len(b.data)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take removes the oldest batch, if there is one.
func (q *queue) take() (batch, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.batches) == 0 {
		q.batches = nil // let go of the array that put grew
		return batch{}, false
	}
	b := q.batches[0]
	q.batches[0] = batch{}
	q.batches = q.batches[1:]
	q.bytes -= len(b.data)
	return b, true
}
