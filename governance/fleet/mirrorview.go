package fleet

import (
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

// What is shown of an agent of another centre; view.go has the same of those that are linked here.

func (m *mirror) called() string { return m.agent.Name }

func (m *mirror) who() *Agent { return m.agent }

func (m *mirror) standing() standing {
	return standing{m.connected, m.agent.Started, m.agent.Boot, m.since}
}

func (m *mirror) view() AgentView {
	v := viewOf(m.agent)
	v.Center, v.Connected, v.Since, v.Connections, v.LastSeen = m.center, m.connected, m.since, m.connections, m.seen
	v.Ready, v.Draining, v.Detail, v.Revision, v.Pinned = m.ready, m.draining, m.detail, m.revision, m.pinned
	v.Behind = m.behind || !m.connected
	v.Clock, v.ClockOff = (*resources.Duration)(m.clock), off(m.clock)
	if !m.stale.IsZero() {
		at := m.stale
		v.Stale = &at
	}
	for name, it := range m.items {
		if r := it.Refused; r != nil {
			v.Refused = append(v.Refused, Line{Resource: name, Path: r.Path, Message: r.Message})
		}
	}
	for _, o := range m.orders {
		if o.Error != "" {
			v.Refused = append(v.Refused, Line{Resource: o.Resource, Command: o.ID, Path: o.Path, Message: o.Error})
		}
	}
	sortLines(v.Refused)
	return v
}

func (m *mirror) applied(resource string, v *Applied) {
	if !m.agent.wants(resource) {
		return
	}
	if !m.connected {
		v.Away = append(v.Away, m.agent.Name)
		return
	}
	v.Agents++
	_, hash, _, ok := m.f.o.Source.Resource(resource, m.agent)
	it, has := m.items[resource]
	switch {
	case !ok && it.Applied == "", ok && has && it.Applied == hash:
		v.Applied++
	case it.Refused != nil && it.Refused.Hash == hash:
		v.Refused = append(v.Refused, Line{Agent: m.agent.Name, Resource: resource, Path: it.Refused.Path, Message: it.Refused.Message})
	default:
		v.Behind = append(v.Behind, m.agent.Name)
	}
}

func (m *mirror) ordered(id string, v *Applied) {
	var got holding
	for i := range m.orders {
		if o := &m.orders[i]; o.ID == id {
			got.add(m.agent.Name, o.Resource, id, o.Applied, o.Path, o.Error)
		}
	}
	got.count(m.agent.Name, m.connected, v)
}

func (m *mirror) sees(resource string) (StateView, bool) {
	s := m.states[resource]
	if s == nil {
		return StateView{}, false
	}
	return StateView{Agent: m.agent.Name, Connected: m.connected, ResourceState: s.view()}, true
}

func (m *mirror) seesAll() []control.ResourceState { return viewsOf(m.states) }

func (m *mirror) finds(each func(resource string, c control.Found)) (connected bool) {
	foundIn(m.states, each)
	return m.connected
}

// record is what is told of an agent of a centre that is gone.
func (m *mirror) record(now time.Time) Record {
	r := Record{
		Name: m.agent.Name, Hello: m.agent.hello(), Connected: m.connected, Since: int64(now.Sub(m.since)), Seen: int64(now.Sub(m.seen)),
		Connections: m.connections, Revision: m.revision, Behind: m.behind, Pinned: m.pinned, Clock: m.clock, Items: m.items, Orders: m.orders,
		State: control.State{Full: true, Ready: m.ready, Draining: m.draining, Detail: m.detail, Resources: m.seesAll()},
	}
	if !m.stale.IsZero() {
		r.State.Stale = m.stale.UnixMilli()
	}
	return r
}
