package fleet

import (
	"fmt"
	"strings"
	"time"
	"unique"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// result takes the answer to an update, and returns whether there was one. Answers come in the order of the updates.
func (e *entry) result(l *link, r *control.Result) bool {
	e.mu.Lock()
	if e.link != l {
		e.mu.Unlock()
		return false
	}
	var waves []*wave
	at := -1
	for i, fl := range e.flights {
		if fl.revision == r.Revision {
			at = i
			break
		}
	}
	if at < 0 { // of an update that nobody sent
		e.mu.Unlock()
		return false
	}
	for _, fl := range e.flights[:at+1] {
		waves = append(waves, fl.waves...)
	}
	e.acked, e.ackedAt = e.flights[at].seq, r.Revision
	e.flights = append(e.flights[:0], e.flights[at+1:]...)
	for i := range r.Lines {
		e.line(&r.Lines[i])
	}
	e.pinned = 0
	for _, c := range r.Pinned {
		e.pinned += max(c.N, 0)
	}
	e.forget()
	for _, w := range waves { // before anybody can see that the agent is not behind any more
		w.answer(e.f)
	}
	more := e.pending()
	e.note()
	e.mu.Unlock()
	if more {
		l.nudge()
	}
	return true
}

// line takes what became of one resource or command. Call with e.mu held.
func (e *entry) line(n *control.Line) {
	if n.Command != "" {
		for name, it := range e.items {
			if o := it.orders[n.Command]; o != nil && o.seq <= e.acked && (n.Resource == "" || n.Resource == name) {
				o.applied, o.path, o.err = n.Error == "", shorten(n.Path), shorten(n.Error)
			}
		}
		return
	}
	it := e.items[n.Resource]
	if it == nil || !it.want || it.seq > e.acked { // a later update is on its way with another spec
		return
	}
	switch {
	case n.Error != "":
		it.refused = &refusal{hash: it.sent, path: shorten(n.Path), message: shorten(n.Error)}
		it.applied = intern(n.Hash, it.applied)
	case n.Hash == "" || n.Hash == it.sent:
		it.applied, it.refused = it.sent, nil
	default:
		it.applied = intern(n.Hash, it.applied)
	}
}

// intern returns the hash, as the string that is held already where it is the same.
func intern(hash, held string) string {
	if hash == held {
		return held
	}
	return strings.Clone(shorten(hash))
}

// shorten bounds a text of an agent, which is kept.
func shorten(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "") + "..."
	}
	return s
}

// forget drops commands whose end was answered, and resources of which nothing is left. Call with e.mu held.
func (e *entry) forget() {
	for name, it := range e.items {
		for id, o := range it.orders {
			if o.gone && o.seq <= e.acked {
				delete(it.orders, id)
			}
		}
		if it.seq <= e.acked && it.sent == "" {
			it.applied = ""
			if len(it.orders) == 0 {
				delete(e.items, name)
			}
		}
	}
}

// state is what an agent says of one resource. A thousand agents say much the same: texts and endpoints are kept once.
type state struct {
	head      unique.Handle[stateHead]
	listen    []string
	ready     bool
	sessions  int
	pinned    int
	upstream  int
	groups    []unique.Handle[control.GroupState]
	endpoints []unique.Handle[control.EndpointState] // without Lag
	lags      map[int]int64                          // of those that have one
	observed  []control.Count
	found     []control.Found
	at        uint64 // stamp, for Record
}

type stateHead struct{ name, kind, source, hash, detail string }

func stateOf(r *control.ResourceState) *state {
	s := &state{
		head:   unique.Make(stateHead{r.Name, r.Kind, r.Source, r.Hash, shorten(r.Detail)}),
		listen: r.Listen, ready: r.Ready, sessions: r.Sessions, pinned: r.Pinned, upstream: r.Upstream, observed: r.Observed,
		groups: make([]unique.Handle[control.GroupState], len(r.Groups)), endpoints: make([]unique.Handle[control.EndpointState], len(r.Endpoints)),
	}
	for i, g := range r.Groups {
		s.groups[i] = unique.Make(g)
	}
	for _, c := range r.Found[:min(len(r.Found), control.MostFound)] {
		c.Summary, c.Author, c.Why, c.Origin, c.Problem = shorten(c.Summary), shorten(c.Author), shorten(c.Why), shorten(c.Origin), shorten(c.Problem)
		s.found = append(s.found, c)
	}
	for i, p := range r.Endpoints {
		if p.Lag != 0 {
			if s.lags == nil {
				s.lags = make(map[int]int64)
			}
			s.lags[i], p.Lag = p.Lag, 0
		}
		p.Detail = shorten(p.Detail)
		s.endpoints[i] = unique.Make(p)
	}
	return s
}

