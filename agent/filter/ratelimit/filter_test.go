package ratelimit_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/agent/filter/ratelimit"
	"github.com/sluice-mesh/sluice/resources"
)

const ok = resources.OutcomeOK

func limits(l ...resources.Limit) *resources.Policy { return &resources.Policy{Limits: l} }

// pass sends n calls at once and returns how many passed.
func pass(fx *conformance.Fixture, f resources.Filter, op string, n int) (passed int) {
	for range n {
		if fx.Do(f, op, ok, 0) == nil {
			passed++
		}
	}
	return passed
}

func TestBurstThenRate(t *testing.T) {
	fx := conformance.New(t, limits(resources.Limit{Rate: 100, Burst: 20}))
	f := fx.Build(t, ratelimit.Definition, nil)
	if n := pass(fx, f, "GET", 100); n != 20 {
		t.Fatalf("%d calls passed at once, want the burst of 20", n)
	}
	for range 50 {
		fx.Advance(10 * time.Millisecond)
		if n := pass(fx, f, "GET", 10); n != 1 {
			t.Fatalf("%d calls passed in 10 ms, want 1 at 100/s", n)
		}
	}
	fx.Advance(time.Hour)
	if n := pass(fx, f, "GET", 100); n != 20 {
		t.Errorf("%d calls passed after an hour's pause, want no more than the burst of 20", n)
	}
}

func TestZeroRefusesAll(t *testing.T) {
	fx := conformance.New(t, limits(resources.Limit{Match: resources.Match{Op: "KEYS"}, Rate: 0, Burst: 5}))
	f := fx.Build(t, ratelimit.Definition, nil)
	for range 10 {
		fx.Advance(time.Minute)
		if fx.Do(f, "KEYS", ok, 0) == nil {
			t.Fatal("a call passed a limit of 0/s")
		}
		if stop := fx.Do(f, "GET", ok, 0); stop != nil {
			t.Fatalf("a call that the limit does not select got %q", stop.Fault.Text)
		}
	}
}

func TestFaultsNameTheirRule(t *testing.T) {
	fx := conformance.New(t, limits(
		resources.Limit{Rate: 5000, Burst: 1},
		resources.Limit{Match: resources.Match{Op: "KEYS", Caller: "feed-*"}, Rate: 0},
	), resources.Command{ID: "c-7f3a", Type: resources.CommandLimit, Percent: 100, Rate: 0, Match: resources.Match{Op: "SET"}, Author: "ana", Why: "batch\nruns wild"})
	f := fx.Build(t, ratelimit.Definition, nil)
	want := []struct{ op, text string }{
		{"KEYS", "sluice: feed-cache: over 0/s (limit 2: op=KEYS caller=feed-*)"},
		{"SET", "sluice: feed-cache: over 0/s by command c-7f3a (ana: batch runs wild)"},
	}
	for _, w := range want {
		stop := fx.Do(f, w.op, ok, 0)
		if stop == nil || stop.Fault == nil || stop.Fault.Text != w.text || stop.Fault.Code != resources.Limited {
			t.Errorf("%s got %+v, want limited, %q", w.op, stop, w.text)
		}
	}
	if stop := fx.Do(f, "GET", ok, 0); stop != nil {
		t.Fatalf("the refused calls took the place of one that may pass: %q", stop.Fault.Text)
	}
	if stop := fx.Do(f, "GET", ok, 0); stop == nil || stop.Fault.Text != "sluice: feed-cache: over 5000/s (limit 1)" {
		t.Errorf("the second GET got %+v", stop)
	}
}

func TestRefusedCallGivesItsPlaceBack(t *testing.T) {
	fx := conformance.New(t, limits(
		resources.Limit{Rate: 10, Burst: 10},
		resources.Limit{Match: resources.Match{Class: "read"}, Rate: 10, Burst: 5},
		resources.Limit{Match: resources.Match{Op: "KEYS"}, Rate: 0},
	))
	f := fx.Build(t, ratelimit.Definition, nil)
	if n := pass(fx, f, "KEYS", 100); n != 0 {
		t.Fatalf("%d KEYS passed a limit of 0/s", n)
	}
	if n := pass(fx, f, "GET", 100); n != 5 {
		t.Errorf("%d reads passed, want 5: what was refused must not count", n)
	}
	if n := pass(fx, f, "SET", 100); n != 5 {
		t.Errorf("%d writes passed, want the 5 that are left of 10", n)
	}
}

