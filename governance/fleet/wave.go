package fleet

import (
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
)

// wave is what one round of the dispatcher sets off: commits that went out together, and how many agents have yet to answer.
type wave struct {
	commits []time.Time
	waiting atomic.Int32
	acked   atomic.Bool // an agent got something; else the commits concerned nobody after all
	cut     atomic.Bool // an agent went before it answered: there is no last answer to measure
}

// answer notes that an agent has what the wave brought.
func (w *wave) answer(f *Fleet) {
	now := f.o.Now()
	for _, at := range w.commits {
		f.each.Record(int64(now.Sub(at)))
	}
	w.acked.Store(true)
	w.leave(f)
}

// leave notes that an agent has nothing to answer. The last one to leave or answer ends the wave.
func (w *wave) leave(f *Fleet) {
	if w.waiting.Add(-1) > 0 || !w.acked.Load() || w.cut.Load() {
		return
	}
	now := f.o.Now()
	for _, at := range w.commits {
		f.last.Record(int64(now.Sub(at)))
	}
}

// lose notes that an agent went before it answered.
func (w *wave) lose(f *Fleet) {
	w.cut.Store(true)
	w.leave(f)
}

// Propagation is how long changes take to reach agents, since the fleet was made.
type Propagation struct {
	Each metrics.Snapshot // from a commit to each answer of an agent
	Last metrics.Snapshot // from a commit to the last answer; commits that an agent left unanswered are not in it
}

// Propagation copies the histograms of answers to commits. Of changes that went out together each counts.
func (f *Fleet) Propagation() *Propagation {
	p := new(Propagation)
	f.each.Snapshot(&p.Each)
	f.last.Snapshot(&p.Last)
	return p
}
