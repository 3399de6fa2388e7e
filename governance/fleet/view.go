package fleet

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
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
	Center      string            `json:"center"` // that it is linked to, or was last; "" when that is gone
	Started     time.Time         `json:"started"`
	Connected   bool              `json:"connected"`
	Since       time.Time         `json:"since"`       // it is connected, or is not
	Connections int64             `json:"connections"` // times it connected to that centre
	LastSeen    time.Time         `json:"seen"`
	Ready       bool              `json:"ready"`
	Draining    bool              `json:"draining,omitempty"`
	Detail      string            `json:"detail,omitempty"`
	Stale       *time.Time        `json:"stale,omitempty"` // it runs what it knew then: it had started without a centre
	// Clock is how far its clock is ahead of this centre's, negative when it is behind; nil when it does not say. ClockOff:
	// by more than ClockTolerance.
	Clock    *resources.Duration `json:"clock,omitempty"`
	ClockOff bool                `json:"clockOff,omitempty"`
	Revision int64               `json:"revision"` // of the last update that it answered
	Behind   bool                `json:"behind"`   // something was not sent, not answered, or is not in force
	Wants    []string            `json:"wants"`
	Owns     []Owned             `json:"owns"`
	Refused  []Line              `json:"refused"`
	Pinned   int                 `json:"pinned"` // sessions that still are where they were before a change
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

// Agents returns all agents that are connected to any centre or were within Options.Keep, by name.
func (f *Fleet) Agents() []AgentView {
	all := f.all()
	views := make([]AgentView, 0, len(all))
	for _, k := range all {
		views = append(views, k.view())
	}
	return views
}

// Agent returns one agent.
func (f *Fleet) Agent(name string) (AgentView, bool) {
	k := f.find(name)
	if k == nil {
		return AgentView{}, false
	}
	return k.view(), true
}

