package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/resources"
)

// The changes of this file edit a document where it stands, and keep its order and comments. seen is Edit.If: nil makes the
// change whatever else changed meanwhile.

// AddEndpoint adds an endpoint to a group. The group must be in the document, or agents must export to it; a resource that
// is only exported gets a document with nothing but the endpoint.
func (r *Registry) AddEndpoint(ctx context.Context, name, group string, e resources.EndpointSpec, author, why string, seen *int64) (Doc, error) {
	return r.editGroups(ctx, Edit{Name: name, Author: author, Why: why, If: seen}, func(t *text, groups mapping) (mapping, error) {
		g, ok := groups.get(group)
		if !ok && !slices.Contains(r.exportedGroups(name), group) {
			return nil, r.noGroup(name, group, groups)
		}
		list, err := endpointsOf(group, g)
		if err != nil {
			return nil, err
		}
		if find(list, e.Address) >= 0 {
			return nil, fmt.Errorf("group %s has the endpoint %s already: change it instead", group, e.Address)
		}
		return groups.set(group, asMapping(g).clone().set("endpoints", append(list, endpointItem(e)))), nil
	})
}

// SetEndpoint changes role and weight of an endpoint of the document.
func (r *Registry) SetEndpoint(ctx context.Context, name, group string, e resources.EndpointSpec, author, why string, seen *int64) (Doc, error) {
	return r.editGroups(ctx, Edit{Name: name, Author: author, Why: why, If: seen}, func(t *text, groups mapping) (mapping, error) {
		g, list, at, err := r.findEndpoint(name, group, e.Address, groups)
		if err != nil {
			return nil, err
		}
		list[at] = endpointItem(e)
		return groups.set(group, g.set("endpoints", list)), nil
	})
}

// RemoveEndpoint takes an endpoint, of which only the address counts, out of the document. The last one of a group stays
// unless agents export others to it: the group itself would have to go.
func (r *Registry) RemoveEndpoint(ctx context.Context, name, group string, e resources.EndpointSpec, author, why string, seen *int64) (Doc, error) {
	return r.editGroups(ctx, Edit{Name: name, Author: author, Why: why, If: seen}, func(t *text, groups mapping) (mapping, error) {
		g, list, at, err := r.findEndpoint(name, group, e.Address, groups)
		if err != nil {
			return nil, err
		}
		if len(list) == 1 && !slices.Contains(r.exportedGroups(name), group) {
			return nil, fmt.Errorf("%s is the last endpoint of group %s: remove the group instead", e.Address, group)
		}
		t.removed(at, "groups", group, "endpoints")
		return groups.set(group, g.set("endpoints", slices.Delete(list, at, at+1))), nil
	})
}

// AddGroup adds a group with its endpoints.
func (r *Registry) AddGroup(ctx context.Context, name, group string, g resources.Group, author, why string, seen *int64) (Doc, error) {
	return r.editGroups(ctx, Edit{Name: name, Author: author, Why: why, If: seen}, func(t *text, groups mapping) (mapping, error) {
		if _, ok := groups.get(group); ok {
			return nil, fmt.Errorf("there is a group %s already: change it instead", group)
		}
		list := []any{}
		for _, e := range g.Endpoints {
			list = append(list, endpointItem(e))
		}
		return groups.set(group, groupHead(mapping{}, g).set("endpoints", list)), nil
	})
}

// SetGroup changes the IDC and weight of a group of the document; an empty IDC and a nil weight are the defaults. Its
// endpoints stay.
func (r *Registry) SetGroup(ctx context.Context, name, group string, g resources.Group, author, why string, seen *int64) (Doc, error) {
	return r.editGroups(ctx, Edit{Name: name, Author: author, Why: why, If: seen}, func(t *text, groups mapping) (mapping, error) {
		old, ok := groups.get(group)
		if !ok {
			return nil, r.noGroup(name, group, groups)
		}
		return groups.set(group, groupHead(asMapping(old).clone(), g)), nil
	})
}

// RemoveGroup takes a group out of the document. What agents export to it stays.
func (r *Registry) RemoveGroup(ctx context.Context, name, group, author, why string, seen *int64) (Doc, error) {
	return r.editGroups(ctx, Edit{Name: name, Author: author, Why: why, If: seen}, func(t *text, groups mapping) (mapping, error) {
		if _, ok := groups.get(group); !ok {
			return nil, r.noGroup(name, group, groups)
		}
		if len(groups) == 1 && len(r.exportedGroups(name)) == 0 {
			return nil, fmt.Errorf("%s is the last group: delete the resource instead", group)
		}
		return groups.without(group), nil
	})
}

