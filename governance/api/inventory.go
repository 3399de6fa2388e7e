package api

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/governance/registry"
	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/resources"
)

// Where a resource comes from.
const (
	fromCenter = "center"
	fromFile   = "file"   // of agents
	fromExport = "export" // agents vouch for its endpoints, and nobody wrote a document
)

// outline is the part of a spec that lists need. It is read from JSON that our own parser wrote.
type outline struct {
	Kind   string                     `json:"kind"`
	Labels map[string]string          `json:"labels"`
	Groups map[string]resources.Group `json:"groups"`
}

// item is one resource of the mesh, whoever defines it.
type item struct {
	name   string
	source string
	outline
	spec    json.RawMessage
	doc     *registry.Doc // nil: the centre has no document
	owners  []string      // agents whose files define it
	differ  bool          // and not all in the same way
	problem string        // why agents do not get what the document says; "" when they do

	definitions []command.ResourceInfo // all that there are, as commands select them
}

// inventory lists every resource: documents and exports of the registry, and what agents' files define. They have no definitions.
func (s *Server) inventory() map[string]*item {
	all := make(map[string]*item)
	for _, d := range s.Registry.List() {
		all[d.Name] = s.fromRegistry(d)
	}
	for _, a := range s.Fleet.Agents() {
		for i := range a.Owns {
			all[a.Owns[i].Name] = all[a.Owns[i].Name].owned(a.Name, &a.Owns[i])
		}
	}
	return all
}

// lookup is one item of the inventory, with its definitions; nil: there is none.
func (s *Server) lookup(name string) *item {
	var it *item
	if d, err := s.Registry.Get(name); err == nil {
		it = s.fromRegistry(d)
	}
	for _, a := range s.Fleet.Agents() {
		for i := range a.Owns {
			if a.Owns[i].Name == name {
				it = it.owned(a.Name, &a.Owns[i])
			}
		}
	}
	if it != nil {
		s.define(map[string]*item{name: it})
	}
	return it
}

// define adds their definitions to items, by name.
func (s *Server) define(items map[string]*item) {
	for _, info := range s.Resources() {
		if it := items[info.Name]; it != nil { // nil: it is not asked for, or came meanwhile
			it.definitions = append(it.definitions, info)
		}
	}
}

// owned adds that an agent's files define the item, which may be nil so far.
func (i *item) owned(agent string, o *fleet.Owned) *item {
	if i == nil {
		i = &item{name: o.Name, source: fromFile, spec: o.Spec()}
		i.read()
	} else if i.source == fromFile && string(i.spec) != string(o.Spec()) {
		i.differ = true
	}
	i.owners = append(i.owners, agent)
	return i
}

func (s *Server) fromRegistry(d registry.Doc) *item {
	it := &item{name: d.Name, source: fromCenter, doc: &d}
	if d.Exported {
		it.source = fromExport
	}
	if spec, hash, _, ok := s.Registry.Effective(d.Name); ok {
		it.spec = spec
		it.outline = s.outlines.of(d.Name, hash, it)
	} else {
		it.spec = d.Spec
		it.read()
	}
	it.problem = d.Problem
	if o, ok := s.Registry.Outline(d.Name); ok && it.problem == "" && o.Problem != "" {
		it.problem = "the newest version is not in force: " + o.Problem
	}
	it.Kind = cmp.Or(it.Kind, d.Kind)
	if it.Labels == nil {
		it.Labels = d.Labels
	}
	return it
}

// read takes from the spec what lists need. A spec that cannot be read is shown without it: it was refused where it came from.
func (i *item) read() { _ = json.Unmarshal(i.spec, &i.outline) }

// outlineCache keeps what was read from the specs in force: lists are asked for far more often than specs change.
type outlineCache struct {
	mu   sync.Mutex
	read map[string]readOutline // by resource
}

type readOutline struct {
	hash string // of the spec
	outline
}

// mostOutlines bounds how many names are remembered, of which some may be gone.
const mostOutlines = 20_000

// of returns the outline of an item's spec, which has a hash. It must not be changed.
func (c *outlineCache) of(name, hash string, it *item) outline {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o, ok := c.read[name]; ok && o.hash == hash {
		return o.outline
	}
	it.read()
	if c.read == nil || len(c.read) >= mostOutlines {
		c.read = make(map[string]readOutline)
	}
	c.read[name] = readOutline{hash, it.outline}
	return it.outline
}

