package ratelimit_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/agent/filter/ratelimit"
	"github.com/sluice-mesh/sluice/resources"
)

// slots is how many buckets of callers a limit has.
const slots = 4096

func perCaller(rate resources.Rate, burst int) resources.Limit {
	return resources.Limit{Rate: rate, Burst: burst, Per: resources.PerCaller}
}

// by makes the calls that follow those of a caller.
func by(fx *conformance.Fixture, caller string) {
	fx.Session.SetIdentity(&resources.Identity{Caller: caller})
}

// passBy is pass for one caller.
func passBy(fx *conformance.Fixture, f resources.Filter, caller string, n int) int {
	by(fx, caller)
	return pass(fx, f, "GET", n)
}

func status(f resources.Filter) ratelimit.LimitStatus {
	return f.(*ratelimit.Filter).Status().([]ratelimit.LimitStatus)[0]
}

func TestPerCallerKeepsTheRules(t *testing.T) {
	conformance.Run(t, ratelimit.Definition,
		conformance.Case{Name: "policy", Policy: limits(perCaller(100, 5), resources.Limit{Rate: 50, Burst: 3})},
		conformance.Case{Name: "observe", Policy: limits(resources.Limit{Rate: 100, Burst: 5, Per: resources.PerCaller, Mode: resources.Observe})},
		conformance.Case{Name: "command", Policy: limits(), Commands: []resources.Command{{
			ID: "c-1", Type: resources.CommandLimit, Percent: 100, Rate: 10, Burst: 1, Per: resources.PerCaller, Author: "ana"}}},
	)
}

// Each caller has the rate; those without a name share one.
func TestEachCallerHasTheRate(t *testing.T) {
	fx := conformance.New(t, limits(perCaller(100, 20)))
	f := fx.Build(t, ratelimit.Definition, nil)
	for _, caller := range []string{"batch", "web", "", "feed"} {
		if n := passBy(fx, f, caller, 50); n != 20 {
			t.Errorf("%d calls of %q passed at once, want the burst of 20", n, caller)
		}
	}
	fx.Advance(50 * time.Millisecond)
	for _, caller := range []string{"web", ""} {
		if n := passBy(fx, f, caller, 50); n != 5 {
			t.Errorf("%d calls of %q passed after 50 ms, want 5 at 100/s", n, caller)
		}
	}
	by(fx, "web")
	if stop := fx.Do(f, "GET", ok, 0); stop == nil || stop.Fault.Text != "sluice: feed-cache: over 100/s per caller (limit 1)" {
		t.Errorf("a refused call got %+v", stop)
	}
	st := status(f)
	if st.Per != resources.PerCaller || st.Refused != 4*30+2*45+1 || fmt.Sprint(st.Callers) != "[{web 76} { 75} {batch 30} {feed 30}]" {
		t.Errorf("status is %+v", st)
	}
}

// A limit per caller decides as so many limits, each for one caller, do.
func TestPerCallerIsALimitForEach(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		callers := rapid.IntRange(1, 12).Draw(rt, "callers") // fewer than a set has slots: none has to share
		rate := resources.Rate(rapid.Float64Range(0.1, 1e6).Draw(rt, "rate"))
		burst := rapid.IntRange(1, 20).Draw(rt, "burst")
		var each []resources.Limit
		for i := range callers {
			each = append(each, resources.Limit{Match: resources.Match{Caller: fmt.Sprint("app-", i)}, Rate: rate, Burst: burst})
		}
		// The limit behind refuses some calls, which give back what they took.
		behind := resources.Limit{Match: resources.Match{Op: "KEYS"}, Rate: 0}
		one, all := conformance.New(t, limits(perCaller(rate, burst), behind)), conformance.New(t, limits(append(each, behind)...))
		f, g := one.Build(t, ratelimit.Definition, nil), all.Build(t, ratelimit.Definition, nil)
		for i := range rapid.IntRange(1, 400).Draw(rt, "calls") {
			d := time.Duration(rapid.Float64Range(0, 1.5).Draw(rt, "pause") * 1e9 / float64(rate) / float64(callers))
			one.Advance(d)
			all.Advance(d)
			caller := fmt.Sprint("app-", rapid.IntRange(0, callers-1).Draw(rt, "caller"))
			by(one, caller)
			by(all, caller)
			op := rapid.SampledFrom([]string{"GET", "SET", "KEYS"}).Draw(rt, "op")
			if got, want := one.Do(f, op, ok, 0) == nil, all.Do(g, op, ok, 0) == nil; got != want {
				rt.Fatalf("call %d, %s of %s: passed is %v, with a limit of its own %v", i, op, caller, got, want)
			}
			if i%100 == 99 {
				f = one.Build(t, ratelimit.Definition, f)
			}
		}
	})
}

