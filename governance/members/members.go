// Package members shares what agents export between the centres of one store. The centre that an agent is linked to writes down
// what the agent exports, when that changes; the others read it. Whether an agent is alive stays with the centre that has its link,
// and whether a centre is alive is a leadership of its own in the store, which ends with it:
//
//	exports/AGENT    record: the centre that the agent is linked to, its process, and its services
//
// A record of another centre counts as the word of the agent itself while that centre lives. It is removed when the link breaks, or,
// by any of the others, when its centre has been gone for the time of grace.
package members

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/control"
)

const (
	prefix     = "exports/"
	office     = "center." // and the name of a centre: held while it lives
	mostAtOnce = 32        // records in one transaction
	firstRetry = 100 * time.Millisecond
	mostRetry  = 5 * time.Second
	askTime    = 2 * time.Second
)

// Registry is what is told of exports; see registry.Registry.
type Registry interface {
	Export(agent, boot string, services []control.Service) error
	Gone(agent, boot string)
}

// Options of Members. All but Log must be set.
type Options struct {
	Store    store.Store
	Registry Registry
	Me       string        // name of this centre, which no other has
	Grace    time.Duration // how long what a dead centre wrote lasts
	Look     time.Duration // how often it is asked whether the others live; default a sixth of Grace, at least 1 s
	Log      *slog.Logger
}

type record struct {
	Center   string            `json:"center"`
	Boot     string            `json:"boot"`
	Services []control.Service `json:"services"`
}

// noted is a record as the store has it.
type noted struct {
	record
	revision int64
	told     bool      // the registry was told of it
	lost     time.Time // its centre was found dead; zero while that lives
}

// own is an agent that is linked here.
type own struct {
	boot     string
	services []control.Service
	gone     bool
}

// Members shares exports. Its methods may be called from any goroutine.
type Members struct {
	opt  Options
	stop context.CancelFunc
	done sync.WaitGroup
	wake chan struct{}

	// One change of the registry at a time, so that what the store says and what a link says do not overtake each other.
	mu       sync.Mutex
	revision int64
	records  map[string]noted // by agent
	linked   map[string]own
	dirty    map[string]struct{} // agents whose record may have to be written
}

// Open reads the records, tells the registry of them, and follows their changes. ctx bounds the first reading alone.
func Open(ctx context.Context, o Options) (*Members, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Look == 0 {
		o.Look = max(o.Grace/6, time.Second)
	}
	run, stop := context.WithCancel(context.Background())
	m := &Members{opt: o, stop: stop, wake: make(chan struct{}, 1), records: map[string]noted{}, linked: map[string]own{}, dirty: map[string]struct{}{}}
	follower := store.Follower{Store: o.Store, Prefix: prefix, Known: m.known, Apply: m.apply, What: "the exports", Log: o.Log}
	if err := follower.List(ctx); err != nil {
		stop()
		return nil, err
	}
	m.done.Go(func() {
		store.Reign(run, o.Store, office+o.Me, o.Me, "being there for the other centres", o.Log, func(ctx context.Context, l store.Leadership) error {
			select {
			case <-ctx.Done():
			case <-l.Lost():
			}
			return nil
		})
	})
	m.done.Go(func() { follower.Follow(run) })
	m.done.Go(func() { m.write(run) })
	m.done.Go(func() { m.look(run) })
	return m, nil
}

// Close ends the goroutines and waits for them.
func (m *Members) Close() {
	m.stop()
	m.done.Wait()
}

// Export takes what an agent that is linked here exports. The error is the registry's.
func (m *Members) Export(agent, boot string, services []control.Service) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.linked[agent] = own{boot: boot, services: services}
	m.mark(agent)
	return m.opt.Registry.Export(agent, boot, services)
}

// Gone says that the link of an agent's process broke.
func (m *Members) Gone(agent, boot string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.linked[agent]
	if !ok || o.boot != boot {
		return
	}
	if r, there := m.records[agent]; there && r.Center != m.opt.Me { // it went to another centre, as that says
		delete(m.linked, agent)
		m.tell(agent, r)
		return
	}
	o.gone = true
	m.linked[agent] = o
	m.mark(agent)
	m.opt.Registry.Gone(agent, boot)
}

