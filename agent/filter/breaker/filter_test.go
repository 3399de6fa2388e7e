package breaker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/filter/breaker"
	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/resources"
)

const (
	ok       = resources.OutcomeOK
	failed   = resources.Outcome(resources.Unavailable)
	canceled = resources.OutcomeCanceled
)

func rule(set func(*resources.Breaker)) *resources.Policy {
	b := &resources.Breaker{MinCalls: 10, Window: resources.Duration(10 * time.Second), Open: resources.Duration(5 * time.Second)}
	if set != nil {
		set(b)
	}
	return &resources.Policy{Breaker: b}
}

func start(t *testing.T, set func(*resources.Breaker)) (*conformance.Fixture, *breaker.Filter) {
	t.Helper()
	fx := conformance.New(t, rule(set))
	return fx, fx.Build(t, breaker.Definition, nil).(*breaker.Filter)
}

func do(fx *conformance.Fixture, f resources.Filter, n int, o resources.Outcome) (refused int) {
	for range n {
		if fx.Do(f, "GET", o, time.Millisecond) != nil {
			refused++
		}
	}
	return refused
}

func open(fx *conformance.Fixture) int64 { return fx.Metrics.Gauge("sluice_breakers_open").Load() }

func state(f *breaker.Filter) string { return f.Status().([]breaker.CircuitStatus)[0].State }

func TestOpensAtTheShare(t *testing.T) {
	fx, f := start(t, nil)
	if do(fx, f, 9, failed) != 0 {
		t.Fatal("it opened below min-calls")
	}
	fx, f = start(t, nil)
	do(fx, f, 11, ok)
	if do(fx, f, 10, failed) != 0 {
		t.Fatal("it opened at 10 of 21 failed")
	}
	if do(fx, f, 1, failed) != 0 || open(fx) != 1 {
		t.Fatal("it is not open at 11 of 22 failed")
	}
	stop := fx.Do(f, "GET", ok, 0)
	want := "sluice: feed-cache: breaker of GET is open: at least 50% of its calls failed within 10s (trying again after 5s)"
	if stop == nil || stop.Fault == nil || stop.Fault.Text != want || stop.Fault.Code != resources.BreakerOpen {
		t.Fatalf("an open breaker answered %+v, want %q", stop, want)
	}
	if fx.Do(f, "SET", ok, 0) != nil {
		t.Error("the breaker of GET refused a SET")
	}
	st := f.Status().([]breaker.CircuitStatus)
	if len(st) != 2 || st[0].Op != "GET" || st[0].State != "open" || st[0].Reason != "failed" || st[0].Failed != 11 || st[1].State != "closed" {
		t.Errorf("status is %+v", st)
	}
	if log := fx.Logged(t); !strings.Contains(log, "breaker opened") || !strings.Contains(log, "op=GET calls=22 failed=11") {
		t.Errorf("the log says %q", log)
	}
}

func TestAnswersOfTheUpstreamAreNoFailures(t *testing.T) {
	fx, f := start(t, nil)
	for _, o := range []resources.Outcome{resources.OutcomeError, canceled, resources.Outcome(resources.Denied), resources.Outcome(resources.Limited)} {
		if do(fx, f, 100, o) != 0 || open(fx) != 0 {
			t.Fatalf("it opened by outcome %v", o)
		}
	}
	for _, o := range []resources.Outcome{failed, resources.Outcome(resources.Unknown), resources.Outcome(resources.Timeout)} {
		fx, f := start(t, nil)
		if do(fx, f, 20, o); open(fx) != 1 {
			t.Errorf("it did not open by outcome %v", o)
		}
	}
}

func TestSlowShare(t *testing.T) {
	slow := func(b *resources.Breaker) { b.Slow, b.SlowerThan = 80, resources.Duration(100*time.Millisecond) }
	fx, f := start(t, slow)
	for range 8 {
		fx.Do(f, "GET", ok, 200*time.Millisecond)
	}
	do(fx, f, 2, ok)
	if open(fx) != 0 {
		t.Fatal("it opened without a slow call that reached the share")
	}
	fx.Do(f, "GET", ok, 200*time.Millisecond)
	stop := fx.Do(f, "GET", ok, 0)
	if stop == nil || !strings.Contains(stop.Fault.Text, "at least 80% of its calls took over 100ms within 10s") {
		t.Fatalf("9 of 11 slow answered %+v", stop)
	}
	fx, f = start(t, slow)
	for range 50 {
		if fx.Do(f, "SUBSCRIBE", ok, time.Hour) != nil {
			t.Fatal("streams opened it: they are never slow")
		}
	}
}

func TestHalfOpenTriesOneAtATime(t *testing.T) {
	fx, f := start(t, nil)
	do(fx, f, 10, failed)
	fx.Advance(5*time.Second - time.Millisecond)
	if do(fx, f, 10, ok) != 10 {
		t.Fatal("a call passed before the time to try again")
	}
	fx.Advance(2 * time.Millisecond)
	for i := range 3 {
		trial := fx.Call("GET")
		if f.OnCall(trial) != nil {
			t.Fatalf("trial %d was refused", i)
		}
		if do(fx, f, 10, ok) != 10 {
			t.Fatalf("calls passed while trial %d was under way", i)
		}
		fx.End(trial, nil, ok, time.Millisecond)
		f.OnDone(trial)
	}
	if open(fx) != 0 || state(f) != "closed" {
		t.Error("it did not close after three good trials")
	}
	if do(fx, f, 9, failed) != 0 {
		t.Error("failures from before it closed still count")
	}
}

