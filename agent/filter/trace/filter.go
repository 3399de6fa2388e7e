package trace

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/resources"
)

func init() { filter.Register(Definition) }

// Definition describes the filter. Its settings are Policy.Trace.
var Definition = filter.Definition{
	Name:  "trace",
	Order: filter.OrderTrace,
	Doc:   "sends spans of sampled calls to an OTLP collector",
	Build: build,
}

// Filter traces the calls of one resource.
type Filter struct {
	resource, kind string
	ops            []string
	sample         filter.Coin
	sink           filter.SpanSink // nil: contexts are made and kept, spans go nowhere
}

func build(env *filter.Env, _ resources.Filter) (resources.Filter, error) {
	set := env.Policy.Trace
	if set == nil {
		return nil, nil
	}
	f := &Filter{resource: env.Resource, kind: env.Kind, ops: env.OpNames(), sample: filter.NewCoin(set.Sample)}
	if set.OTLP == "" {
		return f, nil
	}
	sink, err := env.Sinks.Spans(set.OTLP)
	if err != nil {
		return nil, err
	}
	f.sink = sink
	return f, nil
}

// OnCall joins the caller's trace, or starts one for a sample of the calls that have none.
func (f *Filter) OnCall(c *resources.Call) *resources.Stop {
	t := &c.Trace
	switch {
	case t.TraceID == [16]byte{}:
		*t = resources.TraceContext{}
		if !f.sample.Hit() {
			return nil
		}
		binary.LittleEndian.PutUint64(t.TraceID[:8], rand.Uint64())
		binary.LittleEndian.PutUint64(t.TraceID[8:], nonZero())
		t.Sampled = true
	case !t.Sampled:
		return nil
	case t.SpanID != [8]byte{}:
		t.Parent = t.SpanID
	}
	binary.LittleEndian.PutUint64(t.SpanID[:], nonZero())
	if f.sink != nil && c.Watch() {
		c.Stages.Spare = true
	}
	return nil
}

// nonZero returns a random number for an id, of which all zeros would mean that there is none.
func nonZero() uint64 {
	for {
		if n := rand.Uint64(); n != 0 {
			return n
		}
	}
}

// OnDone sends the span.
func (f *Filter) OnDone(c *resources.Call) {
	if c.Trace.Sampled && f.sink != nil {
		f.sink.Export(f.span(c))
		if c.Stages != nil && c.Stages.Spare {
			c.Unwatch()
		}
	}
	c.Trace = resources.TraceContext{}
}

func (f *Filter) span(c *resources.Call) filter.Span {
	s := filter.Span{
		TraceID: c.Trace.TraceID, SpanID: c.Trace.SpanID, Parent: c.Trace.Parent,
		Start: filter.Wall(c.Start), End: filter.Wall(max(c.Now, c.Start)),
		Resource: f.resource, Kind: f.kind, Op: filter.OpName(f.ops, c.Op), Class: c.Class.String(),
		Outcome: c.Outcome.String(), Failed: c.Outcome != resources.OutcomeOK, Tries: int(c.Attempt) + 1,
		RequestBytes: c.ReqBytes, ResponseBytes: c.RespBytes,
	}
	if c.Session != nil {
		s.Client = c.Session.Client
		if id := c.Session.Identity(); id != nil {
			s.Caller = id.Caller
		}
	}
	if ep := c.Endpoint; ep != nil {
		s.Group, s.Endpoint = ep.Group, ep.Address
	}
	if c.Fault != nil {
		s.Fault = c.Fault.Text
	}
	if c.Stages != nil {
		s.Stages = filter.NewStages(c.Stages, c.Start, c.Now)
	}
	return s
}
