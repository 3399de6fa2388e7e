package runtime

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

func switchTo(id string, match resources.Match, weights map[string]int) resources.Command {
	return resources.Command{ID: id, Type: resources.CommandSwitch, Match: match, Weights: weights, Created: time.Unix(1, 0)}
}

func groupOf(address string) string {
	if strings.HasPrefix(address, "10.1.") {
		return "tc"
	}
	return "yf"
}

func TestNewestMatchingSwitchWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := twoGroups()
		g := open(t, spec)
		g.update(spec,
			switchTo("c-1", resources.Match{}, map[string]int{"tc": 100}),
			switchTo("c-2", resources.Match{Op: "GET"}, map[string]int{"yf": 100}),
			switchTo("c-3", resources.Match{Key: "feed:*"}, map[string]int{"tc": 1}),
		)
		for _, x := range []struct {
			op   resources.OpID
			key  string
			want string
		}{{opSet, "a", "tc"}, {opGet, "a", "yf"}, {opGet, "feed:1", "tc"}, {opSet, "feed:1", "tc"}} {
			c := g.call(g.session(), x.op)
			c.View = &fakeView{keys: [][]byte{[]byte(x.key)}}
			if at := g.mustRoute(c); groupOf(at) != x.want {
				t.Errorf("operation %d of key %s went to %s", x.op, x.key, at)
			}
		}
		g.update(spec)
		if at := g.mustRoute(g.call(g.session(), opSet)); groupOf(at) != "yf" {
			t.Errorf("with the commands undone a write went to %s", at)
		}
	})
}

func TestWeightsAreSharesOfKeysAndOfSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := twoGroups()
		g := open(t, spec)
		g.update(spec, switchTo("c-1", resources.Match{}, map[string]int{"yf": 30, "tc": 70}))
		s := g.session()
		byKey, bySession := 0, 0
		for i := range 4000 {
			c := g.call(s, opGet)
			c.Key, c.HasKey = uint64(i), true
			at := groupOf(g.mustRoute(c))
			if at == "tc" {
				byKey++
			}
			w := g.call(g.session(), opSet) // the same key, another session, a write
			w.Key, w.HasKey = uint64(i), true
			if got := groupOf(g.mustRoute(w)); got != at {
				t.Fatalf("key %d: reads go to %s and writes to %s", i, at, got)
			}
			one, two := g.session(), g.call(nil, opGet)
			two.Session = one
			first := groupOf(g.mustRoute(two))
			two = g.call(one, opSet)
			if groupOf(g.mustRoute(two)) != first {
				t.Fatal("two calls of a session without keys went to different groups")
			}
			if first == "tc" {
				bySession++
			}
		}
		for name, n := range map[string]int{"keys": byKey, "sessions": bySession} {
			if share := float64(n) / 4000; math.Abs(share-0.7) > 0.03 {
				t.Errorf("%.3f of the %s went to tc, want 0.7", share, name)
			}
		}
	})
}

// A call that began before a switch and was not routed yet goes where the switch says; so does its retry.
func TestSwitchHoldsForCallsThatAreNotWrittenYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := twoGroups()
		g := open(t, spec)
		held, retried, other := g.call(g.session(), opSet), g.call(g.session(), opSet), g.call(g.session(), opGet)
		g.r.Begin(held)
		g.r.Begin(other)
		g.mustRoute(retried)
		g.update(spec, switchTo("c-1", resources.Match{Class: "write"}, map[string]int{"tc": 100}))
		if ep, fault := g.r.Route(held); fault != nil || ep.Group != "tc" {
			t.Errorf("the held call went to %v, %v", ep, fault)
		}
		if ep, fault := g.r.Route(other); fault != nil || ep.Group != "yf" {
			t.Errorf("the call that does not match went to %v, %v", ep, fault)
		}
		if g.end(retried, outcome(resources.Unavailable), resources.SentNothing) != resources.Again || retried.Endpoint.Group != "tc" {
			t.Errorf("the retry went to %v", retried.Endpoint)
		}
	})
}

