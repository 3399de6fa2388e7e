package runtime

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/sluice-mesh/sluice/resources"
)

// allFilters is a policy under which every standard filter has something to do for each call.
func allFilters(dir string) *resources.Spec {
	spec := twoGroups()
	on := 1
	tc := spec.Groups["tc"]
	tc.Weight = &on
	spec.Groups["tc"] = tc
	yf := spec.Groups["yf"]
	for _, a := range []string{"10.0.0.3:1", "10.0.0.4:1", "10.0.0.5:1"} {
		yf.Endpoints = append(yf.Endpoints, resources.EndpointSpec{Address: a, Role: "replica"})
	}
	spec.Groups["yf"] = yf
	spec.Policy.Reads = "prefer-replica"
	spec.Policy.Limits = []resources.Limit{{Rate: 1e9, Burst: 1e6}, {Match: resources.Match{Op: "KEYS"}, Rate: 0}}
	spec.Policy.Breaker = &resources.Breaker{}
	spec.Policy.Backup = &resources.Backup{}
	spec.Policy.ACL = &resources.ACL{Deny: []resources.Match{{Op: "FLUSH*"}}}
	spec.Policy.AccessLog = &resources.AccessLog{Sample: 0.001, Path: filepath.Join(dir, "access.log")}
	spec.Policy.Trace = &resources.Trace{Sample: 0.001}
	return spec
}

// manyCommands is one active command of each type, none of which matches the calls of the benchmark.
func manyCommands() []resources.Command {
	m := resources.Match{Op: "SUBSCRIBE"}
	return []resources.Command{
		switchTo("c-1", m, map[string]int{"tc": 1}),
		{ID: "c-2", Type: resources.CommandDegrade, Match: m},
		{ID: "c-3", Type: resources.CommandLimit, Match: m, Rate: 1},
		{ID: "c-4", Type: resources.CommandFault, Match: m, Error: "ERR x"},
		{ID: "c-5", Type: resources.CommandMock, Match: m, Reply: "x"},
	}
}

// oneCall is what a driver asks for one request.
func (g *rig) oneCall(rt resources.Runtime, c *resources.Call) {
	c.Start += 1000
	c.Sent = resources.SentNothing
	if rt.Begin(c) != nil {
		g.t.Fatal("stopped")
	}
	if _, f := rt.Route(c); f != nil {
		g.t.Fatal(f)
	}
	c.Now, c.Outcome, c.Sent = c.Start+100_000, resources.OutcomeOK, resources.SentAnswered
	if rt.End(c) != resources.Done {
		g.t.Fatal("not done")
	}
}

func hotRig(t testing.TB, full bool) *rig {
	if !full {
		return open(t, twoGroups())
	}
	spec := allFilters(t.TempDir())
	g := open(t, spec)
	g.update(spec, manyCommands()...)
	return g
}

func TestCallAllocatesNothing(t *testing.T) {
	if raceEnabled {
		return // the detector's own bookkeeping is counted
	}
	for name, full := range map[string]bool{"default": false, "all filters": true} {
		g := hotRig(t, full)
		c := g.call(g.session(), opGet)
		c.Key, c.HasKey = 77, true
		rt := resources.Runtime(host{g.r})
		g.oneCall(rt, c)
		if n := testing.AllocsPerRun(2000, func() { g.oneCall(rt, c) }); n != 0 {
			t.Errorf("%s: %v allocations for a call", name, n)
		}
		ep := c.Endpoint
		if n := testing.AllocsPerRun(1000, func() { rt.Boundary(c.Session, ep) }); n != 0 {
			t.Errorf("%s: %v allocations for Boundary", name, n)
		}
		if n := testing.AllocsPerRun(1000, func() { // a retry
			c.Start, c.Sent = c.Now, resources.SentNothing
			rt.Begin(c)
			rt.Route(c)
			c.Now, c.Outcome = c.Start+1000, resources.Outcome(resources.Unknown)
			c.Sent = resources.SentSome
			for rt.End(c) == resources.Again {
				c.Now, c.Outcome, c.Sent = c.Start+2000, resources.OutcomeOK, resources.SentAnswered
			}
		}); n > 0.05 { // failures move breakers and ejections, which is seldom and is allowed to allocate
			t.Errorf("%s: %v allocations for a retry", name, n)
		}
	}
}

// Calls, updates and looks from all sides at once; the race detector judges.
func TestCallsWhileEverythingChanges(t *testing.T) {
	g := hotRig(t, true)
	spec := allFilters(t.TempDir())
	stop := make(chan struct{})
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() {
			s := &resources.Session{ID: uint64(1000 + i), Runtime: &session{}}
			s.SetIdentity(&resources.Identity{Caller: "web"})
			g.r.sessions.add(s)
			c := &resources.Call{Session: s, View: &fakeView{}, Op: opGet, Class: resources.ClassRead, Retry: resources.RetryIdempotent, Start: 1e9}
			for n := 0; ; n++ {
				select {
				case <-stop:
					g.r.Closed(s)
					return
				default:
				}
				c.Start += 1e5
				if g.r.Begin(c) == nil {
					if _, f := g.r.Route(c); f == nil && n%10 == 0 {
						g.r.Backup(c)
					}
				}
				c.Now, c.Outcome, c.Sent = c.Start+5e4, resources.OutcomeOK, resources.SentAnswered
				if n%7 == 0 {
					c.Outcome, c.Sent = resources.Outcome(resources.Unknown), resources.SentSome
				}
				for g.r.End(c) == resources.Again {
					c.Now += 1e4
				}
				g.r.Boundary(s, c.Endpoint)
			}
		})
	}
	for i := range 40 {
		var commands []resources.Command
		switch i % 4 {
		case 0:
			commands = manyCommands()
		case 1:
			commands = []resources.Command{switchTo("c-9", resources.Match{}, map[string]int{"tc": 1})}
		case 2:
			commands = []resources.Command{{ID: "c-8", Type: resources.CommandDrain, Endpoint: "10.0.0.3:1"}}
		}
		if i%2 == 0 {
			delete(spec.Groups, "tc")
			spec.Groups["new"] = resources.Group{Endpoints: []resources.EndpointSpec{{Address: "10.3.0.1:1"}}}
		} else {
			delete(spec.Groups, "new")
			spec.Groups["tc"] = twoGroups().Groups["tc"]
		}
		if i%4 <= 1 { // their commands name tc
			spec.Groups["tc"] = twoGroups().Groups["tc"]
		}
		g.update(spec, commands...)
		for _, ep := range (host{g.r}).Endpoints() {
			g.r.Report(ep, resources.Health{Ready: true, Role: resources.Role(i % 3)})
		}
		g.r.Status()
		g.r.Endpoints()
		g.r.Operations()
		g.r.Sessions()
	}
	close(stop)
	work.Wait()
	if n := g.r.Status().Open; n != 0 {
		t.Errorf("%d calls are open at rest", n)
	}
	for _, ep := range (host{g.r}).Endpoints() {
		if n := ep.Inflight.Load(); n != 0 {
			t.Errorf("%s: %d in flight at rest", ep.Address, n)
		}
	}
}

func BenchmarkCall(b *testing.B) {
	for name, full := range map[string]bool{"default": false, "all-filters": true} {
		b.Run(name, func(b *testing.B) {
			g := hotRig(b, full)
			c := g.call(g.session(), opGet)
			c.Key, c.HasKey = 77, true
			rt := resources.Runtime(host{g.r})
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				g.oneCall(rt, c)
			}
		})
	}
}