func TestBadTrialOpensAgain(t *testing.T) {
	fx, f := start(t, nil)
	do(fx, f, 10, failed)
	fx.Advance(6 * time.Second)
	do(fx, f, 2, ok)
	if do(fx, f, 1, failed) != 0 {
		t.Fatal("the third trial was refused")
	}
	if do(fx, f, 10, ok) != 10 || open(fx) != 1 {
		t.Fatal("it is not open after a bad trial")
	}
	fx.Advance(6 * time.Second)
	if do(fx, f, 2, ok); open(fx) != 1 {
		t.Fatal("good trials from before the bad one still count")
	}
	if do(fx, f, 1, ok); open(fx) != 0 {
		t.Error("it did not close after three good trials")
	}
}

func TestTrialThatSaysNothingDecidesNothing(t *testing.T) {
	fx, f := start(t, nil)
	do(fx, f, 10, failed)
	fx.Advance(6 * time.Second)
	if do(fx, f, 50, canceled) != 0 {
		t.Error("a trial whose client left kept the next from starting")
	}
	if open(fx) != 1 {
		t.Error("clients that left closed the breaker")
	}
}

func TestTrialThatHangsGivesWay(t *testing.T) {
	fx, f := start(t, nil)
	do(fx, f, 10, failed)
	fx.Advance(6 * time.Second)
	hung := fx.Call("GET")
	if f.OnCall(hung) != nil {
		t.Fatal("the trial was refused")
	}
	fx.Advance(4 * time.Second)
	if do(fx, f, 1, ok) != 1 {
		t.Fatal("a second trial began while the first was young")
	}
	fx.Advance(2 * time.Second)
	if do(fx, f, 3, ok) != 0 || open(fx) != 0 {
		t.Fatal("the hung trial keeps the breaker open")
	}
	fx.End(hung, nil, failed, 6*time.Second)
	f.OnDone(hung)
	if do(fx, f, 10, ok) != 0 {
		t.Error("a trial that had given way opened the breaker when it ended")
	}
}

func TestObserveRefusesNothing(t *testing.T) {
	fx, f := start(t, func(b *resources.Breaker) { b.Mode = resources.Observe })
	if do(fx, f, 30, failed) != 0 {
		t.Fatal("a breaker that observes refused a call")
	}
	if n := fx.Metrics.Counter("sluice_would_refuse_total", "filter", "breaker", "rule", "breaker").Load(); n != 20 || open(fx) != 1 {
		t.Errorf("%d calls are counted as refused otherwise, want 20", n)
	}
	fx.Advance(6 * time.Second)
	if do(fx, f, 10, ok); open(fx) != 0 {
		t.Error("it did not close")
	}
}

func TestFailuresAreForgottenWithTheWindow(t *testing.T) {
	fx, f := start(t, nil)
	do(fx, f, 9, failed)
	fx.Advance(12 * time.Second)
	if do(fx, f, 9, failed); open(fx) != 0 {
		t.Error("failures older than the window count")
	}
	fx.Advance(8 * time.Second)
	if do(fx, f, 1, failed); open(fx) != 1 {
		t.Error("failures younger than the window do not count")
	}
}

func TestCircuitsAreKeptWhileTheRuleIsTheSame(t *testing.T) {
	fx, f := start(t, func(b *resources.Breaker) { b.Mode = resources.Observe })
	do(fx, f, 10, failed)
	late := fx.Call("SET")
	f.OnCall(late)

	fx.Policy.Breaker.Mode = resources.Enforce
	g := fx.Build(t, breaker.Definition, f).(*breaker.Filter)
	f.Close()
	if do(fx, g, 5, ok) != 5 || open(fx) != 1 {
		t.Fatal("a change of mode forgot that the circuit is open")
	}
	fx.Policy.Breaker.Errors = 60
	h := fx.Build(t, breaker.Definition, g).(*breaker.Filter)
	g.Close()
	if do(fx, h, 5, ok) != 0 || open(fx) != 0 {
		t.Fatalf("a breaker with another threshold began open, gauge %d", open(fx))
	}
	fx.End(late, nil, failed, time.Millisecond)
	f.OnDone(late)
	do(fx, h, 10, failed)
	if do(fx, f, 10, failed); open(fx) != 1 {
		t.Errorf("calls of a closed filter moved the gauge: %d, want 1", open(fx))
	}
	if h.Close(); open(fx) != 0 {
		t.Errorf("the gauge is %d after the last filter was closed", open(fx))
	}
}

func TestOperationLearntLaterIsTheCatchAll(t *testing.T) {
	fx, f := start(t, nil)
	fx.Ops.Intern(resources.OpInfo{Name: "JSON.GET", Class: resources.ClassRead})
	fx.Do(f, "JSON.GET", failed, 0)
	if st := f.Status().([]breaker.CircuitStatus); len(st) != 1 || st[0].Op != "other" {
		t.Errorf("status is %+v", st)
	}
	g := fx.Build(t, breaker.Definition, f).(*breaker.Filter)
	fx.Do(g, "JSON.GET", failed, 0)
	if st := g.Status().([]breaker.CircuitStatus); len(st) != 2 || st[1].Op != "JSON.GET" {
		t.Errorf("status after a compilation is %+v", st)
	}
}
