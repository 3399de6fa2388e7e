package fleet

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// AgentView is an agent as the centre sees it now.
type AgentView struct {
	Name        string            `json:"name"`
	Application string            `json:"application"`
	IDC         string            `json:"idc,omitempty"`
	Version     string            `json:"version"`
	Host        string            `json:"host,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Kinds       []string          `json:"kinds,omitempty"`
	Boot        string            `json:"boot"`
	Started     time.Time         `json:"started"`
	Connected   bool              `json:"connected"`
	Since       time.Time         `json:"since"`       // it is connected, or is not
	Connections int64             `json:"connections"` // times it connected to this centre
	LastSeen    time.Time         `json:"seen"`
	Ready       bool              `json:"ready"`
	Draining    bool              `json:"draining,omitempty"`
	Detail      string            `json:"detail,omitempty"`
	Stale       *time.Time        `json:"stale,omitempty"` // it runs what it knew then: it had started without a centre
	Revision    int64             `json:"revision"`        // of the last update that it answered
	Behind      bool              `json:"behind"`          // something was not sent, not answered, or is not in force
	Wants       []string          `json:"wants"`
	Owns        []Owned           `json:"owns"`
	Refused     []Line            `json:"refused"`
	Pinned      int               `json:"pinned"` // sessions that still are where they were before a change
}

// Line is something that an agent refused.
type Line struct {
	Agent    string `json:"agent,omitempty"`
	Resource string `json:"resource,omitempty"`
	Command  string `json:"command,omitempty"`
	Path     string `json:"path,omitempty"`
	Message  string `json:"message"`
}

// Applied is which agents run what they should of one resource. An agent is in Applied, Refused or Behind; those that are not
// connected are in Away alone.
type Applied struct {
	Want    string   `json:"hash"` // of what holds for all; agents of a rollout should have another one. "": the centre has none
	Agents  int      `json:"agents"`
	Applied int      `json:"applied"`
	Refused []Line   `json:"refused"`
	Behind  []string `json:"behind"`
	Away    []string `json:"away"`
}

// StateView is a resource as one agent sees it.
type StateView struct {
	Agent     string `json:"agent"`
	Connected bool   `json:"connected"`
	control.ResourceState
}

// Agents returns all agents that are connected or were within Options.Keep, by name.
func (f *Fleet) Agents() []AgentView {
	entries := f.all()
	views := make([]AgentView, 0, len(entries))
	for _, e := range entries {
		views = append(views, e.view())
	}
	return views
}

// Agent returns one agent.
func (f *Fleet) Agent(name string) (AgentView, bool) {
	e := f.entry(name)
	if e == nil {
		return AgentView{}, false
	}
	return e.view(), true
}

// Owned returns the spec of a resource that an agent's file defines, with secrets as references.
func (f *Fleet) Owned(agent, resource string) (json.RawMessage, bool) {
	e := f.entry(agent)
	if e == nil {
		return nil, false
	}
	e.mu.Lock()
	a := e.agent
	e.mu.Unlock()
	for _, o := range a.Owns {
		if o.Name == resource {
			return o.Spec(), true
		}
	}
	return nil, false
}

// Revision is the newest one that the fleet was told of.
func (f *Fleet) Revision() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.revision
}

// all returns the entries by name.
func (f *Fleet) all() []*entry {
	f.mu.Lock()
	entries := make([]*entry, 0, len(f.entries))
	for _, e := range f.entries {
		entries = append(entries, e)
	}
	f.mu.Unlock()
	slices.SortFunc(entries, func(a, b *entry) int { return strings.Compare(a.name, b.name) })
	return entries
}

// concerned returns the entries of agents that want or own a resource, by name.
func (f *Fleet) concerned(resource string) []*entry {
	f.mu.Lock()
	entries := make([]*entry, 0, len(f.index[resource]))
	for e := range f.index[resource] {
		entries = append(entries, e)
	}
	f.mu.Unlock()
	slices.SortFunc(entries, func(a, b *entry) int { return strings.Compare(a.name, b.name) })
	return entries
}

func (e *entry) view() AgentView {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.agent
	v := AgentView{
		Name: a.Name, Application: a.Application, IDC: a.IDC, Version: a.Version, Host: a.Host, Labels: a.Labels, Kinds: a.Kinds,
		Boot: a.Boot, Started: a.Started, Connected: e.link != nil, Since: e.since, Connections: e.connected,
		LastSeen: time.Unix(0, e.seen.Load()), Ready: e.ready, Draining: e.draining, Detail: e.detail,
		Revision: int64(e.ackedAt), Behind: e.behind(), Wants: a.Wants, Owns: a.Owns, Refused: e.refused(), Pinned: e.pinned,
	}
	if !e.stale.IsZero() {
		at := e.stale
		v.Stale = &at
	}
	return v
}

// behind reports whether something was not sent, not answered or is not in force. Call with e.mu held.
func (e *entry) behind() bool {
	if e.link == nil || !e.have || e.pending() || len(e.flights) > 0 {
		return true
	}
	for _, it := range e.items {
		if it.want && it.applied != it.sent {
			return true
		}
		for _, o := range it.orders {
			if !o.gone && !o.applied {
				return true
			}
		}
	}
	return false
}

// refused lists what the agent did not take. Call with e.mu held.
func (e *entry) refused() []Line {
	var lines []Line
	for name, it := range e.items {
		if r := it.refused; r != nil {
			lines = append(lines, Line{Resource: name, Path: r.path, Message: r.message})
		}
		for id, o := range it.orders {
			if o.err != "" {
				lines = append(lines, Line{Resource: name, Command: id, Path: o.path, Message: o.err})
			}
		}
	}
	slices.SortFunc(lines, func(a, b Line) int {
		return strings.Compare(a.Resource+"\x00"+a.Command, b.Resource+"\x00"+b.Command)
	})
	return lines
}

// Applied says which agents that want a resource run what the centre says now.
func (f *Fleet) Applied(resource string) Applied {
	var v Applied
	if _, hash, _, ok := f.o.Source.Resource(resource, nil); ok {
		v.Want = hash
	}
	for _, e := range f.concerned(resource) {
		e.applied(resource, &v)
	}
	return v
}

func (e *entry) applied(resource string, v *Applied) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.agent.wants(resource) {
		return
	}
	if e.link == nil {
		v.Away = append(v.Away, e.name)
		return
	}
	v.Agents++
	_, hash, _, ok := e.f.o.Source.Resource(resource, e.agent)
	it := e.items[resource]
	switch {
	case it == nil && !ok, it != nil && ok && it.applied == hash, it != nil && !ok && it.applied == "":
		v.Applied++
	case it != nil && it.refused != nil && it.refused.hash == hash:
		v.Refused = append(v.Refused, Line{Agent: e.name, Resource: resource, Path: it.refused.path, Message: it.refused.message})
	default:
		v.Behind = append(v.Behind, e.name)
	}
}

// Ordered says which connected agents hold a command: Want is empty.
func (f *Fleet) Ordered(id string) Applied {
	var v Applied
	for _, e := range f.all() {
		e.ordered(id, &v)
	}
	return v
}

func (e *entry) ordered(id string, v *Applied) {
	e.mu.Lock()
	defer e.mu.Unlock()
	found, waits := false, false
	var lines []Line
	for name, it := range e.items {
		o := it.orders[id]
		if o == nil || o.gone {
			continue
		}
		found = true
		switch {
		case o.err != "":
			lines = append(lines, Line{Agent: e.name, Resource: name, Command: id, Path: o.path, Message: o.err})
		case !o.applied:
			waits = true
		}
	}
	switch {
	case !found:
	case e.link == nil:
		v.Away = append(v.Away, e.name)
	default:
		v.Agents++
		switch {
		case len(lines) > 0:
			v.Refused = append(v.Refused, lines...)
		case waits:
			v.Behind = append(v.Behind, e.name)
		default:
			v.Applied++
		}
	}
}

// States returns a resource as each agent sees it that said something of it, by the agent's name; those that are not connected
// as they saw it last.
func (f *Fleet) States(resource string) []StateView {
	var views []StateView
	for _, e := range f.concerned(resource) {
		e.mu.Lock()
		if s := e.states[resource]; s != nil {
			views = append(views, StateView{Agent: e.name, Connected: e.link != nil, ResourceState: s.view()})
		}
		e.mu.Unlock()
	}
	return views
}

// AgentStates returns all resources as one agent sees them, by name.
func (f *Fleet) AgentStates(agent string) []control.ResourceState {
	e := f.entry(agent)
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	views := make([]control.ResourceState, 0, len(e.states))
	for _, s := range e.states {
		views = append(views, s.view())
	}
	slices.SortFunc(views, func(a, b control.ResourceState) int { return strings.Compare(a.Name, b.Name) })
	return views
}