func TestBoundary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := twoGroups()
		g := open(t, spec)
		by := map[string]*resources.Endpoint{}
		for _, ep := range (host{g.r}).Endpoints() {
			by[ep.Address] = ep
		}
		yf, tc := by["10.0.0.1:1"], by["10.1.0.1:1"]
		s, batch := g.session(), g.session()
		batch.SetIdentity(&resources.Identity{Caller: "batch-7"})
		check := func(what string, s *resources.Session, ep *resources.Endpoint, want resources.Move) {
			t.Helper()
			if got := g.r.Boundary(s, ep); got != want {
				t.Errorf("%s: got %d, want %d", what, got, want)
			}
		}
		check("no endpoint", s, nil, resources.Stay)
		check("weighted group", s, yf, resources.Stay)
		check("group of weight 0", s, tc, resources.Leave)
		check("replica while reads go to primaries", s, by["10.0.0.2:1"], resources.Leave)

		g.update(spec, switchTo("c-1", resources.Match{Op: "GET"}, map[string]int{"tc": 1}))
		check("some calls are switched to tc: yf", s, yf, resources.Stay)
		check("some calls are switched to tc: tc", s, tc, resources.Stay)

		g.update(spec, switchTo("c-2", resources.Match{Caller: "batch-*"}, map[string]int{"tc": 1}))
		check("another caller is switched: yf", s, yf, resources.Stay)
		check("this caller is switched: yf", batch, yf, resources.Leave)
		check("this caller is switched: tc", batch, tc, resources.Stay)
		s.SetIdentity(&resources.Identity{Caller: "batch-8"})
		check("the session now says that it is that caller", s, yf, resources.Leave)

		g.update(spec, switchTo("c-3", resources.Match{}, map[string]int{"tc": 1}))
		check("all is switched: yf", batch, yf, resources.Leave)
		check("all is switched: tc", batch, tc, resources.Stay)

		g.update(spec, resources.Command{ID: "c-4", Type: resources.CommandDrain, Endpoint: yf.Address})
		check("drained", s, yf, resources.Leave)
		if !yf.Gone() {
			t.Error("the drained endpoint is not gone")
		}
		g.update(spec)
		check("not drained any more", s, yf, resources.Stay)

		delete(spec.Groups, "tc")
		g.update(spec)
		check("group removed", s, tc, resources.Leave)
		g.r.draining.Store(true)
		check("draining", s, yf, resources.Drain)
		g.r.draining.Store(false)
	})
}

func TestUpdateIsAllOrNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(t, twoGroups())
		before := g.r.Status()
		updates := g.d.updates
		for what, change := range map[string]func(*resources.Spec) []resources.Command{
			"unknown balance": func(s *resources.Spec) []resources.Command { s.Policy.Balance = "best"; return nil },
			"unknown reads":   func(s *resources.Spec) []resources.Command { s.Policy.Reads = "some"; return nil },
			"no groups":       func(s *resources.Spec) []resources.Command { s.Groups = nil; return nil },
			"bad backup": func(s *resources.Spec) []resources.Command {
				s.Policy.Backup = &resources.Backup{After: "p94"}
				return nil
			},
			"unknown filter": func(s *resources.Spec) []resources.Command {
				s.Policy.Filters = map[string]any{"nope": nil}
				return nil
			},
			"bad class in a limit": func(s *resources.Spec) []resources.Command {
				s.Policy.Limits = []resources.Limit{{Match: resources.Match{Class: "big"}}}
				return nil
			},
			"missing certificate": func(s *resources.Spec) []resources.Command {
				s.UpstreamTLS = &resources.ClientTLS{CA: "/no/such/file"}
				return nil
			},
			"another kind": func(s *resources.Spec) []resources.Command { s.Kind = "other"; return nil },
			"bad class in a command": func(s *resources.Spec) []resources.Command {
				return []resources.Command{switchTo("c", resources.Match{Class: "big"}, map[string]int{"yf": 1})}
			},
			"switch to a removed group": func(s *resources.Spec) []resources.Command {
				return []resources.Command{switchTo("c", resources.Match{}, map[string]int{"xx": 1})}
			},
		} {
			spec := twoGroups()
			commands := change(spec)
			if spec.Groups != nil {
				spec.Groups["new"] = resources.Group{Endpoints: []resources.EndpointSpec{{Address: "10.9.0.1:1"}}}
			}
			if err := g.r.Update(spec, commands); err == nil {
				t.Errorf("%s: taken over", what)
			} else if want := what == "another kind" || what == "missing certificate"; errors.Is(err, ErrReopen) != want {
				t.Errorf("%s: %v", what, err)
			}
			if after := g.r.Status(); after.Revision != before.Revision || len(after.Groups) != 2 || len(g.r.Endpoints()) != 4 {
				t.Errorf("%s: something changed: revision %d, %d groups", what, after.Revision, len(after.Groups))
			}
		}
		if g.d.updates != updates {
			t.Error("the driver was told of a change that was refused")
		}
		spec := twoGroups()
		spec.Groups["new"] = resources.Group{Endpoints: []resources.EndpointSpec{{Address: "10.9.0.1:1"}}}
		g.update(spec)
		if g.d.updates == updates || len(g.r.Endpoints()) != 5 {
			t.Error("a good change was not taken over")
		}
	})
}

func TestOpsChangedCompilesSelectorsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := twoGroups()
		g := open(t, spec)
		g.update(spec, switchTo("c-1", resources.Match{Op: "JSON.*"}, map[string]int{"tc": 1}))
		for i := range 5 {
			g.r.Ops().Intern(resources.OpInfo{Name: fmt.Sprintf("JSON.X%d", i), Class: resources.ClassRead})
			g.r.OpsChanged()
		}
		id, _ := g.r.Ops().Lookup("JSON.X3")
		before := g.r.Status().Revision
		time.Sleep(time.Second)
		synctest.Wait()
		if after := g.r.Status().Revision; after != before+1 {
			t.Errorf("compiled %d times", after-before)
		}
		if at := g.mustRoute(g.call(g.session(), id)); groupOf(at) != "tc" {
			t.Errorf("the learnt operation went to %s", at)
		}
	})
}

func TestPreviewOfASwitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := twoGroups()
		g := open(t, spec)
		for range 60 {
			for range 20 {
				c := g.call(g.session(), opGet)
				g.mustRoute(c)
				g.end(c, resources.OutcomeOK, resources.SentAnswered)
			}
			for range 5 {
				c := g.call(g.session(), opSet)
				g.mustRoute(c)
				g.end(c, resources.OutcomeOK, resources.SentAnswered)
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		cmd := switchTo("", resources.Match{Op: "GET"}, map[string]int{"yf": 25, "tc": 75})
		cmd.Resource = "cache"
		p, err := g.r.Preview(cmd)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(p.Calls-20) > 1 || !p.Exact || len(p.Moves) != 1 || p.Moves[0].From != "yf" || p.Moves[0].To != "tc" || math.Abs(p.Moves[0].Calls-15) > 1 {
			t.Errorf("preview %+v", p)
		}
		if st := g.r.Status(); math.Abs(st.Rates.Calls-25) > 3 || len(g.r.Operations()) != 2 || g.r.Operations()[0].Op != "GET" {
			t.Errorf("rates %+v, operations %+v", st.Rates, g.r.Operations())
		}
		if g.r.Status().Revision != 1 {
			t.Error("the preview changed something")
		}
		if _, err := g.r.Preview(resources.Command{Resource: "cache", Type: resources.CommandDrain, Endpoint: "10.0.0.77:1"}); err == nil {
			t.Error("an unknown endpoint can be drained")
		}
	})
}
