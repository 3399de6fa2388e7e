package mock

import (
	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/resources"
)

func init() { filter.Register(Definition) }

// Definition describes the filter. Its settings are the mock commands.
var Definition = filter.Definition{
	Name:  "mock",
	Order: filter.OrderMock,
	Doc:   "answers calls with a given reply",
	Build: build,
}

// Filter holds the mock commands of one resource.
type Filter struct{ rules filter.Rules }

func build(env *filter.Env, _ resources.Filter) (resources.Filter, error) {
	rules, err := env.Rules(resources.CommandMock, func(c *resources.Command, r *filter.Rule) {
		r.Stop = &resources.Stop{Reply: c.Reply, Outcome: resources.OutcomeOK}
	})
	if err != nil || len(rules) == 0 {
		return nil, err
	}
	return &Filter{rules}, nil
}

// OnCall answers a call that is mocked.
func (f *Filter) OnCall(c *resources.Call) *resources.Stop {
	if r := f.rules.Pick(c); r != nil {
		return r.Stop
	}
	return nil
}

// OnDone does nothing: commands have no state.
func (f *Filter) OnDone(*resources.Call) {}
