package registry

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

// effective is what agents get of a resource.
type effective struct {
	spec     json.RawMessage
	hash     string
	revision int64
}

// Outline is what a resource is made of, in few words. It is shared and must not be changed.
type Outline struct {
	Name     string
	Kind     string
	Labels   map[string]string
	Groups   []GroupOutline // by name, those in the effective spec
	Held     int            // endpoints that protection holds
	Exported bool           // there is no document
	Problem  string         // why Effective is not what the document says; "" when it is
}

// GroupOutline is a group of an effective spec.
type GroupOutline struct {
	Name      string
	IDC       string // the group's name when none is written
	Weight    int
	Endpoints int
}

// Effective returns what agents get of a resource: the document with the exported endpoints in its groups, as JSON that
// config reads, without `listen` unless the document has it. hash is control.Hash of it. revision is that of the newest
// document when the bytes were made: it never falls, but exports change the bytes without a revision of their own, so
// whoever resumes by revision compares hashes too. ok is false when there is nothing that could be served. All callers share
// the bytes, which must not be changed.
func (r *Registry) Effective(name string) (spec json.RawMessage, hash string, revision int64, ok bool) {
	v := r.view(name)
	if v == nil || v.made == nil {
		return nil, "", 0, false
	}
	return v.made.spec, v.made.hash, v.made.revision, true
}

// Outline returns the outline of a resource that Get knows.
func (r *Registry) Outline(name string) (Outline, bool) {
	v := r.view(name)
	if v == nil || v.doc == nil && v.made == nil {
		return Outline{}, false
	}
	return v.outline, true
}

// Outlines returns the outlines of all resources that List returns, by name.
func (r *Registry) Outlines() []Outline {
	var out []Outline
	r.each(func(_ string, v *view) {
		if v.doc != nil || v.made != nil {
			out = append(out, v.outline)
		}
	})
	return out
}

func (v *view) exportedDoc(name string) Doc {
	return Doc{Name: name, Kind: v.outline.Kind, Spec: v.made.spec, Exported: true}
}

// rebuild makes the view of a resource with a document, the mark of a deleted one, or neither, and what is exported. When
// the effective spec is another one than before, it is to be told. mu is held.
func (r *Registry) rebuild(name string, old *view, doc *document, mark *Doc) *view {
	v := &view{doc: doc, mark: mark, exports: r.exports[name] != nil}
	v.outline = Outline{Name: name, Exported: doc == nil}
	var before *effective
	if old != nil {
		before = old.made
	}
	spec, err := r.merge(name, doc, &v.outline)
	if err != nil {
		v.problem, v.outline.Problem = err.Error(), err.Error()
		if doc != nil { // the last good one stays, with its groups
			v.made = before
			if old != nil {
				v.outline.Groups = old.outline.Groups
			}
		}
	} else if spec != nil {
		v.made = &effective{spec: spec, hash: control.Hash(spec), revision: r.revision.Load()}
		if before != nil && before.hash == v.made.hash {
			v.made = before
		}
	}
	changed := false
	if old != nil && doc != nil {
		v.versions, changed = r.remake(name, old.versions)
	}
	if v.made != before || changed {
		r.pending[name] = struct{}{}
	}
	return v
}

// merge puts together an effective spec and its outline. Without an error and a spec there is nothing at all. mu is held.
func (r *Registry) merge(name string, doc *document, out *Outline) (json.RawMessage, error) {
	e := r.exports[name]
	var base *config.Resource
	switch {
	case doc != nil && doc.parsed == nil:
		return nil, fmt.Errorf("the document cannot be used: %s", doc.Problem)
	case doc != nil:
		base, out.Kind, out.Labels = doc.parsed, doc.Kind, doc.Labels
	case e == nil || e.kind == "":
		return nil, nil
	default:
		out.Kind = e.kind
		var err error
		if base, err = e.parsedBase(r.opt.Parse, name); err != nil {
			return nil, fmt.Errorf("what agents export needs a document: %w", err)
		}
	}
	groups, held := e.fill(base.Spec.Groups, doc, out.Kind)
	out.Held = held
	weights := 0
	for _, g := range sortedKeys(groups) {
		group := groups[g]
		if len(group.Endpoints) == 0 && group.Registry == "" { // a registry's are found by the agents themselves
			delete(groups, g)
			continue
		}
		weights += group.Share()
		out.Groups = append(out.Groups, GroupOutline{Name: g, IDC: cmp.Or(group.IDC, g), Weight: group.Share(), Endpoints: len(group.Endpoints)})
	}
	switch {
	case len(groups) == 0 && doc == nil:
		return nil, nil
	case len(groups) == 0:
		return nil, fmt.Errorf("no group has an endpoint: the document names none, and no agent exports any")
	case weights == 0:
		return nil, fmt.Errorf("every group that has endpoints (%s) has weight 0", strings.Join(sortedKeys(groups), ", "))
	}
	spec := *base.Spec
	spec.Groups = groups
	merged := *base
	merged.Spec = &spec
	return specJSON(&merged)
}