func TestObserveCountsOnly(t *testing.T) {
	fx := conformance.New(t, limits(resources.Limit{Rate: 10, Burst: 1, Mode: resources.Observe}))
	f := fx.Build(t, ratelimit.Definition, nil)
	if n := pass(fx, f, "GET", 50); n != 50 {
		t.Fatalf("%d of 50 calls passed a limit that observes, want all", n)
	}
	would := fx.Metrics.Counter("sluice_would_refuse_total", "filter", "ratelimit", "rule", "limit 1")
	if would.Load() != 49 {
		t.Errorf("%d calls are counted as refused otherwise, want 49", would.Load())
	}
	st := f.(*ratelimit.Filter).Status().([]ratelimit.LimitStatus)
	if len(st) != 1 || st[0].Refused != 49 || st[0].Mode != resources.Observe || st[0].Rate != "10/s" {
		t.Errorf("status is %+v", st)
	}
	if log := fx.Logged(t); strings.Count(log, "would have refused") != 1 || !strings.Contains(log, "over 10/s (limit 1)") {
		t.Errorf("the log says %q, want it once", log)
	}
}

func TestStateIsKeptByIdentity(t *testing.T) {
	all := resources.Limit{Rate: 1, Burst: 3}
	fx := conformance.New(t, limits(all, all, resources.Limit{Match: resources.Match{Op: "SET"}, Rate: 1, Burst: 1}))
	f := fx.Build(t, ratelimit.Definition, nil)
	pass(fx, f, "GET", 10)

	fx.Policy.Limits = append([]resources.Limit{{Match: resources.Match{Op: "KEYS"}, Rate: 7, Burst: 1, Mode: resources.Enforce}}, fx.Policy.Limits...)
	f = fx.Build(t, ratelimit.Definition, f)
	if n := pass(fx, f, "GET", 10); n != 0 {
		t.Errorf("%d calls passed: a new limit before it filled an old one up", n)
	}
	fx.Advance(time.Hour)
	if n := pass(fx, f, "GET", 10); n != 3 {
		t.Errorf("%d calls passed two equal limits after another compilation, want the 3 that each lets pass", n)
	}
	for i := range fx.Policy.Limits {
		fx.Policy.Limits[i].Burst = 4
	}
	f = fx.Build(t, ratelimit.Definition, f)
	if n := pass(fx, f, "GET", 10); n != 4 {
		t.Errorf("%d calls passed a limit whose burst was changed to 4, want 4", n)
	}
}

func TestConcurrentCallsGetExactlyTheBurst(t *testing.T) {
	fx := conformance.New(t, limits(resources.Limit{Rate: 1, Burst: 1000}))
	f := fx.Build(t, ratelimit.Definition, nil)
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		c := fx.Call("GET")
		wg.Go(func() {
			for range 2000 {
				if f.OnCall(c) == nil {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if passed.Load() != 1000 {
		t.Errorf("%d calls passed, want exactly the burst of 1000", passed.Load())
	}
}

// Over every stretch of time at most burst + rate·time calls pass, and a caller that keeps to the rate is never
// refused.
func TestNeverOverTheRate(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rate := rapid.Float64Range(0.01, 2e6).Draw(rt, "rate")
		burst := rapid.IntRange(1, 1000).Draw(rt, "burst")
		interval := 1e9 / rate
		fx := conformance.New(t, limits(resources.Limit{Rate: resources.Rate(rate), Burst: burst}))
		f := fx.Build(t, ratelimit.Definition, nil)
		var passed []int64
		for range rapid.IntRange(1, 300).Draw(rt, "calls") {
			fx.Now += int64(rapid.Float64Range(0, 3).Draw(rt, "pause") * interval)
			if fx.Do(f, "GET", ok, 0) == nil {
				passed = append(passed, fx.Now)
			}
		}
		for i := range passed {
			for j := i; j < len(passed); j++ {
				most := float64(burst) + float64(passed[j]-passed[i])/interval*1.002 + 0.01
				if n := float64(j - i + 1); n > most {
					rt.Fatalf("%v calls passed in %d ns, want at most %.2f", n, passed[j]-passed[i], most)
				}
			}
		}
		fx.Now += int64(interval*float64(burst)) + 2
		for range 20 {
			if fx.Do(f, "GET", ok, 0) != nil {
				rt.Fatal("a call that keeps to the rate was refused")
			}
			fx.Now += int64(interval) + 1
		}
	})
}
