package tap

import (
	"slices"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

func init() { filter.Register(Definition) }

// Definition describes the filter. It has no settings.
var Definition = filter.Definition{
	Name:  "tap",
	Order: filter.OrderTap,
	Doc:   "shows live calls to observers",
	Build: build,
}

// Filter feeds the tap of one resource.
type Filter struct {
	tap     *filter.Tap
	text    filter.Texter
	ops     []string
	counter *metrics.Counter // of events that were dropped; nil without sinks
	event   func(*resources.Call, []byte) filter.Event
	dropped func(int)
}

func build(env *filter.Env, old resources.Filter) (resources.Filter, error) {
	if env.Tap == nil {
		return nil, nil
	}
	text, err := env.TakeText()
	if err != nil {
		return nil, err
	}
	ops := env.OpNames()
	if prev, ok := old.(*Filter); ok && prev.tap == env.Tap && prev.text == text && slices.Equal(prev.ops, ops) {
		return prev, nil
	}
	f := &Filter{tap: env.Tap, text: text, ops: ops}
	if env.Sinks != nil {
		f.counter = env.Sinks.Dropped("observe")
	}
	f.event, f.dropped = f.describe, f.count
	return f, nil
}

// OnCall notes who wants to see the call.
func (f *Filter) OnCall(c *resources.Call) *resources.Stop {
	f.tap.Begin(c, &f.text)
	return nil
}

// OnDone shows it to them.
func (f *Filter) OnDone(c *resources.Call) {
	f.tap.End(c, &f.text, f.event, f.dropped)
	f.text.Release(c)
}

func (f *Filter) count(n int) {
	if f.counter != nil {
		f.counter.Add(int64(n))
	}
}

func (f *Filter) describe(c *resources.Call, text []byte) filter.Event {
	ev := filter.Event{
		Time: filter.Wall(c.Start), Op: filter.OpName(f.ops, c.Op), Class: c.Class.String(), Outcome: c.Outcome.String(),
		Latency: max(c.Now-c.Start, 0), Attempt: int(c.Attempt), ReqBytes: c.ReqBytes, RespBytes: c.RespBytes,
		Text: string(text),
	}
	if s := c.Session; s != nil {
		ev.Client = s.Client
		if id := s.Identity(); id != nil {
			ev.Caller, ev.User = id.Caller, id.User
		}
	}
	if ep := c.Endpoint; ep != nil {
		ev.Group, ev.Endpoint = ep.Group, ep.Address
	}
	if c.Fault != nil {
		ev.Fault = c.Fault.Text
	}
	return ev
}
