package trace_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/agent/filter/trace"
	"github.com/sluice-mesh/sluice/resources"
)

func policy(sample resources.Percent) *resources.Policy {
	return &resources.Policy{Trace: &resources.Trace{Sample: sample, OTLP: "http://127.0.0.1:4318"}}
}

func TestSpan(t *testing.T) {
	fx := conformance.New(t, policy(100))
	f := fx.Build(t, trace.Definition, nil)
	c := fx.Call("GET")
	f.OnCall(c)
	in := c.Trace
	if !in.Sampled || in.TraceID == [16]byte{} || in.SpanID == [8]byte{} || in.Parent != [8]byte{} {
		t.Fatalf("a call that starts a trace has the context %+v", in)
	}
	c.Attempt = 1
	fx.End(c, nil, resources.Outcome(resources.Unavailable), 3*time.Millisecond)
	f.OnDone(c)
	if c.Trace != (resources.TraceContext{}) {
		t.Error("the context outlives its call")
	}
	spans := fx.Spans()
	if len(spans) != 1 {
		t.Fatalf("%d spans, want 1", len(spans))
	}
	s := spans[0]
	if d := s.End.Sub(s.Start); d != 3*time.Millisecond || s.Start.IsZero() {
		t.Errorf("the span takes %v, want 3ms", d)
	}
	if s.Stages.Total != 3000 {
		t.Errorf("the stages are %+v, want 3000 µs in all", s.Stages)
	}
	if c.Stages != nil {
		t.Error("the stages outlive their call")
	}
	s.Start, s.End, s.Stages = time.Time{}, time.Time{}, filter.Stages{}
	want := filter.Span{
		TraceID: in.TraceID, SpanID: in.SpanID, Resource: "feed-cache", Kind: "redis", Op: "GET", Class: "read", Group: "yf",
		Endpoint: "10.0.0.1:6379", Caller: "feed-web", Client: "10.0.0.9:51122", Outcome: "unavailable", Failed: true,
		Fault: "sluice: feed-cache: 10.0.0.1:6379 closed the connection", Tries: 2, RequestBytes: 31, ResponseBytes: 128,
	}
	if s != want {
		t.Errorf("span is\n%+v, want\n%+v", s, want)
	}
}

func TestJoinsTheCallersTrace(t *testing.T) {
	fx := conformance.New(t, policy(0))
	f := fx.Build(t, trace.Definition, nil)
	trace, span := [16]byte{1, 2}, [8]byte{3}
	for _, carried := range []resources.TraceContext{
		{TraceID: trace, SpanID: span, Sampled: true}, {TraceID: trace, Parent: span, Sampled: true},
	} {
		c := fx.Call("GET")
		c.Trace = carried
		f.OnCall(c)
		if c.Trace.TraceID != trace || c.Trace.Parent != span || c.Trace.SpanID == span || c.Trace.SpanID == [8]byte{} {
			t.Errorf("%+v became %+v", carried, c.Trace)
		}
		fx.End(c, nil, resources.OutcomeOK, 0)
		f.OnDone(c)
	}
	if spans := fx.Spans(); len(spans) != 2 || spans[1].Parent != span || spans[1].TraceID != trace {
		t.Errorf("spans are %+v", spans)
	}
}

func TestUnsampledContextStaysUnsampled(t *testing.T) {
	fx := conformance.New(t, policy(100))
	f := fx.Build(t, trace.Definition, nil)
	c := fx.Call("GET")
	carried := resources.TraceContext{TraceID: [16]byte{1}, SpanID: [8]byte{2}}
	c.Trace = carried
	f.OnCall(c)
	if c.Trace != carried {
		t.Errorf("the context became %+v", c.Trace)
	}
	fx.End(c, nil, resources.OutcomeOK, 0)
	f.OnDone(c)
	if len(fx.Spans()) != 0 {
		t.Error("a call of a trace that is not sampled was traced")
	}
}

func TestSampleIsAShare(t *testing.T) {
	fx := conformance.New(t, policy(10))
	f := fx.Build(t, trace.Definition, nil)
	c := fx.Call("GET")
	ids, sampled := map[[16]byte]bool{}, 0
	for range 5000 {
		fx.Reset(c, "GET")
		f.OnCall(c)
		if c.Trace.Sampled {
			sampled++
			ids[c.Trace.TraceID] = true
		}
		fx.End(c, nil, resources.OutcomeOK, 0)
		f.OnDone(c)
	}
	if sampled < 330 || sampled > 670 { // 500 with a standard deviation of 21
		t.Errorf("%d of 5000 calls were traced at 10%%", sampled)
	}
	if len(ids) != sampled {
		t.Errorf("%d traces have %d ids", sampled, len(ids))
	}
}

func TestCollectorIsRefusedWithoutAnExporter(t *testing.T) {
	fx := conformance.New(t, policy(1))
	env := fx.Env()
	env.Sinks = filter.NewSinks(filter.SinkOptions{})
	defer env.Sinks.Close()
	if _, err := trace.Definition.Compile(env, nil); err == nil || !strings.Contains(err.Error(), "http://127.0.0.1:4318") {
		t.Errorf("error is %v, want one that names the collector", err)
	}
}