// fill returns a copy of a document's groups with the exported endpoints of a kind in them, in the order of their addresses,
// and how many of those are held. What the document lists itself is as it says.
func (e *exported) fill(groups map[string]resources.Group, doc *document, kind string) (filled map[string]resources.Group, held int) {
	filled = maps.Clone(groups)
	if filled == nil {
		filled = make(map[string]resources.Group)
	}
	own := make(map[string]bool)
	for _, s := range e.all() {
		if !s.in || s.last.Kind != kind || doc.lists(s.slotKey) {
			continue
		}
		g, ok := filled[s.group]
		if !ok {
			g = resources.Group{IDC: s.last.IDC}
		}
		if !own[s.group] {
			own[s.group] = true
			g.Endpoints = slices.Clone(g.Endpoints)
		}
		g.Endpoints = append(g.Endpoints, endpointSpec(s.last))
		filled[s.group] = g
		if s.held != nil {
			held++
		}
	}
	return filled, held
}

// parsedBase returns what config makes of a resource that has a kind and nothing else.
func (e *exported) parsedBase(opt config.Options, name string) (*config.Resource, error) {
	if e.base != nil && e.base.Spec.Kind == e.kind {
		return e.base, nil
	}
	js, err := encodeJSON(mapping{{Key: "kind", Value: e.kind}})
	if err != nil {
		return nil, err
	}
	base, err := parseDocument(opt, name, js)
	if err == nil {
		e.base = base
	}
	return base, err
}

// Endpoint is an endpoint of a resource and where it comes from.
type Endpoint struct {
	Group     string
	Spec      resources.EndpointSpec
	Origin    string // "operator", "agent NAME, NAME", or "agent" alone when those are gone
	Up        bool   // as its agents say; an operator's is up unless its agents, if it has any, say otherwise
	Detail    string // why it is not up, or why it may leave soon
	Protected bool   // it is held: see Protected
	Since     time.Time
}

// Endpoints returns the endpoints of a resource by group: those of the document first, in its order, then those that agents
// export by address, in the spec or not.
func (r *Registry) Endpoints(name string) ([]Endpoint, error) {
	v := r.view(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.exports[name]
	if (v == nil || v.doc == nil && v.made == nil) && e == nil {
		return nil, fmt.Errorf("resource %s: %w", name, store.ErrNotFound)
	}
	var doc *document
	kind := ""
	if e != nil {
		kind = e.kind
	}
	if v != nil && v.doc != nil {
		doc, kind = v.doc, v.doc.Kind
	}
	var out []Endpoint
	at := make(map[slotKey]int)
	if doc != nil && doc.parsed != nil {
		for _, g := range doc.parsed.Spec.GroupNames() {
			for _, spec := range doc.parsed.Spec.Groups[g].Endpoints {
				at[slotKey{g, spec.Address}] = len(out)
				out = append(out, Endpoint{Group: g, Spec: spec, Origin: "operator", Up: true, Since: doc.since[slotKey{g, spec.Address}]})
			}
		}
	}
	for _, s := range e.all() {
		shown := s.show(kind)
		if i, listed := at[s.slotKey]; listed {
			out[i].Up, out[i].Detail = shown.Up, shown.Detail
			continue
		}
		out = append(out, shown)
	}
	slices.SortStableFunc(out, func(a, b Endpoint) int { return cmp.Compare(a.Group, b.Group) })
	return out, nil
}

// show describes a slot of a resource of a kind.
func (s *slot) show(kind string) Endpoint {
	out := Endpoint{Group: s.group, Since: s.since, Protected: s.held != nil}
	agents := sortedKeys(s.members)
	out.Origin = strings.TrimSpace("agent " + strings.Join(agents, ", "))
	best := s.best()
	shown := s.last
	var details []string
	for _, a := range agents {
		m := s.members[a]
		if best == nil && !s.in {
			shown = m.service
		}
		switch {
		case m.refused != "":
			details = append(details, a+": refused: "+m.refused)
		case !m.leaves.IsZero():
			details = append(details, fmt.Sprintf("%s: its link is gone: it leaves at %s", a, m.leaves.UTC().Format(time.TimeOnly)))
		case !m.service.Up:
			details = append(details, a+": "+cmp.Or(m.service.Detail, "it is down"))
		}
	}
	if best != nil {
		shown = best.service
	}
	out.Spec = endpointSpec(shown)
	out.Up = best != nil
	if kind != "" && shown.Kind != kind {
		out.Up = false
		details = append(details, fmt.Sprintf("it is %s, and the resource is %s", shown.Kind, kind))
	}
	if s.held != nil {
		details = append(details, "held: "+s.held.why)
	}
	out.Detail = strings.Join(details, "; ")
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
