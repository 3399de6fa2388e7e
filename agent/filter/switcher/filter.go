package switcher

import (
	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/resources"
)

func init() { filter.Register(Definition) }

// Definition describes the filter. Its settings are the degrade commands.
var Definition = filter.Definition{
	Name:  "switcher",
	Order: filter.OrderSwitcher,
	Doc:   "answers calls that an operator degraded",
	Build: build,
}

// Replies of a degrade command that are no text.
const (
	ReplyError = "error"
	ReplyEmpty = "empty"
)

// Filter holds the degrade commands of one resource.
type Filter struct{ rules filter.Rules }

func build(env *filter.Env, _ resources.Filter) (resources.Filter, error) {
	rules, err := env.Rules(resources.CommandDegrade, func(c *resources.Command, r *filter.Rule) {
		r.Stop = &resources.Stop{Outcome: resources.Outcome(resources.Degraded)}
		switch c.Reply {
		case ReplyError, "":
			r.Stop.Fault = resources.NewFault(resources.Degraded, resources.FromAgent, env.Resource, "degraded by "+filter.By(c))
		case ReplyEmpty:
			r.Stop.Empty = true
		default:
			r.Stop.Reply = c.Reply
		}
	})
	if err != nil || len(rules) == 0 {
		return nil, err
	}
	return &Filter{rules}, nil
}

// OnCall answers a call that is degraded.
func (f *Filter) OnCall(c *resources.Call) *resources.Stop {
	if r := f.rules.Pick(c); r != nil {
		return r.Stop
	}
	return nil
}

// OnDone does nothing: commands have no state.
func (f *Filter) OnDone(*resources.Call) {}
