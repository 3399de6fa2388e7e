package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/governance/question"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/protocols/control"
)

// Errors that callers tell apart with errors.Is.
var (
	ErrClosed   = errors.New("the centre is stopping")
	ErrUnknown  = errors.New("no agent of that name was here")
	ErrAway     = question.ErrAway
	ErrBusy     = question.ErrBusy
	ErrTooLarge = question.ErrTooLarge
)

// Fleet is the agents: those that are linked here, and those that other centres tell of. Make it with New, end it with Close.
type Fleet struct {
	o          Options
	frames     frames
	each, last metrics.Histogram

	builds   chan struct{} // a token for each Full update that is worked out at the same time
	starting atomic.Int64  // links that have not got their first update
	queued   atomic.Int64  // bytes of updates that are being written

	kick chan struct{}   // something is dirty, or Tune changed
	life context.Context // until Close
	end  context.CancelFunc
	done sync.WaitGroup // the dispatcher and all links

	mu       sync.Mutex
	closed   bool
	revision int64
	entries  map[string]*entry
	index    map[string]map[*entry]struct{} // by the resources that they want or own

	told      map[string]*told              // agents of other centres, by name
	toldIndex map[string]map[*told]struct{} // by the resources that they want or own

	ring     ring
	dirty    map[string]struct{}
	dirtyAll bool
	commits  []time.Time // since the last round

	report      time.Duration // in force
	reportUntil time.Time

	stamps    atomic.Uint64 // of changes of entries, for Record
	following sync.Mutex    // a leaf
	followers map[*Follower]struct{}
}

// New starts a fleet.
func New(o Options) (*Fleet, error) {
	if o.Source == nil || o.Name == "" || o.Cluster == "" {
		return nil, errors.New("a fleet needs a Source, a Name and a Cluster")
	}
	o.defaults()
	f := &Fleet{
		o: o, revision: o.Source.Revision(), report: o.Report,
		entries: make(map[string]*entry), index: make(map[string]map[*entry]struct{}), dirty: make(map[string]struct{}),
		told: make(map[string]*told), toldIndex: make(map[string]map[*told]struct{}), followers: make(map[*Follower]struct{}),
		builds: make(chan struct{}, 2*runtime.GOMAXPROCS(0)), kick: make(chan struct{}, 1),
	}
	f.life, f.end = context.WithCancel(context.Background())
	f.ring.floor = f.revision
	f.done.Go(f.dispatch)
	return f, nil
}

// Changed says that what the Source shows changed, at a revision: these names, or any when names is nil. It is called after
// the Source shows it, and at once: Propagation counts from here. It does not block.
func (f *Fleet) Changed(names []string, revision int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := revision
	if revision <= f.revision { // it comes late: agents at f.revision may not have it
		at = f.revision + 1
	}
	f.revision = max(f.revision, revision)
	if names == nil {
		f.dirtyAll, f.ring.all = true, at
	}
	for _, n := range names {
		f.dirty[n] = struct{}{}
		f.ring.add(n, at)
	}
	f.commits = append(f.commits, f.o.Now())
	f.wake()
}

// Settle says that the Source knows everything now: see Settler.
func (f *Fleet) Settle() {
	for _, e := range f.linked() {
		e.mu.Lock()
		if e.link != nil && e.have && len(e.states) > 0 && len(e.flights) == 0 && !e.pending() {
			e.recheck()
			if e.pending() {
				e.note()
				e.link.nudge()
			}
		}
		e.mu.Unlock()
	}
}

func (f *Fleet) wake() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// dispatch waits until changes settle and tells the agents that they concern. It also ends faster reports and forgets agents
// that went long ago.
func (f *Fleet) dispatch() {
	round := time.NewTimer(time.Hour)
	round.Stop()
	tune := time.NewTimer(time.Hour)
	tune.Stop()
	sweep := time.NewTicker(time.Minute)
	defer sweep.Stop()
	var latest time.Time // when the round is due at the latest; zero: none is
	for {
		select {
		case <-f.life.Done():
			round.Stop()
			tune.Stop()
			return
		case <-f.kick:
			dirty, until := f.look()
			if !until.IsZero() {
				tune.Reset(until.Sub(f.o.Now()))
			}
			if !dirty {
				continue
			}
			now := time.Now()
			if latest.IsZero() {
				latest = now.Add(f.o.SettleMax)
			}
			round.Reset(min(f.o.Settle, latest.Sub(now)))
		case <-round.C:
			latest = time.Time{}
			f.round()
		case <-tune.C:
			f.untune()
		case <-sweep.C:
			f.sweep()
		}
	}
}

func (f *Fleet) look() (dirty bool, tuned time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dirtyAll || len(f.dirty) > 0, f.reportUntil
}

