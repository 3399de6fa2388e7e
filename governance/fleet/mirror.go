package fleet

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// known is an agent, linked here or told of by another centre.
type known interface {
	called() string
	standing() standing
	view() AgentView
	applied(resource string, v *Applied)
	ordered(id string, v *Applied)
	sees(resource string) (StateView, bool)
	seesAll() []control.ResourceState
	finds(each func(resource string, c control.Found)) (connected bool)
	who() *Agent
}

// standing says which of several tellings of one agent is its newest.
type standing struct {
	connected bool
	started   time.Time
	boot      string
	since     time.Time
}

// newer reports whether s is newer than o: a link stands above none, a later process above an earlier one, a later link of one
// process above the one before, which has not noticed yet.
func (s standing) newer(o standing) bool {
	switch {
	case s.connected != o.connected:
		return s.connected
	case s.boot != o.boot && !s.started.Equal(o.started):
		return s.started.After(o.started)
	case s.boot != o.boot:
		return s.boot > o.boot
	}
	return s.since.After(o.since)
}

// departed is the name of no centre: what is kept under it are agents of centres that are gone.
const departed = ""

// told is what other centres say of one agent.
type told struct {
	by      map[string]*mirror // by the centre's name; one at least
	best    *mirror            // the newest
	indexed *Agent
}

// mirror is an agent as another centre tells it. It does not change: a Record makes another one.
type mirror struct {
	f           *Fleet
	center      string
	sync        uint64 // of the telling that it was last part of
	agent       *Agent
	connected   bool
	since, seen time.Time
	connections int64
	revision    int64
	behind      bool
	pinned      int
	clock       *time.Duration // how far the agent's clock is ahead; nil: it does not say
	items       map[string]RecordItem
	orders      []RecordOrder

	ready, draining bool
	detail          string
	stale           time.Time
	states          map[string]*state
}

// errUnknown says that a Record builds on one that did not come.
var errUnknown = errors.New("it was not told whole before")

// Sync begins with telling all agents of another centre anew; Synced ends it. Until then what was told before stands.
func (f *Fleet) Sync() (sync uint64) { return f.stamps.Add(1) }

// Synced says that all agents of a centre were told since Sync: others are gone from it.
func (f *Fleet) Synced(center string, sync uint64) (changed []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, t := range f.told {
		m := t.by[center]
		if m == nil || m.sync >= sync {
			continue
		}
		changed = append(changed, name)
		gone := *m
		if gone.connected {
			gone.connected, gone.since = false, f.o.Now()
		}
		delete(t.by, center)
		if old := t.by[departed]; old == nil || gone.standing().newer(old.standing()) {
			t.by[departed] = &gone
		}
		f.settleTold(name, t)
		f.changed(name)
	}
	return changed
}

// CenterGone says that a centre was no more at a moment that Sync named: its agents are not connected, unless they are at another one,
// or were told of since.
func (f *Fleet) CenterGone(center string, at uint64) (changed []string) { return f.Synced(center, at) }

