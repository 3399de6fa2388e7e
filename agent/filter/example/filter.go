package example

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/resources"
)

func init() { filter.Register(Definition) }

// Definition describes the filter. Without an Order it runs after the standard filters.
var Definition = filter.Definition{
	Name:     "office-hours",
	Doc:      "keeps calls to hours of the day",
	Settings: defaults,
	Build:    build,
}

// Filter keeps the calls of one resource to their hours.
type Filter struct {
	selector *resources.Selector
	from, to int // minutes of the day
	zone     *time.Location
	stop     *resources.Stop
	count    *count
}

// count is state: it goes on when the filter is compiled anew. Calls on several cores change it.
type count struct{ refused atomic.Int64 }

func build(env *filter.Env, old resources.Filter) (resources.Filter, error) {
	set := env.Settings.(*Settings)
	if set.From == set.To {
		return nil, fmt.Errorf("from and to are both %v: they must differ; remove the filter to allow all hours", set.From)
	}
	zone, err := time.LoadLocation(set.Zone)
	if err != nil {
		return nil, fmt.Errorf("zone %q: %w; write a name such as UTC or Asia/Shanghai", set.Zone, err)
	}
	selector, err := set.Match.Compile(env.Ops)
	if err != nil {
		return nil, fmt.Errorf("match: %w", err)
	}
	what := fmt.Sprintf("outside of the hours %v to %v %s (filter office-hours)", set.From, set.To, set.Zone)
	f := &Filter{
		selector: selector, from: int(set.From), to: int(set.To), zone: zone, count: new(count),
		stop: &resources.Stop{
			Fault:   resources.NewFault(resources.Denied, resources.FromAgent, env.Resource, what),
			Outcome: resources.Outcome(resources.Denied),
		},
	}
	if prev, ok := old.(*Filter); ok {
		f.count = prev.count
	}
	return f, nil
}

// OnCall refuses a call outside of its hours.
func (f *Filter) OnCall(c *resources.Call) *resources.Stop {
	if !f.selector.Match(c) || f.open(c.Start) {
		return nil
	}
	f.count.refused.Add(1)
	return f.stop
}

// open reports whether calls may run at a monotonic time, which is converted without asking a clock.
func (f *Filter) open(ns int64) bool {
	hour, minute, _ := filter.Wall(ns).In(f.zone).Clock()
	now := hour*60 + minute
	if f.from < f.to {
		return f.from <= now && now < f.to
	}
	return f.from <= now || now < f.to
}

// OnDone does nothing: the filter does not care how calls end.
func (f *Filter) OnDone(*resources.Call) {}

// Status is shown by the admin.
func (f *Filter) Status() any {
	return map[string]int64{"refused": f.count.refused.Load()}
}