// Owned returns the spec of a resource that an agent's file defines, with secrets as references.
func (f *Fleet) Owned(agent, resource string) (json.RawMessage, bool) {
	k := f.find(agent)
	if k == nil {
		return nil, false
	}
	for _, o := range k.who().Owns {
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

func (e *entry) called() string { return e.name }

func (e *entry) who() *Agent {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.agent
}

func (e *entry) standing() standing {
	e.mu.Lock()
	defer e.mu.Unlock()
	return standing{e.link != nil, e.agent.Started, e.agent.Boot, e.since}
}

// viewOf is what an agent says of itself in its Hello.
func viewOf(a *Agent) AgentView {
	return AgentView{
		Name: a.Name, Application: a.Application, IDC: a.IDC, Version: a.Version, Host: a.Host, Labels: a.Labels, Kinds: a.Kinds,
		Boot: a.Boot, Started: a.Started, Wants: a.Wants, Owns: a.Owns,
	}
}

func (e *entry) view() AgentView {
	e.mu.Lock()
	defer e.mu.Unlock()
	v := viewOf(e.agent)
	v.Center, v.Connected, v.Since, v.Connections, v.LastSeen = e.f.o.Name, e.link != nil, e.since, e.connected, time.Unix(0, e.seen.Load())
	v.Ready, v.Draining, v.Detail, v.Revision, v.Pinned = e.ready, e.draining, e.detail, int64(e.ackedAt), e.pinned
	v.Behind, v.Refused = e.behind(), e.refused()
	v.Clock, v.ClockOff = (*resources.Duration)(e.clock), off(e.clock)
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
	sortLines(lines)
	return lines
}

func sortLines(lines []Line) {
	slices.SortFunc(lines, func(a, b Line) int {
		return strings.Compare(a.Resource+"\x00"+a.Command, b.Resource+"\x00"+b.Command)
	})
}

// Applied says which agents that want a resource run what the centre says now.
func (f *Fleet) Applied(resource string) Applied {
	var v Applied
	if _, hash, _, ok := f.o.Source.Resource(resource, nil); ok {
		v.Want = hash
	}
	for _, k := range f.concerned(resource) {
		k.applied(resource, &v)
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
	for _, k := range f.all() {
		k.ordered(id, &v)
	}
	return v
}

func (e *entry) ordered(id string, v *Applied) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var got holding
	for name, it := range e.items {
		if o := it.orders[id]; o != nil && !o.gone {
			got.add(e.name, name, id, o.applied, o.path, o.err)
		}
	}
	got.count(e.name, e.link != nil, v)
}

// holding is what an agent says of one command, over the resources that it is about.
type holding struct {
	found, waits bool
	lines        []Line
}

func (h *holding) add(agent, resource, id string, applied bool, path, err string) {
	h.found = true
	switch {
	case err != "":
		h.lines = append(h.lines, Line{Agent: agent, Resource: resource, Command: id, Path: path, Message: err})
	case !applied:
		h.waits = true
	}
}

func (h *holding) count(agent string, connected bool, v *Applied) {
	switch {
	case !h.found:
		return
	case !connected:
		v.Away = append(v.Away, agent)
		return
	}
	v.Agents++
	switch {
	case len(h.lines) > 0:
		v.Refused = append(v.Refused, h.lines...)
	case h.waits:
		v.Behind = append(v.Behind, agent)
	default:
		v.Applied++
	}
}

// States returns a resource as each agent sees it that said something of it, by the agent's name; those that are not connected
// as they saw it last.
func (f *Fleet) States(resource string) []StateView {
	concerned := f.concerned(resource)
	views := make([]StateView, 0, len(concerned))
	for _, k := range concerned {
		if v, ok := k.sees(resource); ok {
			views = append(views, v)
		}
	}
	return views
}

func (e *entry) sees(resource string) (StateView, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.states[resource]
	if s == nil {
		return StateView{}, false
	}
	return StateView{Agent: e.name, Connected: e.link != nil, ResourceState: s.view()}, true
}

// AgentStates returns all resources as one agent sees them, by name.
func (f *Fleet) AgentStates(agent string) []control.ResourceState {
	k := f.find(agent)
	if k == nil {
		return nil
	}
	return k.seesAll()
}

func (e *entry) seesAll() []control.ResourceState {
	e.mu.Lock()
	defer e.mu.Unlock()
	return viewsOf(e.states)
}

// Finding is a command that agents found elsewhere, for one resource.
type Finding struct {
	control.Found
	Resource string
	Agents   Applied // Refused says why it is not in force
}

// Found returns the commands that connected agents found elsewhere, by time.
func (f *Fleet) Found() []Finding {
	byID := map[string]*Finding{}
	for _, k := range f.all() {
		var here []Finding
		if !k.finds(func(resource string, c control.Found) { here = append(here, Finding{Found: c, Resource: resource}) }) {
			continue
		}
		for _, h := range here {
			v := byID[h.ID]
			if v == nil {
				v = &h
				byID[h.ID] = v
			}
			v.Agents.Agents++
			if h.Problem != "" {
				v.Agents.Refused = append(v.Agents.Refused, Line{Agent: k.called(), Resource: h.Resource, Command: h.ID, Message: h.Problem})
				continue
			}
			v.Agents.Applied++
			v.Problem, v.Summary, v.Type = "", h.Summary, h.Type
		}
	}
	out := make([]Finding, 0, len(byID))
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		out = append(out, *byID[id])
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return cmp.Compare(a.Created, b.Created) })
	return out
}

func (e *entry) finds(each func(resource string, c control.Found)) (connected bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	foundIn(e.states, each)
	return e.link != nil
}

func foundIn(states map[string]*state, each func(resource string, c control.Found)) {
	for name, s := range states {
		for _, c := range s.found {
			each(name, c)
		}
	}
}

// viewsOf returns what an agent sees of all its resources, by name.
func viewsOf(states map[string]*state) []control.ResourceState {
	views := make([]control.ResourceState, 0, len(states))
	for _, name := range slices.Sorted(maps.Keys(states)) {
		views = append(views, states[name].view())
	}
	return views
}