// Tell takes what another centre tells of an agent. An error says that the centre has to be asked for everything anew.
func (f *Fleet) Tell(center string, sync uint64, r *Record) error {
	if center == departed || center == f.o.Name {
		return fmt.Errorf("%q is no other centre", center)
	}
	f.mu.Lock()
	t := f.told[r.Name]
	var old *mirror
	if t != nil {
		old = t.by[center]
	}
	f.mu.Unlock()
	var m *mirror
	if !r.Forgotten {
		var err error
		if m, err = f.mirrorOf(center, sync, old, r); err != nil { // one centre has one telling at a time, so that old stands
			return fmt.Errorf("agent %.99q: %w", r.Name, err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if t = f.told[r.Name]; t == nil {
		if m == nil {
			return nil
		}
		t = &told{by: make(map[string]*mirror)}
		f.told[r.Name] = t
	}
	if m == nil {
		delete(t.by, center)
	} else {
		t.by[center] = m
		if m.connected && t.by[departed] != nil {
			delete(t.by, departed)
			f.changed(r.Name)
		}
	}
	f.settleTold(r.Name, t)
	return nil
}

// settleTold finds the newest of what is told of an agent, and keeps the index. Call with f.mu held.
func (f *Fleet) settleTold(name string, t *told) {
	t.best = nil
	for _, m := range t.by {
		if t.best == nil || m.standing().newer(t.best.standing()) {
			t.best = m
		}
	}
	var now *Agent
	if t.best != nil {
		now = t.best.agent
	} else {
		delete(f.told, name)
	}
	if t.indexed == now {
		return
	}
	if t.indexed != nil {
		t.indexed.names(func(n string) {
			delete(f.toldIndex[n], t)
			if len(f.toldIndex[n]) == 0 {
				delete(f.toldIndex, n)
			}
		})
	}
	if t.indexed = now; now == nil {
		return
	}
	now.names(func(n string) {
		if f.toldIndex[n] == nil {
			f.toldIndex[n] = make(map[*told]struct{})
		}
		f.toldIndex[n][t] = struct{}{}
	})
}

// mirrorOf makes what a Record and the mirror before it, which may be nil, say of an agent.
func (f *Fleet) mirrorOf(center string, sync uint64, old *mirror, r *Record) (*mirror, error) {
	now := f.o.Now()
	m := &mirror{
		f: f, center: center, sync: sync, connected: r.Connected, since: now.Add(-time.Duration(r.Since)), seen: now.Add(-time.Duration(r.Seen)),
		connections: r.Connections, revision: r.Revision, behind: r.Behind, pinned: r.Pinned, clock: r.Clock, items: r.Items, orders: r.Orders,
		ready: r.State.Ready, draining: r.State.Draining, detail: shorten(r.State.Detail), states: make(map[string]*state),
	}
	if r.State.Stale != 0 {
		m.stale = time.UnixMilli(r.State.Stale)
	}
	if old == nil && (r.Hello == nil || !r.State.Full) {
		return nil, errUnknown
	}
	if r.Hello != nil {
		var err error
		if m.agent, err = agentOf(r.Hello, r.Name, now); err != nil {
			return nil, err
		}
	} else {
		m.agent = old.agent
	}
	if old != nil && old.connected == m.connected && old.connections == m.connections && old.agent.Boot == m.agent.Boot {
		m.since = old.since // one link, whose age was told with another delay
	}
	if !r.State.Full {
		maps.Copy(m.states, old.states)
	}
	for i := range r.State.Resources {
		s := &r.State.Resources[i]
		if err := checkName(s.Name); err != nil {
			return nil, err
		}
		m.states[s.Name] = stateOf(s)
	}
	if n := max(len(m.states), len(m.items), len(m.orders)/maxLabels); n > maxNames {
		return nil, fmt.Errorf("%d resources: at most %d are kept", n, maxNames)
	}
	return m, nil
}

// sweepTold forgets agents of centres that went before a time. Call with f.mu held.
func (f *Fleet) sweepTold(before time.Time) {
	for name, t := range f.told {
		if m := t.by[departed]; m != nil && m.since.Before(before) {
			delete(t.by, departed)
			f.settleTold(name, t)
			f.changed(name)
		}
	}
}

// Connected reports whether an agent is linked to any centre.
func (f *Fleet) Connected(agent string) bool {
	k := f.find(agent)
	return k != nil && k.standing().connected
}

// Heard says that something came from an agent of another centre.
func (f *Fleet) Heard(agent string, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.told[agent]
	if t == nil || !t.best.connected || !at.After(t.best.seen) {
		return
	}
	m := *t.best
	m.seen = at
	t.by[m.center], t.best = &m, &m
}

// pick returns the newer of two tellings of one agent, either of which may be nil. Call with f.mu held.
func pick(e *entry, t *told) known {
	switch {
	case e == nil && t == nil:
		return nil
	case t == nil:
		return e
	case e == nil, t.best.standing().newer(e.standing()):
		return t.best
	}
	return e
}

// find returns an agent by name, or nil.
func (f *Fleet) find(name string) known {
	f.mu.Lock()
	defer f.mu.Unlock()
	return pick(f.entries[name], f.told[name])
}

// all returns the agents of all centres by name, each once.
func (f *Fleet) all() []known {
	f.mu.Lock()
	out := make([]known, 0, len(f.entries)+len(f.told))
	for name, e := range f.entries {
		out = append(out, pick(e, f.told[name]))
	}
	for name, t := range f.told {
		if f.entries[name] == nil {
			out = append(out, t.best)
		}
	}
	f.mu.Unlock()
	return byName(out)
}

// concerned returns the agents of all centres that want or own a resource, by name.
func (f *Fleet) concerned(resource string) []known {
	f.mu.Lock()
	out := make([]known, 0, len(f.index[resource])+len(f.toldIndex[resource]))
	for e := range f.index[resource] {
		if k := pick(e, f.told[e.name]); k == known(e) {
			out = append(out, k)
		}
	}
	for t := range f.toldIndex[resource] {
		if k := pick(f.entries[t.best.agent.Name], t); k == known(t.best) {
			out = append(out, k)
		}
	}
	f.mu.Unlock()
	return byName(out)
}

func byName(list []known) []known {
	slices.SortFunc(list, func(a, b known) int { return strings.Compare(a.called(), b.called()) })
	return list
}