// round marks the agents that what changed concerns.
func (f *Fleet) round() {
	f.mu.Lock()
	w := &wave{commits: f.commits}
	all := f.dirtyAll
	targets := make(map[*entry][]string)
	if all {
		for _, e := range f.entries {
			targets[e] = nil
		}
	} else {
		for name := range f.dirty {
			for e := range f.index[name] {
				targets[e] = append(targets[e], name)
			}
		}
	}
	f.commits, f.dirtyAll = nil, false
	clear(f.dirty)
	f.mu.Unlock()
	w.waiting.Store(int32(len(targets)))
	for e, names := range targets {
		e.mark(names, all, w)
	}
}

// sweep forgets agents that went more than Options.Keep ago.
func (f *Fleet) sweep() {
	before := f.o.Now().Add(-f.o.Keep)
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, e := range f.entries {
		e.mu.Lock()
		forget := e.link == nil && e.since.Before(before)
		e.mu.Unlock()
		if forget {
			f.reindex(e, nil)
			delete(f.entries, name)
			f.changed(name)
		}
	}
	f.sweepTold(before)
}

// reindex puts an entry where its agent's names are. Call with f.mu held.
func (f *Fleet) reindex(e *entry, a *Agent) {
	if e.indexed != nil {
		e.indexed.names(func(n string) {
			delete(f.index[n], e)
			if len(f.index[n]) == 0 {
				delete(f.index, n)
			}
		})
	}
	e.indexed = a
	if a == nil {
		return
	}
	a.names(func(n string) {
		if f.index[n] == nil {
			f.index[n] = make(map[*entry]struct{})
		}
		f.index[n][e] = struct{}{}
	})
}

// Tune makes the agents of all centres report every d for a while: somebody watches. Calls before the end prolong it; the shortest
// d holds.
func (f *Fleet) Tune(d, ttl time.Duration) {
	f.TuneHere(d, ttl)
	if f.o.Elsewhere != nil {
		f.o.Elsewhere.Tune(d, ttl)
	}
}

// TuneHere is Tune for the agents that are linked here.
func (f *Fleet) TuneHere(d, ttl time.Duration) {
	if d <= 0 || d >= f.o.Report || ttl <= 0 {
		return
	}
	f.mu.Lock()
	now := f.o.Now()
	changed := false
	if f.reportUntil.IsZero() || d < f.report {
		f.report, changed = d, true
	}
	if until := now.Add(ttl); until.After(f.reportUntil) {
		f.reportUntil = until
	}
	links := f.linksLocked()
	f.mu.Unlock()
	f.wake()
	if changed {
		tuneAll(links, d)
	}
}

// untune ends what Tune began, when its time is over.
func (f *Fleet) untune() {
	f.mu.Lock()
	if f.reportUntil.IsZero() {
		f.mu.Unlock()
		return
	}
	if left := f.reportUntil.Sub(f.o.Now()); left > 0 {
		f.mu.Unlock()
		f.wake() // it was prolonged
		return
	}
	f.report, f.reportUntil = f.o.Report, time.Time{}
	links := f.linksLocked()
	f.mu.Unlock()
	tuneAll(links, f.o.Report)
}

func tuneAll(links []*link, d time.Duration) {
	frame := frameOf(control.TypeTune, control.Tune{Report: int64(d)})
	for _, l := range links {
		l.post(frame)
	}
}

// linksLocked returns the links that stand. Call with f.mu held.
func (f *Fleet) linksLocked() []*link {
	links := make([]*link, 0, len(f.entries))
	for _, e := range f.entries {
		e.mu.Lock()
		if e.link != nil {
			links = append(links, e.link)
		}
		e.mu.Unlock()
	}
	return links
}

// linked returns the agents that are linked here, or were.
func (f *Fleet) linked() []*entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Values(f.entries))
}

// entry returns an agent that is linked here, or was, by name, or nil.
func (f *Fleet) entry(name string) *entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.entries[name]
}

// jitter spreads agents that are told to come back: from half of the mean to one and a half.
func (f *Fleet) jitter() time.Duration {
	return f.o.Retry/2 + rand.N(f.o.Retry)
}

// Close says goodbye to all agents, each told to come back at another time, and waits until their links ended, or cuts them
// when ctx ends.
func (f *Fleet) Close(ctx context.Context) error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return ErrClosed
	}
	f.closed = true
	links := f.linksLocked()
	f.mu.Unlock()
	f.end()
	for _, l := range links {
		l.bye(control.Bye{Why: ErrClosed.Error(), Retry: int64(f.jitter())})
	}
	ended := make(chan struct{})
	go func() {
		f.done.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	for _, l := range links {
		l.cut(ErrClosed)
	}
	<-ended
	return fmt.Errorf("links were cut before their agents read the goodbye: %w", ctx.Err())
}
