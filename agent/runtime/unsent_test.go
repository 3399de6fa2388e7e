package runtime

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sluice-mesh/sluice/agent/ha"
	"github.com/sluice-mesh/sluice/resources"
)

// onTwo is two groups that both have calls, of one endpoint each; yf is the agent's own data centre.
func onTwo() *resources.Spec {
	spec := twoGroups()
	spec.Groups["yf"] = resources.Group{Endpoints: []resources.EndpointSpec{{Address: "10.0.0.1:1"}}}
	spec.Groups["tc"] = resources.Group{Endpoints: []resources.EndpointSpec{{Address: "10.1.0.1:1"}}}
	return spec
}

// Of an endpoint whose connections fail no call is lost that another one can serve, however many they are; what a server had work with takes
// budget.
func TestUnsentGoesElsewhereWithoutBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(t, onTwo())
		const calls = 2000
		run := func(declined bool, code resources.Code, sent resources.Sent) (again int) {
			for range calls {
				c := g.call(g.session(), opSet)
				first := g.mustRoute(c)
				c.Declined = declined
				if g.end(c, outcome(code), sent) != resources.Again {
					continue
				}
				again++
				if c.Endpoint.Address == first {
					t.Fatalf("it went to %s again", first)
				}
				if c.Declined {
					t.Fatal("what became of the attempt before is not forgotten")
				}
				g.end(c, resources.OutcomeOK, resources.SentAnswered)
			}
			return again
		}
		if n := run(false, resources.Unavailable, resources.SentNothing); n != calls {
			t.Errorf("%d of %d calls were sent elsewhere", n, calls)
		}
		if n := run(true, resources.Unavailable, resources.SentNothing); n < ha.Allowance || n > ha.Allowance+2*calls*15/100 {
			t.Errorf("%d of %d calls that a server had declined were sent elsewhere, which the budget should bound", n, calls)
		}
		if n := run(false, resources.Unknown, resources.SentSome); n != 0 {
			t.Errorf("%d writes were repeated", n)
		}
		for _, ep := range (host{g.r}).Endpoints() {
			if n := ep.Inflight.Load(); n != 0 {
				t.Errorf("%d calls are under way at %s", n, ep.Address)
			}
		}
	})
}

// Servers that end together may each refuse a call, before anybody knows that they are gone: it goes on to the one that serves it, also when
// that takes more attempts than the policy's tries, which hold for what was sent.
func TestUnsentGoesOnBeyondItsTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := onTwo()
		delete(spec.Groups, "tc")
		spec.Groups["yf"] = resources.Group{Endpoints: []resources.EndpointSpec{{Address: "10.0.0.1:1"}, {Address: "10.0.0.2:1"}, {Address: "10.0.0.3:1"},
			{Address: "10.0.0.4:1"}, {Address: "10.0.0.5:1"}}}
		spec.Policy.Balance = "round-robin"
		g := open(t, spec)
		for i := range 10 {
			c := g.call(g.session(), opSet)
			g.mustRoute(c)
			attempts := 1
			for ; c.Endpoint.Address != "10.0.0.5:1"; attempts++ {
				if c.Endpoint.Address == "10.0.0.4:1" && i%2 == 1 { // it breaks in the middle of the request: that is not repeated
					if g.end(c, outcome(resources.Unknown), resources.SentSome) == resources.Again {
						t.Fatal("a write was repeated")
					}
					break
				}
				if g.end(c, outcome(resources.Unavailable), resources.SentNothing) != resources.Again {
					t.Fatalf("call %d ended %v after %d attempts, the last at %s", i, c.Outcome, attempts, c.Endpoint.Address)
				}
			}
			if c.Endpoint.Address == "10.0.0.5:1" {
				g.end(c, resources.OutcomeOK, resources.SentAnswered)
			}
		}
		for _, ep := range (host{g.r}).Endpoints() {
			if n := ep.Inflight.Load(); n != 0 {
				t.Errorf("%d calls are under way at %s", n, ep.Address)
			}
		}
	})
}

