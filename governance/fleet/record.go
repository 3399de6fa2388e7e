package fleet

import (
	"maps"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// Record is what one centre tells another of an agent: all of it, or what changed since the Record before. Times are ages, so that
// the clocks of the two need not agree.
type Record struct {
	Name      string         `json:"name"`
	Forgotten bool           `json:"forgotten,omitempty"` // the agent went long ago, and nothing else is set
	Hello     *control.Hello `json:"hello,omitempty"`     // who it is; nil: as before

	Connected   bool  `json:"connected,omitempty"`
	Since       int64 `json:"since"` // ns ago, as is Seen
	Seen        int64 `json:"seen"`
	Connections int64 `json:"connections,omitempty"`
	Revision    int64 `json:"revision,omitempty"`
	Behind      bool  `json:"behind,omitempty"`
	Pinned      int   `json:"pinned,omitempty"`
	// Clock is how far the agent's clock is ahead, in ns; nil: it does not say.
	Clock *time.Duration `json:"clock,omitempty"`

	Items  map[string]RecordItem `json:"items,omitempty"`  // all resources that it takes from the centre
	Orders []RecordOrder         `json:"orders,omitempty"` // all commands that it was given

	// State is what the agent says of itself and of resources, those that changed or, when it is full, all.
	State control.State `json:"state"`
}

// RecordItem is what an agent has of a resource; see item.
type RecordItem struct {
	Applied string         `json:"applied,omitempty"`
	Refused *RecordRefusal `json:"refused,omitempty"`
}

// RecordRefusal is why an agent did not take a spec.
type RecordRefusal struct {
	Hash    string `json:"hash"`
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
}

// RecordOrder is what an agent has of a command on a resource; see order.
type RecordOrder struct {
	ID       string `json:"id"`
	Resource string `json:"resource"`
	Applied  bool   `json:"applied,omitempty"`
	Path     string `json:"path,omitempty"`
	Error    string `json:"error,omitempty"`
}

// Follower is who tells another centre of the agents. It holds the names of those that changed, and nothing else: a slow one is told
// the newest state of each, however often that changed.
type Follower struct {
	f     *Fleet
	wake  chan struct{}
	names map[string]struct{} // guarded by Fleet.following
}

// Follow begins with all agents. Stop must be called.
func (f *Fleet) Follow() *Follower {
	w := &Follower{f: f, wake: make(chan struct{}, 1), names: make(map[string]struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	for name := range f.entries {
		w.names[name] = struct{}{}
	}
	for name, t := range f.told {
		if t.by[departed] != nil {
			w.names[name] = struct{}{}
		}
	}
	f.following.Lock()
	defer f.following.Unlock()
	f.followers[w] = struct{}{}
	w.poke()
	return w
}

// Stop ends it.
func (w *Follower) Stop() {
	w.f.following.Lock()
	defer w.f.following.Unlock()
	delete(w.f.followers, w)
}

// Wake is sent to when there may be something to Take.
func (w *Follower) Wake() <-chan struct{} { return w.wake }

// Take returns up to n names of agents that changed since they were taken last, in any order.
func (w *Follower) Take(n int) []string {
	w.f.following.Lock()
	defer w.f.following.Unlock()
	var out []string
	for name := range w.names {
		if len(out) == n {
			w.poke()
			break
		}
		out = append(out, name)
		delete(w.names, name)
	}
	return out
}

func (w *Follower) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// changed tells all followers of an agent. It may be called with any lock of the fleet held.
func (f *Fleet) changed(name string) {
	f.following.Lock()
	defer f.following.Unlock()
	for w := range f.followers {
		w.names[name] = struct{}{}
		w.poke()
	}
}

// note says that something of the agent is another than before. Call with e.mu held.
func (e *entry) note() uint64 {
	at := e.f.stamps.Add(1)
	e.f.changed(e.name)
	return at
}

// Record returns what changed of an agent after a stamp, 0: all, and the stamp to go on from. It is an agent that is linked here or
// was, or one that a centre had that is gone.
func (f *Fleet) Record(name string, since uint64) (Record, uint64) {
	f.mu.Lock()
	e := f.entries[name]
	var gone *mirror
	if t := f.told[name]; t != nil {
		gone = t.by[departed]
	}
	f.mu.Unlock()
	switch {
	case e != nil:
		return e.record(since)
	case gone != nil:
		return gone.record(f.o.Now()), 0
	}
	return Record{Name: name, Forgotten: true}, 0
}

func (e *entry) record(since uint64) (Record, uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.f.o.Now()
	r := Record{
		Name: e.name, Connected: e.link != nil, Since: int64(now.Sub(e.since)), Seen: int64(now.Sub(time.Unix(0, e.seen.Load()))),
		Connections: e.connected, Revision: int64(e.ackedAt), Behind: e.behind(), Pinned: e.pinned, Clock: e.clock,
		State: control.State{Full: since <= e.fullAt, Ready: e.ready, Draining: e.draining, Detail: e.detail},
	}
	if since <= e.helloAt {
		r.Hello = e.agent.hello()
	}
	if !e.stale.IsZero() {
		r.State.Stale = e.stale.UnixMilli()
	}
	for name, it := range e.items {
		if it.want {
			i := RecordItem{Applied: it.applied}
			if f := it.refused; f != nil {
				i.Refused = &RecordRefusal{f.hash, f.path, f.message}
			}
			if r.Items == nil {
				r.Items = make(map[string]RecordItem, len(e.items))
			}
			r.Items[name] = i
		}
		for id, o := range it.orders {
			if !o.gone {
				r.Orders = append(r.Orders, RecordOrder{id, name, o.applied, o.path, o.err})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.states)) {
		if s := e.states[name]; s.at >= since {
			r.State.Resources = append(r.State.Resources, s.view())
		}
	}
	return r, e.f.stamps.Load() + 1
}

// hello is what agentOf would make the agent of.
func (a *Agent) hello() *control.Hello {
	h := &control.Hello{
		Protocol: control.Version, Name: a.Name, Application: a.Application, IDC: a.IDC, Version: a.Version, Host: a.Host, Labels: a.Labels,
		Boot: a.Boot, Started: a.Started.UnixMilli(), Kinds: a.Kinds, Wants: a.Wants,
	}
	for _, o := range a.Owns {
		h.Owns = append(h.Owns, control.Owned{Name: o.Name, Hash: o.Hash, Also: o.Also, Spec: o.Spec()})
	}
	return h
}