// editGroups changes the groups of a document, which is begun if agents export the resource and there is none.
func (r *Registry) editGroups(ctx context.Context, e Edit, f func(t *text, groups mapping) (mapping, error)) (Doc, error) {
	return r.change(ctx, e, store.Txn{}, func(cur *current, next *record) error {
		before := []byte(cur.rec.Text)
		if !cur.exists() {
			v := r.view(e.Name)
			if v == nil || v.made == nil || v.doc != nil {
				return cur.missing()
			}
			before = []byte("kind: " + v.outline.Kind + "\ngroups: {}\n")
		}
		return r.editText(cur, next, before, func(t *text) error {
			groups, _ := t.tree.get("groups")
			changed, err := f(t, asMapping(groups).clone())
			if err != nil {
				return err
			}
			t.tree = t.tree.clone().set("groups", changed)
			return nil
		})
	})
}

// findEndpoint finds an endpoint of the document, and returns copies of its group and list that may be changed.
func (r *Registry) findEndpoint(name, group, address string, groups mapping) (g mapping, list []any, at int, err error) {
	value, ok := groups.get(group)
	exported := r.exporters(name, slotKey{group, address})
	if !ok && len(exported) == 0 {
		return nil, nil, 0, r.noGroup(name, group, groups)
	}
	if list, err = endpointsOf(group, value); err != nil {
		return nil, nil, 0, err
	}
	if at = find(list, address); at >= 0 {
		return asMapping(value).clone(), list, at, nil
	}
	if len(exported) > 0 {
		return nil, nil, 0, fmt.Errorf("the endpoint %s of group %s is exported by %s, not written in the document: drain it by a command, or end the export there",
			address, group, strings.Join(exported, ", "))
	}
	var have []string
	for _, item := range list {
		have = append(have, addressOf(item))
	}
	return nil, nil, 0, fmt.Errorf("group %s has no endpoint %s: it has %s: %w", group, address, strings.Join(have, ", "), store.ErrNotFound)
}

func (r *Registry) noGroup(name, group string, groups mapping) error {
	have := r.exportedGroups(name)
	for _, item := range groups {
		have = append(have, keyText(item.Key))
	}
	slices.Sort(have)
	return fmt.Errorf("there is no group %q: there are %s: %w", group, strings.Join(slices.Compact(have), ", "), store.ErrNotFound)
}

// endpointsOf returns a copy of a group's list of endpoints.
func endpointsOf(group string, g any) ([]any, error) {
	list, _ := asMapping(g).get("endpoints")
	switch list := list.(type) {
	case nil:
		return []any{}, nil
	case []any:
		return slices.Clone(list), nil
	}
	return nil, fmt.Errorf("the endpoints of group %s are not written as a list: change the document as a whole", group)
}

// find returns the index of an address in a list of endpoints, or -1.
func find(list []any, address string) int {
	return slices.IndexFunc(list, func(item any) bool { return addressOf(item) == address })
}

// addressOf returns the address of an endpoint in either of its forms.
func addressOf(item any) string {
	if s, ok := item.(string); ok {
		return s
	}
	s, _ := asMapping(item).get("address")
	text, _ := s.(string)
	return text
}

// endpointItem writes an endpoint in its shorter form.
func endpointItem(e resources.EndpointSpec) any {
	if e.Role == "" && e.Weight == nil {
		return e.Address
	}
	m := mapping{{Key: "address", Value: e.Address}}
	if e.Role != "" {
		m = append(m, yaml.MapItem{Key: "role", Value: e.Role})
	}
	if e.Weight != nil {
		m = append(m, yaml.MapItem{Key: "weight", Value: *e.Weight})
	}
	return m
}

// groupHead sets what a group has besides its endpoints.
func groupHead(m mapping, g resources.Group) mapping {
	if g.IDC == "" {
		m = m.without("idc")
	} else {
		m = m.set("idc", g.IDC)
	}
	if g.Weight == nil {
		return m.without("weight")
	}
	return m.set("weight", *g.Weight)
}