// With every server gone calls end soon: a call tries few places, and the same one again only within the budget.
func TestUnsentIsBounded(t *testing.T) {
	for name, spec := range map[string]*resources.Spec{"one endpoint": onTwo(), "two": onTwo(), "six": onTwo()} {
		synctest.Test(t, func(t *testing.T) {
			switch name {
			case "one endpoint":
				delete(spec.Groups, "tc")
			case "six":
				spec.Groups["tc"] = resources.Group{Endpoints: []resources.EndpointSpec{{Address: "10.1.0.1:1"}, {Address: "10.1.0.2:1"},
					{Address: "10.1.0.3:1"}, {Address: "10.1.0.4:1"}, {Address: "10.1.0.5:1"}}}
			}
			g := open(t, spec)
			const calls = 1000
			attempts := 0
			for range calls {
				c := g.call(g.session(), opSet)
				g.mustRoute(c)
				for attempts++; g.end(c, outcome(resources.Unavailable), resources.SentNothing) == resources.Again; attempts++ {
				}
				if c.Outcome != outcome(resources.Unavailable) {
					t.Fatalf("it ended %v", c.Outcome)
				}
			}
			most := (1 + 2 + ha.Beyond) * calls
			if name == "one endpoint" {
				most = calls + ha.Allowance + calls*15/100
			}
			if attempts > most {
				t.Errorf("%s: %d attempts of %d calls", name, attempts, calls)
			}
			if st := g.r.Status(); st.Open != 0 {
				t.Errorf("%s: %d calls are open", name, st.Open)
			}
			for _, ep := range (host{g.r}).Endpoints() {
				if n := ep.Inflight.Load(); n != 0 {
					t.Errorf("%s: %d calls are under way at %s", name, n, ep.Address)
				}
			}
		})
	}
}

// Where servers are all alike, the own data centre comes first for every call.
func TestNearestHoldsForEveryCallWhereServersAreAlike(t *testing.T) {
	ops := []resources.OpID{opGet, opSet, opSubscribe, resources.OpOther}
	synctest.Test(t, func(t *testing.T) {
		spec := onTwo()
		off := 0
		spec.Groups["ja"] = resources.Group{IDC: "yf", Weight: &off, Endpoints: []resources.EndpointSpec{{Address: "10.2.0.1:1"}}}
		spec.Policy.Reads = "nearest"
		g := openAlike(t, spec)
		for range 50 {
			for _, op := range ops {
				c := g.call(g.session(), op)
				if group := g.r.Group(c); group != g.group("yf") {
					t.Errorf("operation %d is for group %d", op, group)
				}
				if at := g.mustRoute(c); at != "10.0.0.1:1" {
					t.Errorf("operation %d went to %s", op, at)
				}
				if op == opSubscribe { // is never repeated
					g.end(c, resources.OutcomeOK, resources.SentAnswered)
					continue
				}
				if g.end(c, outcome(resources.Unavailable), resources.SentNothing) != resources.Again || c.Endpoint.Address != "10.1.0.1:1" {
					t.Fatalf("then it went to %s", c.Endpoint.Address)
				}
				g.end(c, resources.OutcomeOK, resources.SentAnswered)
			}
		}
		weights := onTwo()
		weights.Groups["ja"] = spec.Groups["ja"]
		g.update(weights)
		at := map[string]int{}
		for range 200 {
			for _, op := range ops {
				at[g.mustRoute(g.call(g.session(), op))]++
			}
		}
		if len(at) != 2 || at["10.0.0.1:1"] < 200 || at["10.1.0.1:1"] < 200 {
			t.Errorf("with policy.reads as it is by default calls went to %v", at)
		}
	})
}

// A role that is written is no reason to refuse a call, or a session, where servers are all alike.
func TestRolesMeanNothingWhereServersAreAlike(t *testing.T) {
	for _, reads := range readsNames {
		synctest.Test(t, func(t *testing.T) {
			spec := onTwo()
			delete(spec.Groups, "tc")
			spec.Groups["yf"].Endpoints[0].Role = "replica"
			spec.Policy.Reads = reads
			g := openAlike(t, spec)
			s := g.session()
			c := g.call(s, opSet)
			g.mustRoute(c)
			if m := g.r.Boundary(s, c.Endpoint); m != resources.Stay {
				t.Errorf("reads: %s: the session is told %v", reads, m)
			}
			spec.Groups["yf"] = resources.Group{}
			g.update(spec)
			c = g.call(s, opSet)
			g.r.Begin(c)
			if _, fault := g.r.Route(c); fault == nil || !strings.Contains(fault.Text, "no endpoint is usable") {
				t.Errorf("reads: %s: without any server: %v", reads, fault)
			}
		})
	}
}

// Keys keep their group where the own data centre has nothing.
func TestNearestKeepsKeysInTheirGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := onTwo()
		spec.Groups["gz"] = resources.Group{Endpoints: []resources.EndpointSpec{{Address: "10.2.0.1:1"}}}
		spec.Groups["yf"] = resources.Group{}
		spec.Policy.Reads, spec.Policy.Balance = "nearest", "hash"
		g := openAlike(t, spec)
		byKey := map[uint64]string{}
		at := map[string]int{}
		for i := range uint64(300) {
			c := g.call(g.session(), opSet)
			c.Key, c.HasKey = mix(i%30+1), true
			to := g.mustRoute(c)
			if was, ok := byKey[i%30]; ok && was != to {
				t.Fatalf("key %d went to %s and %s", i%30, was, to)
			}
			byKey[i%30] = to
			at[to]++
		}
		if len(at) != 2 {
			t.Errorf("keys are spread as %v", at)
		}
	})
}