// mark has the record of an agent looked at. mu is held.
func (m *Members) mark(agent string) {
	m.dirty[agent] = struct{}{}
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// tell passes a record on to the registry. mu is held.
func (m *Members) tell(agent string, r noted) {
	r.told = true
	m.records[agent] = r
	if err := m.opt.Registry.Export(agent, r.Boot, r.Services); err != nil {
		m.opt.Log.Warn("not all services that an agent exports at another centre are taken", "agent", agent, "center", r.Center, "error", err)
	}
}

// known returns the keys of all records, and the revision at which they were.
func (m *Members) known() (keys []string, after int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for agent := range m.records {
		keys = append(keys, prefix+agent)
	}
	return keys, m.revision
}

// apply takes over what changed in the store.
func (m *Members) apply(b store.Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revision = b.Revision
	for _, c := range b.Changes {
		agent := strings.TrimPrefix(c.Key, prefix)
		was, had := m.records[agent]
		o, here := m.linked[agent]
		here = here && !o.gone
		if c.Deleted {
			delete(m.records, agent)
			switch {
			case here: // by another centre, which thought that the agent was still there
				m.mark(agent)
			case had && was.told:
				m.opt.Registry.Gone(agent, was.Boot)
			}
			continue
		}
		if had && was.revision == c.Revision { // read anew
			continue
		}
		r := noted{revision: c.Revision}
		if err := json.Unmarshal(c.Value, &r.record); err != nil {
			m.opt.Log.Error("what an agent exports cannot be read and is left out", "agent", agent, "error", err)
			continue
		}
		m.records[agent] = r
		if here {
			if r.Center == m.opt.Me { // what was written; the link may have said something else since
				m.mark(agent)
			}
			continue // another centre has a newer link, and this one breaks soon
		}
		m.tell(agent, r)
		if r.Center == m.opt.Me && !o.gone { // of an earlier process of this centre: the agent has the time of grace to come back
			m.opt.Registry.Gone(agent, r.Boot)
			r.told, r.lost = true, time.Now()
			m.records[agent] = r
		}
	}
}

// write keeps the records of the agents that are linked here.
func (m *Members) write(ctx context.Context) {
	retry := firstRetry
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		}
		for ctx.Err() == nil {
			t, agents := m.next()
			if len(agents) == 0 {
				break
			}
			_, err := m.opt.Store.Commit(ctx, t)
			if err == nil {
				m.forget(agents)
				retry = firstRetry
				continue
			}
			if !errors.Is(err, store.ErrConflict) { // else another centre wrote, which is about to be seen
				m.opt.Log.Warn("what agents export cannot be shared with the other centres for now", "agents", len(agents), "error", err, "retry", retry)
			}
			m.mu.Lock()
			for _, a := range agents {
				m.mark(a)
			}
			m.mu.Unlock()
			if !clock.Sleep(ctx, retry) {
				return
			}
			retry = min(2*retry, mostRetry)
		}
	}
}

// forget drops the agents whose end was written down.
func (m *Members) forget(agents []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, agent := range agents {
		if m.linked[agent].gone {
			delete(m.linked, agent)
		}
	}
}

// next makes the transaction for some of the agents that are to be looked at.
func (m *Members) next() (t store.Txn, agents []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, agent := range slices.Sorted(maps.Keys(m.dirty)) {
		if len(agents) == mostAtOnce {
			break
		}
		delete(m.dirty, agent)
		o, here := m.linked[agent]
		r, there := m.records[agent]
		key := prefix + agent
		switch {
		case here && !o.gone && len(o.services) > 0:
			want := record{m.opt.Me, o.boot, o.services}
			if there && reflect.DeepEqual(r.record, want) {
				continue
			}
			text, err := json.Marshal(want)
			if err != nil {
				m.opt.Log.Error("what an agent exports cannot be shared", "agent", agent, "error", err)
				continue
			}
			t.Then = append(t.Then, store.Op{Key: key, Value: text})
		case here && there && r.Center == m.opt.Me && (!o.gone || r.Boot == o.boot): // it exports nothing any more
			t.If = append(t.If, store.Cond{Key: key, Revision: r.revision})
			t.Then = append(t.Then, store.Op{Key: key, Delete: true})
		default:
			if o.gone {
				delete(m.linked, agent)
			}
			continue
		}
		agents = append(agents, agent)
	}
	return t, agents
}

// look asks now and then whether the centres live whose records there are.
func (m *Members) look(ctx context.Context) {
	tick := time.NewTicker(m.opt.Look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, center := range m.others() {
			asked, cancel := context.WithTimeout(ctx, askTime)
			lives, err := m.Alive(asked, center)
			cancel()
			if err == nil { // else nobody knows: it stays as it is
				m.judge(center, lives, time.Now())
			}
		}
		m.judge(m.opt.Me, true, time.Now())
	}
}

// Alive asks whether a centre lives.
func (m *Members) Alive(ctx context.Context, center string) (bool, error) {
	who, err := m.opt.Store.Leader(ctx, office+center)
	return who != "", err
}

// others are the centres that wrote records.
func (m *Members) others() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := map[string]struct{}{}
	for _, r := range m.records {
		if r.Center != m.opt.Me {
			names[r.Center] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// judge says of the records of a centre that they are its word, or that it is gone; after the time of grace they are removed.
func (m *Members) judge(center string, lives bool, now time.Time) {
	m.mu.Lock()
	over := map[string]int64{} // revisions by agent
	for agent, r := range m.records {
		o, here := m.linked[agent]
		if r.Center != center || here && !o.gone {
			continue
		}
		switch {
		case lives && center != m.opt.Me && !r.lost.IsZero(): // it is back, and has not said anything else
			r.lost = time.Time{}
			m.tell(agent, r)
		case lives && r.lost.IsZero():
		case r.lost.IsZero():
			r.lost = now
			m.records[agent] = r
			m.opt.Registry.Gone(agent, r.Boot)
		case now.Sub(r.lost) > m.opt.Grace:
			over[agent] = r.revision
		}
	}
	m.mu.Unlock()
	for agent, revision := range over {
		m.remove(agent, revision)
	}
}

// remove deletes a record that nobody answers for, unless it is another one by now.
func (m *Members) remove(agent string, revision int64) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	_, err := m.opt.Store.Commit(ctx, store.Txn{If: []store.Cond{{Key: prefix + agent, Revision: revision}}, Then: []store.Op{{Key: prefix + agent, Delete: true}}})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		m.opt.Log.Warn("what a dead centre wrote cannot be removed for now", "agent", agent, "error", err)
	}
}
