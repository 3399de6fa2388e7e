package metrics_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/agent/filter/metrics"
	cells "github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

// counted returns the cells as "group op class" to "calls outcomes slow in out".
func counted(fx *conformance.Fixture) map[string]string {
	out := map[string]string{}
	fx.Metrics.Each(func(group, op, class string, c *cells.Cell) {
		var s cells.CellSnapshot
		c.Snapshot(&s)
		text := fmt.Sprintf("calls=%d", s.Total())
		for o, n := range s.Outcomes {
			if n > 0 {
				text += fmt.Sprintf(" %v=%d", resources.Outcome(o), n)
			}
		}
		out[group+" "+op+" "+class] = fmt.Sprintf("%s slow=%d in=%d out=%d", text, s.Slow, s.BytesIn, s.BytesOut)
	})
	return out
}

func expect(t *testing.T, fx *conformance.Fixture, want map[string]string) {
	t.Helper()
	got := counted(fx)
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s counted %q, want %q", k, got[k], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d cells, want %d: %v", len(got), len(want), got)
	}
}

func TestCounts(t *testing.T) {
	fx := conformance.New(t, nil)
	f := fx.Build(t, metrics.Definition, nil)
	for range 3 {
		fx.Do(f, "GET", resources.OutcomeOK, time.Millisecond)
	}
	fx.Do(f, "GET", resources.Outcome(resources.Timeout), time.Second)
	fx.Do(f, "SUBSCRIBE", resources.OutcomeOK, time.Hour)

	refused := fx.Call("SET") // by a later filter: never routed
	f.OnCall(refused)
	refused.Now, refused.Outcome = refused.Start, resources.Outcome(resources.Limited)
	f.OnDone(refused)

	stricter := fx.Call("GET") // by its arguments
	stricter.Class = resources.ClassWrite
	f.OnCall(stricter)
	fx.End(stricter, nil, resources.OutcomeOK, 51*time.Millisecond)
	f.OnDone(stricter)
	if !stricter.Slow {
		t.Error("a call of 51 ms is not marked slow")
	}

	fx.Ops.Intern(resources.OpInfo{Name: "JSON.GET", Class: resources.ClassRead})
	fx.Do(f, "JSON.GET", resources.OutcomeOK, 0)
	expect(t, fx, map[string]string{
		"yf GET read":         "calls=4 ok=3 timeout=1 slow=1 in=124 out=512",
		"yf SUBSCRIBE stream": "calls=1 ok=1 slow=0 in=31 out=128",
		"none SET write":      "calls=1 limited=1 slow=0 in=31 out=0",
		"yf GET write":        "calls=1 ok=1 slow=1 in=31 out=128",
		"yf JSON.GET read":    "calls=1 ok=1 slow=0 in=31 out=128",
	})
}

// More operations are learnt before the next compilation than there is room for: what has none is the catch-all, and nothing is lost.
func TestMoreOperationsThanRoom(t *testing.T) {
	fx := conformance.New(t, nil)
	f := fx.Build(t, metrics.Definition, nil)
	const all = 100
	for i := range all {
		name := fmt.Sprint("JSON.X", i)
		fx.Ops.Intern(resources.OpInfo{Name: name, Class: resources.ClassRead})
		fx.Do(f, name, resources.OutcomeOK, 0)
	}
	got := counted(fx)
	if n := len(got); n < 10 || n >= all || got["yf JSON.X0 read"] == "" || got["yf other read"] == "" {
		t.Errorf("there are %d cells: %v", n, got)
	}
	g := fx.Build(t, metrics.Definition, f)
	last := fmt.Sprint("JSON.X", all-1)
	fx.Do(g, last, resources.OutcomeOK, 0)
	if got := counted(fx)["yf "+last+" read"]; got != "calls=1 ok=1 slow=0 in=31 out=128" {
		t.Errorf("the last counted %q after a compilation", got)
	}
	calls := uint64(0)
	fx.Metrics.Each(func(_, _, _ string, c *cells.Cell) { calls += c.Histogram().Count() })
	if calls != all+1 {
		t.Errorf("%d calls in all cells, want %d", calls, all+1)
	}
}

func TestInflight(t *testing.T) {
	fx := conformance.New(t, nil)
	f := fx.Build(t, metrics.Definition, nil)
	gauge := fx.Metrics.Gauge(cells.Inflight)
	a, b := fx.Call("GET"), fx.Call("SET")
	f.OnCall(a)
	f.OnCall(b)
	if gauge.Load() != 2 {
		t.Errorf("%d in flight, want 2", gauge.Load())
	}
	fx.End(a, nil, resources.OutcomeOK, 0)
	f.OnDone(a)
	if gauge.Load() != 1 {
		t.Errorf("%d in flight, want 1", gauge.Load())
	}
	fx.End(b, nil, resources.OutcomeOK, 0)
	f.OnDone(b)
}

func TestCompilations(t *testing.T) {
	fx := conformance.New(t, nil)
	f := fx.Build(t, metrics.Definition, nil)
	if g := fx.Build(t, metrics.Definition, f); g != f {
		t.Error("nothing changed and the filter was made anew")
	}
	fx.Do(f, "GET", resources.OutcomeOK, 20*time.Millisecond)
	fx.Policy.SlowerThan = resources.Duration(10 * time.Millisecond)
	g := fx.Build(t, metrics.Definition, f)
	fx.Do(g, "GET", resources.OutcomeOK, 20*time.Millisecond)
	fx.Ops.Intern(resources.OpInfo{Name: "JSON.GET", Class: resources.ClassRead})
	h := fx.Build(t, metrics.Definition, g)
	fx.Do(h, "JSON.GET", resources.OutcomeOK, 0)
	fx.Do(h, "GET", resources.OutcomeOK, 0)
	expect(t, fx, map[string]string{
		"yf GET read":      "calls=3 ok=3 slow=1 in=93 out=384",
		"yf JSON.GET read": "calls=1 ok=1 slow=0 in=31 out=128",
	})
}

func TestFirstCallsAtOnceShareTheirCell(t *testing.T) {
	for range 50 {
		fx := conformance.New(t, nil)
		f := fx.Build(t, metrics.Definition, nil)
		var wg sync.WaitGroup
		for range 4 {
			c := fx.Call("GET")
			fx.End(c, nil, resources.OutcomeOK, 0)
			wg.Go(func() {
				f.OnCall(c)
				f.OnDone(c)
			})
		}
		wg.Wait()
		expect(t, fx, map[string]string{"yf GET read": "calls=4 ok=4 slow=0 in=124 out=512"})
	}
}