// view makes it what the agent sent.
func (s *state) view() control.ResourceState {
	h := s.head.Value()
	r := control.ResourceState{
		Name: h.name, Kind: h.kind, Source: h.source, Hash: h.hash, Detail: h.detail,
		Listen: s.listen, Ready: s.ready, Sessions: s.sessions, Pinned: s.pinned, Upstream: s.upstream, Observed: s.observed, Found: s.found,
		Groups: make([]control.GroupState, 0, len(s.groups)), Endpoints: make([]control.EndpointState, 0, len(s.endpoints)),
	}
	for _, g := range s.groups {
		r.Groups = append(r.Groups, g.Value())
	}
	for i, p := range s.endpoints {
		v := p.Value()
		v.Lag = s.lags[i]
		r.Endpoints = append(r.Endpoints, v)
	}
	return r
}

// state takes what an agent sees. An error ends the link.
func (e *entry) state(l *link, m *control.State) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.link != l {
		return nil
	}
	e.ready, e.draining, e.detail, e.stale = m.Ready, m.Draining, shorten(m.Detail), time.Time{}
	if m.Stale != 0 {
		e.stale = time.UnixMilli(m.Stale)
	}
	at := e.note()
	if m.Full || len(m.Removed) > 0 {
		e.fullAt = at
	}
	if m.Full {
		clear(e.states)
	}
	for i := range m.Resources {
		r := &m.Resources[i]
		if err := checkName(r.Name); err != nil {
			return fmt.Errorf("state: %w", err)
		}
		s := stateOf(r)
		s.at = at
		e.states[r.Name] = s
	}
	for _, n := range m.Removed {
		delete(e.states, n)
	}
	if len(e.states) > maxNames {
		return fmt.Errorf("state: %d resources: at most %d are kept", len(e.states), maxNames)
	}
	e.pinned = 0
	for _, s := range e.states {
		e.pinned += max(s.pinned, 0)
	}
	e.compare(m)
	if e.pending() {
		l.nudge()
	}
	return nil
}

// sourceCentre is ResourceState.Source of what the centre sent.
const sourceCentre = "center"

// compare looks whether the agent runs what it was sent, when nothing is on its way. What differs and was not refused is sent
// again, once: a copy of the agent's disk may be older than it says. Call with e.mu held.
func (e *entry) compare(m *control.State) {
	quiet := len(e.flights) == 0 && !e.pending() && e.have
	for i := range m.Resources {
		r := &m.Resources[i]
		it := e.items[r.Name]
		switch {
		case r.Source != sourceCentre:
		case it != nil && it.want && it.sent != "":
			if it.seq <= e.acked {
				it.applied = intern(r.Hash, it.applied)
			}
			if r.Hash == it.sent {
				it.refused = nil
			}
		case quiet && m.Full && !e.agent.concerns(r.Name): // it took it from a centre, once
			e.items[r.Name] = &item{}
			e.touch(r.Name)
		}
	}
	if quiet && m.Full && e.f.settled() {
		e.recheck()
	}
}

// recheck sends again what an agent does not run although it was sent. Call with e.mu held, when nothing is on its way.
func (e *entry) recheck() {
	for name, it := range e.items {
		if !it.want || it.sent == "" || it.refused != nil && it.refused.hash == it.sent || it.checked == it.sent {
			continue
		}
		if s := e.states[name]; s != nil && s.head.Value().hash == it.sent {
			continue
		}
		it.checked, it.again = it.sent, true
		for _, o := range it.orders {
			o.again = true
		}
		e.touch(name)
	}
}
