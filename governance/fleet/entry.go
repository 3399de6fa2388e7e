package fleet

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// entry is an agent by its name, connected or not. It outlives its links, so that the next one goes on where the last ended.
type entry struct {
	f    *Fleet
	name string

	calls sync.Mutex   // held around callbacks; taken before all other locks
	seen  atomic.Int64 // Unix time, ns, of the last frame

	// indexed is the agent by whose names the entry stands in the index. Guarded by Fleet.mu.
	indexed *Agent

	mu        sync.Mutex
	agent     *Agent
	link      *link // nil: not connected
	connected int64 // times it connected to this process
	reborn    bool  // its process is another one than that of the link before; read by resume
	since     time.Time

	// What the agent has. Sequence numbers count the updates of all its links.
	items   map[string]*item
	flights []flight // updates that are not answered, oldest first
	seq     uint64   // of the last update sent
	acked   uint64   // of the last one answered
	sentAt  uint64   // revision of the last update sent
	ackedAt uint64   // revision of the last one answered: what the agent keeps on its disk
	have    bool     // items say what the agent has; else only a Full update helps

	// What to look at again.
	dirty    map[string]struct{}
	dirtyAll bool
	waves    []*wave // commits that wait for what is dirty

	// What the agent says of itself.
	ready, draining bool
	detail          string
	stale           time.Time
	clock           *time.Duration // how far its clock is ahead of this centre's; nil: it does not say
	states          map[string]*state
	pinned          int

	// Stamps of what Record tells: who the agent is, and the last state that was taken out of states.
	helloAt, fullAt uint64
}

// item is what an agent has of one resource.
type item struct {
	want    bool   // it comes from the centre; else the agent owns it, and only its commands come from here
	sent    string // hash of the spec that was sent last; "" after none or after it was removed
	seq     uint64 // of the update that sent or removed it
	again   bool   // to be sent even if it is the same: the agent may not have it
	applied string // hash that is in force, as the agent says
	refused *refusal
	checked string // hash that was sent again because a State did not show it
	orders  map[string]*order
}

// refusal is why an agent did not take a spec.
type refusal struct {
	hash, path, message string
}

// order is what an agent has of one command, by its id.
type order struct {
	sum     uint64 // of its JSON
	seq     uint64
	again   bool
	gone    bool // undone; forgotten when the agent answers
	applied bool
	path    string // of what was refused
	err     string
}

// flight is an update that was sent and not answered yet.
type flight struct {
	seq      uint64
	revision uint64
	sent     time.Time
	waves    []*wave
}

// mark notes names to look at again, and wakes the writer. Without a link nothing is noted: the next one looks at all.
func (e *entry) mark(names []string, all bool, w *wave) {
	e.mu.Lock()
	l := e.link
	if l == nil {
		e.mu.Unlock()
		w.leave(e.f)
		return
	}
	if all {
		e.dirtyAll = true
	}
	for _, n := range names {
		e.touch(n)
	}
	e.waves = append(e.waves, w)
	e.note()
	e.mu.Unlock()
	l.nudge()
}

// touch notes a name. Call with e.mu held.
func (e *entry) touch(name string) {
	if e.dirty == nil {
		e.dirty = make(map[string]struct{})
	}
	e.dirty[name] = struct{}{}
}

// pending reports whether something waits to be sent. Call with e.mu held.
func (e *entry) pending() bool { return e.dirtyAll || len(e.dirty) > 0 }

// item returns what is known of a resource, and makes it when nothing is. Call with e.mu held.
func (e *entry) item(name string) *item {
	it := e.items[name]
	if it == nil {
		it = new(item)
		e.items[name] = it
	}
	return it
}

// resume decides what the first update of a new link holds, and returns whether it is a Full one. Call with e.mu and Fleet.mu
// held, after take.
func (e *entry) resume(have control.Have) (full bool) {
	f := e.f
	e.dirtyAll, e.dirty = true, nil
	reborn := e.reborn
	e.reborn = false
	known := have.Cluster == f.o.Cluster && have.Revision > 0 && have.Revision <= uint64(f.revision)
	switch {
	case known && e.have && have.Revision >= e.ackedAt && have.Revision <= e.sentAt:
		e.pickUp(reborn)
		return false
	case known && (f.ring.untouched(e.agent, int64(have.Revision)) || e.unchanged(int64(have.Revision))):
		e.adopt()
		e.ackedAt, e.sentAt, e.acked, e.have = have.Revision, have.Revision, e.seq, true
		return false
	}
	e.have, e.ackedAt = false, 0
	if known {
		e.ackedAt = have.Revision
	}
	return true
}

// unchanged reports whether nothing that the agent wants changed after a revision from before this process started. Call with
// Fleet.mu held.
func (e *entry) unchanged(since int64) bool {
	if !e.f.ring.fresh() || !e.f.ring.quiet(e.agent, since) {
		return false
	}
	for _, name := range e.agent.Wants {
		_, _, revision, ok := e.f.o.Source.Resource(name, e.agent)
		if ok && revision > since || !ok && !e.f.doubtful(name) {
			return false
		}
	}
	return true
}

// pickUp keeps what was answered and sends again what was not. Another process of the agent gets another chance with what
// the one before refused.
func (e *entry) pickUp(reborn bool) {
	for name, it := range e.items {
		want := e.agent.wants(name)
		if !want && !e.agent.owns(name) {
			delete(e.items, name)
			continue
		}
		if it.want != want {
			it.want, it.sent, it.applied, it.refused = want, "", "", nil
		}
		it.checked = ""
		if it.seq > e.acked || reborn && it.refused != nil {
			it.again = true
		}
		for _, o := range it.orders {
			if o.seq > e.acked || reborn && o.err != "" {
				o.again = true
			}
		}
	}
}

// adopt takes for granted that the agent has what the Source shows: another centre sent it. Only resources: there is nothing
// by which a command that is missing would be found later, so that those are sent again.
func (e *entry) adopt() {
	e.items = make(map[string]*item, len(e.agent.Wants)+len(e.agent.Owns))
	for _, name := range e.agent.Wants {
		it := e.item(name)
		it.want = true
		if _, hash, _, ok := e.f.o.Source.Resource(name, e.agent); ok {
			it.sent, it.applied = hash, hash
		}
	}
}

// release lets go of what waits for an answer of a link that ended. Call with e.mu held.
func (e *entry) release() []*wave {
	waves := e.waves
	for _, fl := range e.flights {
		waves = append(waves, fl.waves...)
	}
	e.waves, e.flights = nil, nil
	return waves
}
