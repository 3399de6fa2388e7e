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

// inventory lists every resource: documents and exports of the registry, and what agents' files define.
func (s *Server) inventory() map[string]*item {
	all := make(map[string]*item)
	for _, d := range s.Registry.List() {
		all[d.Name] = s.fromRegistry(d)
	}
	for _, a := range s.Fleet.Agents() {
		for _, o := range a.Owns {
			have := all[o.Name]
			if have == nil {
				have = &item{name: o.Name, source: fromFile, spec: o.Spec()}
				have.read()
				all[o.Name] = have
			} else if have.source == fromFile && string(have.spec) != string(o.Spec()) {
				have.differ = true
			}
			have.owners = append(have.owners, a.Name)
		}
	}
	for _, info := range s.Resources() {
		if it := all[info.Name]; it != nil { // nil: it came meanwhile
			it.definitions = append(it.definitions, info)
		}
	}
	return all
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
	all := s.inventory()
	if it := all[name]; it != nil {
		return it, nil
	}
	names := slices.Sorted(maps.Keys(all))
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
	Agents    map[string]int     `json:"agents"` // how many see which state
}

// endpoints puts together what is declared and what the agents see.
func (s *Server) endpoints(it *item) []endpoint { return s.endpointsIn(it, s.states(it.name)) }

// endpointsIn is endpoints, from what states returned.
func (s *Server) endpointsIn(it *item, states []fleet.StateView) []endpoint {
	at := make(map[[2]string]*endpoint)
	get := func(group, address string) *endpoint {
		k := [2]string{group, address}
		e := at[k]
		if e == nil {
			e = &endpoint{Group: group, Address: address, IDC: cmp.Or(it.Groups[group].IDC, group), Weight: resources.DefaultWeight, Agents: map[string]int{}}
			at[k] = e
		}
		return e
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
	details := make(map[*endpoint]map[string]string)
	for i := range states {
		view := &states[i]
		for _, seen := range view.Endpoints {
			e := get(seen.Group, seen.Address)
			e.Agents[seen.State]++
			e.Role = cmp.Or(seen.Role, e.Role)
			e.Lag = max(e.Lag, resources.Duration(seen.Lag))
			if seen.Detail != "" {
				if details[e] == nil {
					details[e] = make(map[string]string)
				}
				details[e][seen.State] = seen.Detail
			}
		}
	}
	out := make([]endpoint, 0, len(at))
	for _, e := range at {
		most := 0
		for state, n := range e.Agents {
			if n > most || n == most && state > e.State {
				most, e.State = n, state
			}
		}
		e.State = cmp.Or(e.State, "unknown")
		e.Detail = cmp.Or(details[e][e.State], e.Detail)
		out = append(out, *e)
	}
	slices.SortFunc(out, func(a, b endpoint) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Address, b.Address))
	})
	return out
}