// However many callers somebody invents, only so many have a bucket; the others share one, and nobody who is over the rate is
// forgotten.
func TestInventedCallersShare(t *testing.T) {
	fx := conformance.New(t, limits(perCaller(1, 1)))
	f := fx.Build(t, ratelimit.Definition, nil)
	if n := passBy(fx, f, "steady", 3); n != 1 {
		t.Fatalf("%d calls passed, want 1", n)
	}
	passed := 1
	for i := range 10 * slots {
		passed += passBy(fx, f, fmt.Sprint("invented-", i), 1)
	}
	if passed < slots/2 || passed > slots+1 {
		t.Errorf("of %d callers %d passed a call, want one for each of %d slots and one for all others", 10*slots, passed, slots)
	}
	if n := passBy(fx, f, "steady", 3); n != 0 {
		t.Errorf("%d calls of one that is over the rate passed: its bucket went to others", n)
	}
	fx.Advance(2 * time.Second) // all buckets are full, and their slots free for others
	if n := passBy(fx, f, "late", 3); n != 1 {
		t.Errorf("%d calls of a caller that came later passed, want 1", n)
	}
	if n := passBy(fx, f, "steady", 3); n != 1 {
		t.Errorf("%d calls of one that kept still for long enough passed, want 1", n)
	}
	if n := len(status(f).Callers); n != 10 {
		t.Errorf("the status names %d callers, want 10", n)
	}
}

// What a later limit refuses goes back to the bucket that it came from.
func TestRefusedCallGivesBackToItsCaller(t *testing.T) {
	fx := conformance.New(t, limits(perCaller(1, 5), resources.Limit{Match: resources.Match{Op: "KEYS"}, Rate: 0}))
	f := fx.Build(t, ratelimit.Definition, nil)
	for _, caller := range []string{"batch", ""} {
		by(fx, caller)
		if n := pass(fx, f, "KEYS", 100); n != 0 {
			t.Fatalf("%d KEYS passed a limit of 0/s", n)
		}
	}
	for _, caller := range []string{"web", "batch", ""} {
		if n := passBy(fx, f, caller, 100); n != 5 {
			t.Errorf("%d calls of %q passed, want 5: what was refused must not count, nor do so for another", n, caller)
		}
	}
}

// Callers at once, with calls that are given back: none has more than the burst by itself, and all together no more than what those
// share who found no slot in time.
func TestConcurrentCallers(t *testing.T) {
	const callers, burst, workers = 40, 100, 4
	fx := conformance.New(t, limits(perCaller(1, burst), resources.Limit{Match: resources.Match{Op: "KEYS"}, Rate: 0}))
	f := fx.Build(t, ratelimit.Definition, nil)
	var passed [callers]atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		var calls [callers]*resources.Call
		var keys [callers]*resources.Call
		for i := range callers {
			s := &resources.Session{}
			s.SetIdentity(&resources.Identity{Caller: fmt.Sprint("app-", i)})
			calls[i], keys[i] = fx.Call("GET"), fx.Call("KEYS")
			calls[i].Session, keys[i].Session = s, s
		}
		wg.Go(func() {
			for round := range 3 * burst {
				for i := range callers {
					at := (i*7 + w*11 + round) % callers
					if f.OnCall(keys[at]) == nil {
						t.Error("a call passed a limit of 0/s")
					}
					if f.OnCall(calls[at]) == nil {
						passed[at].Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	var all int64
	for i := range passed {
		n := passed[i].Load()
		if all += n; n < burst {
			t.Errorf("%d calls of caller %d passed, want the burst of %d", n, i, burst)
		}
	}
	if all > (callers+1)*burst {
		t.Errorf("%d calls passed, want %d at most", all, (callers+1)*burst)
	}
}

// A limit that is made one per caller, or is no more, begins anew; changing another one leaves it.
func TestPerCallerStateIsKept(t *testing.T) {
	fx := conformance.New(t, limits(perCaller(1, 3)))
	f := fx.Build(t, ratelimit.Definition, nil)
	passBy(fx, f, "web", 10)
	fx.Policy.Limits = append([]resources.Limit{{Match: resources.Match{Op: "KEYS"}, Rate: 7, Burst: 1, Mode: resources.Enforce}}, fx.Policy.Limits...)
	f = fx.Build(t, ratelimit.Definition, f)
	if n := passBy(fx, f, "web", 10); n != 0 {
		t.Errorf("%d calls passed: another limit filled this one up", n)
	}
	fx.Policy.Limits[1].Per = ""
	f = fx.Build(t, ratelimit.Definition, f)
	if n := passBy(fx, f, "web", 10); n != 3 {
		t.Errorf("%d calls passed a limit that is shared now, want 3", n)
	}
}