// item finds one resource, or says which there are.
func (s *Server) item(name string) (*item, error) {
	if it := s.lookup(name); it != nil {
		return it, nil
	}
	names := slices.Sorted(maps.Keys(s.inventory()))
	switch {
	case len(names) == 0:
		return nil, refuse(httpapi.NotFound, say.Of("no.resource.none", say.With{"resource": httpapi.Quoted(name)}))
	case len(names) > 20:
		return nil, refuse(httpapi.NotFound, say.Of("no.resource.many", say.With{"resource": httpapi.Quoted(name), "n": len(names)}))
	}
	return nil, refuse(httpapi.NotFound, say.Of("no.resource", say.With{"resource": httpapi.Quoted(name), "names": strings.Join(names, ", ")}))
}

// states are what the agents see of a resource, those that are connected only, unless none is.
func (s *Server) states(name string) []fleet.StateView {
	all := s.Fleet.States(name)
	away := func(v fleet.StateView) bool { return !v.Connected }
	if slices.ContainsFunc(all, away) {
		if connected := slices.DeleteFunc(slices.Clone(all), away); len(connected) > 0 {
			return connected
		}
	}
	return all
}

// endpoint is one address as the agents see it together.
type endpoint struct {
	Group     string             `json:"group"`
	Address   string             `json:"address"`
	IDC       string             `json:"idc,omitempty"`
	Role      string             `json:"role"`
	State     string             `json:"state"` // of most agents
	Detail    string             `json:"detail,omitempty"`
	Weight    int                `json:"weight"`
	Origin    string             `json:"origin,omitempty"`
	Protected bool               `json:"protected,omitempty"`
	Lag       resources.Duration `json:"lag,omitempty"`
	Agents    map[string]int     `json:"agents"` // how many see which state; not in those of endpointsIn

	votes []vote
}

// vote is that some agents see a state, and what the last of them says of it.
type vote struct {
	state, detail string
	agents        int
}

// seen counts what one more agent sees.
func (e *endpoint) seen(state, detail string) {
	for i := range e.votes {
		if v := &e.votes[i]; v.state == state {
			v.agents++
			v.detail = cmp.Or(detail, v.detail)
			return
		}
	}
	e.votes = append(e.votes, vote{state, detail, 1})
}

// endpoints puts together what is declared and what the agents see.
func (s *Server) endpoints(it *item) []endpoint {
	all := s.endpointsIn(it, s.states(it.name))
	for i := range all {
		e := &all[i]
		e.Agents = make(map[string]int, len(e.votes))
		for _, v := range e.votes {
			e.Agents[v.state] = v.agents
		}
	}
	return all
}

// endpointsIn is endpoints, from what states returned.
func (s *Server) endpointsIn(it *item, states []fleet.StateView) []endpoint {
	declared := 0
	for _, g := range it.Groups {
		declared += len(g.Endpoints)
	}
	out := make([]endpoint, 0, declared)
	at := make(map[[2]string]int, declared) // places in out
	// get returns what is at an address of a group, until it is called again.
	get := func(group, address string) *endpoint {
		k := [2]string{group, address}
		i, ok := at[k]
		if !ok {
			i, at[k] = len(out), len(out)
			out = append(out, endpoint{Group: group, Address: address, IDC: cmp.Or(it.Groups[group].IDC, group), Weight: resources.DefaultWeight})
		}
		return &out[i]
	}
	for name, g := range it.Groups {
		for _, spec := range g.Endpoints {
			e := get(name, spec.Address)
			e.Role, e.Weight, e.Origin = cmp.Or(spec.Role, "any"), spec.Share(), it.source
		}
	}
	if it.source != fromFile {
		declared, _ := s.Registry.Endpoints(it.name) // none when it went meanwhile
		for _, r := range declared {
			e := get(r.Group, r.Spec.Address)
			e.Role, e.Weight, e.Origin, e.Protected = cmp.Or(r.Spec.Role, "any"), r.Spec.Share(), r.Origin, r.Protected
			if !r.Up && r.Detail != "" {
				e.Detail = r.Origin + ": " + r.Detail
			}
		}
	}
	for i := range states {
		view := &states[i]
		for _, seen := range view.Endpoints {
			e := get(seen.Group, seen.Address)
			e.seen(seen.State, seen.Detail)
			e.Role = cmp.Or(seen.Role, e.Role)
			e.Lag = max(e.Lag, resources.Duration(seen.Lag))
		}
	}
	for i := range out {
		e := &out[i]
		var most vote
		for _, v := range e.votes {
			if v.agents > most.agents || v.agents == most.agents && v.state > most.state {
				most = v
			}
		}
		e.State, e.Detail = cmp.Or(most.state, "unknown"), cmp.Or(most.detail, e.Detail)
	}
	slices.SortFunc(out, func(a, b endpoint) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Address, b.Address))
	})
	return out
}
