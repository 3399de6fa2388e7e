package acl

import (
	"fmt"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/resources"
)

func init() { filter.Register(Definition) }

// Definition describes the filter. Its settings are Policy.ACL.
var Definition = filter.Definition{
	Name:  "acl",
	Order: filter.OrderACL,
	Doc:   "refuses calls that the access rules do not allow",
	Build: build,
}

// Filter holds the access rules of one resource.
type Filter struct {
	deny    []rule
	allow   []*resources.Selector
	unnamed *resources.Stop // for what the allow list does not name
}

type rule struct {
	selector *resources.Selector
	stop     *resources.Stop
}

func build(env *filter.Env, _ resources.Filter) (resources.Filter, error) {
	set := env.Policy.ACL
	if set == nil || len(set.Allow)+len(set.Deny) == 0 {
		return nil, nil
	}
	f := &Filter{unnamed: refuse(env, "not on the allow list")}
	for i, m := range set.Deny {
		sel, err := m.Compile(env.Ops)
		if err != nil {
			return nil, fmt.Errorf("acl.deny[%d]: %w", i, err)
		}
		what := fmt.Sprintf("denied by rule %d", i+1)
		if !m.IsZero() {
			what += " (" + filter.OneLine(m.String()) + ")"
		}
		f.deny = append(f.deny, rule{sel, refuse(env, what)})
	}
	for i, m := range set.Allow {
		sel, err := m.Compile(env.Ops)
		if err != nil {
			return nil, fmt.Errorf("acl.allow[%d]: %w", i, err)
		}
		f.allow = append(f.allow, sel)
	}
	return f, nil
}

func refuse(env *filter.Env, what string) *resources.Stop {
	return &resources.Stop{
		Fault:   resources.NewFault(resources.Denied, resources.FromAgent, env.Resource, what),
		Outcome: resources.Outcome(resources.Denied),
	}
}

// OnCall refuses what is denied or not allowed.
func (f *Filter) OnCall(c *resources.Call) *resources.Stop {
	for i := range f.deny {
		if f.deny[i].selector.Match(c) {
			return f.deny[i].stop
		}
	}
	if len(f.allow) == 0 {
		return nil
	}
	for _, sel := range f.allow {
		if sel.Match(c) {
			return nil
		}
	}
	return f.unnamed
}

// OnDone does nothing: rules have no state.
func (f *Filter) OnDone(*resources.Call) {}
