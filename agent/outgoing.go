package agent

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/agent/runtime"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/metrics/report"
	wire "github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

// Hello implements link.Local.
func (c *center) Hello() wire.Hello {
	id := &c.a.identity
	h := wire.Hello{
		Name: id.Name, Application: id.Application, IDC: id.IDC, Version: c.a.opt.Version, Labels: id.Labels,
		Boot: c.boot, Started: time.Now().Add(-time.Since(c.a.started)).UnixMilli(), Kinds: resources.Kinds(),
	}
	h.Host, _ = os.Hostname() // "" says that it is not known
	c.a.changing.Lock()
	defer c.a.changing.Unlock()
	h.Wants = slices.Sorted(maps.Keys(c.a.file.Wants))
	for _, m := range c.a.set.list() {
		if m.source != fromCenter {
			h.Owns = append(h.Owns, wire.Owned{Name: m.Spec.Name, Hash: m.hash, Spec: m.json, Also: c.also[m.Spec.Name]})
		}
	}
	// Changes since a revision do not help whoever asks for other resources than then, or could not use all of them.
	c.full = c.keep.Guessed() || c.full
	state := c.keep.State()
	if slices.Equal(h.Wants, state.Wants) && len(c.refused)+len(state.Refused) == 0 && !c.full {
		h.Have = wire.Have{Cluster: state.Cluster, Revision: state.Revision}
	}
	return h
}

// quiet is how long numbers that change all the time, such as sessions, may be old in the centre.
const quiet = 10 * time.Second

// sent is what the centre was told over this link. It belongs to the link's writer.
type sent struct {
	head     wire.State // without resources
	states   map[string]*sentState
	counted  time.Time
	observed map[string][]wire.Count // as last counted
}

type sentState struct {
	at    time.Time
	looks looks
	whole wire.ResourceState
}

// looks is what of a resource is looked at each second: little, and all that tells that the rest has to be looked at.
type looks struct {
	declared  *declared
	run       *runtime.Resource
	commands  []resources.Command
	failed    error
	ready     bool
	note      string
	endpoints []wire.EndpointState
	found     []wire.Found
}

func (c *center) look(m *member) looks {
	l := looks{declared: m.declared, run: m.run, commands: m.commands, failed: m.failed, ready: m.run.Ready(), note: c.a.note(m.Spec.Name)}
	for _, e := range m.run.Endpoints() {
		l.endpoints = append(l.endpoints, wire.EndpointState{Group: e.Group, Address: e.Address, Role: e.Role, State: e.State, Detail: e.Why, Lag: e.LagNs})
	}
	for _, o := range c.a.console.of(m.Spec.Name) {
		if len(l.found) == wire.MostFound {
			break
		}
		v := orderView(o)
		l.found = append(l.found, wire.Found{
			ID: v.ID, Type: string(v.Type), Summary: v.Summary, Percent: float64(v.Percent), Author: v.Author, Why: v.Why, Origin: v.Origin, Problem: v.Problem,
			Created: v.Created.UnixMilli(),
		})
	}
	return l
}

// same reports whether nothing changed but how far replicas lag.
func (l looks) same(o looks) bool {
	return l.declared == o.declared && l.run == o.run && reflect.DeepEqual(l.commands, o.commands) && fmt.Sprint(l.failed) == fmt.Sprint(o.failed) &&
		l.ready == o.ready && l.note == o.note && slices.Equal(l.found, o.found) && slices.EqualFunc(l.endpoints, o.endpoints, func(a, b wire.EndpointState) bool {
		a.Lag, b.Lag = 0, 0
		return a == b
	})
}

// State implements link.Local.
func (c *center) State(full bool) *wire.State {
	at := time.Now()
	ready, detail := (&backend{c.a}).Ready()
	s := &wire.State{Full: full, Ready: ready, Draining: c.a.draining.Load(), Detail: cmp.Or(detail, c.a.pressure.Gate().Detail())}
	if since := c.stale(); !since.IsZero() {
		s.Stale = since.UnixMilli()
	}
	if full {
		c.sent.states, c.sent.head = map[string]*sentState{}, wire.State{}
	}
	there := map[string]bool{}
	observed := c.observed(at)
	for _, m := range c.a.set.list() {
		name := m.Spec.Name
		there[name] = true
		was, now := c.sent.states[name], c.look(m)
		calm := was != nil && was.looks.same(now)
		if calm && at.Sub(was.at) < quiet {
			continue
		}
		r := c.resourceState(m, now)
		r.Observed = observed[name]
		if !calm || !reflect.DeepEqual(was.whole, r) {
			s.Resources = append(s.Resources, r)
		}
		c.sent.states[name] = &sentState{at, now, r}
	}
	for _, name := range slices.Sorted(maps.Keys(c.sent.states)) {
		if !there[name] {
			s.Removed = append(s.Removed, name)
			delete(c.sent.states, name)
		}
	}
	head := wire.State{Ready: s.Ready, Draining: s.Draining, Detail: s.Detail, Stale: s.Stale}
	if !full && len(s.Resources)+len(s.Removed) == 0 && reflect.DeepEqual(head, c.sent.head) {
		return nil
	}
	c.sent.head = head
	return s
}

// resourceState is one resource as the centre sees it.
func (c *center) resourceState(m *member, l looks) wire.ResourceState {
	s := m.run.Status()
	r := wire.ResourceState{Name: s.Name, Kind: s.Kind, Source: m.source, Hash: m.hash, Listen: c.a.set.addresses(m.declared), Sessions: int(s.Sessions), Upstream: int(s.Upstream), Endpoints: l.endpoints, Found: l.found}
	r.Ready, r.Detail = condition(&s, m.failed, l.note)
	for _, n := range s.Pinned {
		r.Pinned += int(n)
	}
	for _, g := range s.Groups {
		r.Groups = append(r.Groups, wire.GroupState{Name: g.Name, IDC: g.IDC, Weight: g.InForce, Sound: g.Sound, Of: g.Of})
	}
	return r
}

// observed returns what rules that only observe would have refused, by resource; it is counted anew now and then.
func (c *center) observed(now time.Time) map[string][]wire.Count {
	if now.Sub(c.sent.counted) < quiet {
		return c.sent.observed
	}
	c.sent.counted, c.sent.observed = now, map[string][]wire.Count{}
	c.a.registry.Gather(func(p *metrics.Point) {
		if p.Name != report.WouldRefuseTotal || p.Value == 0 {
			return
		}
		var resource, rule string
		for _, l := range p.Labels {
			switch l.Key {
			case "resource":
				resource = l.Value
			case "rule":
				rule = l.Value
			}
		}
		c.sent.observed[resource] = append(c.sent.observed[resource], wire.Count{Resource: rule, N: int(p.Value)})
	})
	return c.sent.observed
}

// Report implements link.Local.
func (c *center) Report(dst []byte) []byte { return c.reports.Append(dst, time.Now()) }

// Export implements link.Local.
func (c *center) Export() *wire.Export { return c.a.exports.export() }
