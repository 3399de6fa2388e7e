package fault

import (
	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/resources"
)

func init() { filter.Register(Definition) }

// Definition describes the filter. Its settings are the fault commands.
var Definition = filter.Definition{
	Name:  "fault",
	Order: filter.OrderFault,
	Doc:   "injects delays and errors",
	Build: build,
}

// Filter holds the fault commands of one resource.
type Filter struct{ rules filter.Rules }

func build(env *filter.Env, _ resources.Filter) (resources.Filter, error) {
	rules, err := env.Rules(resources.CommandFault, func(c *resources.Command, r *filter.Rule) {
		r.Delay = int64(c.Delay)
		if c.Error == "" {
			return
		}
		r.Stop = &resources.Stop{
			Fault:   &resources.Fault{Code: resources.Unavailable, Source: resources.FromAgent, Text: filter.OneLine(c.Error)},
			Outcome: resources.Outcome(resources.Unavailable),
		}
	})
	if err != nil || len(rules) == 0 {
		return nil, err
	}
	return &Filter{rules}, nil
}

// OnCall fails or delays a call that a command hits.
func (f *Filter) OnCall(c *resources.Call) *resources.Stop {
	r := f.rules.Pick(c)
	if r == nil {
		return nil
	}
	if r.Stop != nil {
		return r.Stop
	}
	c.Delay = r.Delay
	return nil
}

// OnDone does nothing: commands have no state.
func (f *Filter) OnDone(*resources.Call) {}
