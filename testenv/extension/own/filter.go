package own

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/resources"
)

// Longest refuses requests that are too long, of any kind of resource.
var Longest = filter.Definition{
	Name:     "longest",
	Doc:      "refuses requests that are too long",
	Settings: func() any { return &LongestSettings{Bytes: 1 << 20} },
	Build:    buildLongest,
}

// LongestSettings is `policy.filters.longest`.
type LongestSettings struct {
	Match resources.Match `yaml:"match,omitempty" json:"match" doc:"which calls; none: all" reload:"live"`
	Bytes resources.Size  `yaml:"bytes,omitempty" json:"bytes" doc:"longest request that passes" default:"1MiB" bounds:"1 to 1GiB" reload:"live"`
}

// longest is the filter of one resource.
type longest struct {
	selector *resources.Selector
	bytes    int64
	stop     *resources.Stop
	seen     *seen
}

// seen goes on when the filter is compiled anew.
type seen struct{ calls, refused atomic.Int64 }

func buildLongest(env *filter.Env, old resources.Filter) (resources.Filter, error) {
	set := env.Settings.(*LongestSettings)
	if set.Bytes < 1 {
		return nil, resources.At("bytes", errors.New("no request is that short: write a size such as 64KiB"))
	}
	selector, err := set.Match.Compile(env.Ops)
	if err != nil {
		return nil, resources.At("match", err)
	}
	f := &longest{selector: selector, bytes: int64(set.Bytes), seen: new(seen)}
	what := fmt.Sprintf("the request is longer than %v (filter longest)", set.Bytes)
	f.stop = &resources.Stop{
		Fault:   resources.NewFault(resources.TooLarge, resources.FromAgent, env.Resource, what),
		Outcome: resources.Outcome(resources.TooLarge),
	}
	if before, ok := old.(*longest); ok {
		f.seen = before.seen
	}
	return f, nil
}

// OnCall implements resources.Filter.
func (f *longest) OnCall(c *resources.Call) *resources.Stop {
	if !f.selector.Match(c) {
		return nil
	}
	f.seen.calls.Add(1)
	if c.ReqBytes <= f.bytes {
		return nil
	}
	f.seen.refused.Add(1)
	return f.stop
}

// OnDone implements resources.Filter: how calls end is of no interest.
func (*longest) OnDone(*resources.Call) {}

// Status is shown by `GET /v1/resources/NAME`.
func (f *longest) Status() any {
	return map[string]int64{"calls": f.seen.calls.Load(), "refused": f.seen.refused.Load()}
}
