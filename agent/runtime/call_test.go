package runtime

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

func TestCallGoesToThePrimaryOfTheGroupWithWeight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(t, twoGroups())
		s := g.session()
		for _, op := range []resources.OpID{opGet, opSet, opSubscribe, resources.OpOther} {
			c := g.call(s, op)
			if at := g.mustRoute(c); at != "10.0.0.1:1" {
				t.Errorf("operation %d went to %s", op, at)
			}
			if c.Deadline != c.Start+1e9 || c.Routed == 0 || c.Endpoint.Inflight.Load() != 1 {
				t.Errorf("deadline %d, routed %d, in flight %d", c.Deadline-c.Start, c.Routed, c.Endpoint.Inflight.Load())
			}
			ep := c.Endpoint
			if g.end(c, resources.OutcomeOK, resources.SentAnswered) != resources.Done || ep.Inflight.Load() != 0 {
				t.Errorf("after the end %d are in flight", ep.Inflight.Load())
			}
			if g.r.End(c) != resources.Done || ep.Inflight.Load() != 0 {
				t.Error("a second End changed something")
			}
		}
		if st := g.r.Status(); st.Begun != 4 || st.Open != 0 || s.Calls.Load() != 4 || st.Rates.Total != 4 {
			t.Errorf("begun %d, open %d, session %d, total %d", st.Begun, st.Open, s.Calls.Load(), st.Rates.Total)
		}
	})
}

func TestReadsPolicy(t *testing.T) {
	for reads, want := range map[string]string{
		"primary": "10.0.0.1:1", "replica": "10.0.0.2:1", "prefer-replica": "10.0.0.2:1", "nearest": "10.0.0.1:1 10.0.0.2:1",
	} {
		synctest.Test(t, func(t *testing.T) {
			spec := twoGroups()
			spec.Policy.Reads = reads
			g := open(t, spec)
			s := g.session()
			for range 20 {
				c := g.call(s, opGet)
				if at := g.mustRoute(c); !strings.Contains(want, at) {
					t.Errorf("%s: a read went to %s", reads, at)
				}
				c = g.call(s, opGet)
				c.Primary = true
				if at := g.mustRoute(c); at != "10.0.0.1:1" {
					t.Errorf("%s: a read that needs the primary went to %s", reads, at)
				}
			}
			g.d.set("10.0.0.2:1", resources.Health{})
			time.Sleep(10 * time.Second)
			synctest.Wait()
			c := g.call(s, opGet)
			g.r.Begin(c)
			ep, fault := g.r.Route(c)
			switch {
			case fault != nil:
				t.Errorf("%s: with the replica down: %v", reads, fault)
			case reads == "replica" && ep.Address != "10.0.0.2:1": // all of its list is out: it is tried
				t.Errorf("replica: with the replica down a read went to %s", ep.Address)
			case reads != "replica" && ep.Address != "10.0.0.1:1":
				t.Errorf("%s: with the replica down a read went to %s", reads, ep.Address)
			}
		})
	}
}

func TestNearestGoesToTheOwnDataCentre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := twoGroups()
		on := 1
		tc := spec.Groups["tc"]
		tc.Weight, tc.IDC = &on, "elsewhere"
		spec.Groups["tc"] = tc
		spec.Policy.Reads = "nearest"
		g := open(t, spec)
		for range 50 {
			if at := g.mustRoute(g.call(g.session(), opGet)); !strings.HasPrefix(at, "10.0.") {
				t.Fatalf("a read went to %s", at)
			}
		}
		g.d.set("10.0.0.1:1", resources.Health{})
		g.d.set("10.0.0.2:1", resources.Health{})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if at := g.mustRoute(g.call(g.session(), opGet)); !strings.HasPrefix(at, "10.1.") {
			t.Fatalf("with the own data centre down a read went to %s", at)
		}
	})
}

func TestPinnedCallKeepsItsEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(t, twoGroups())
		s := g.session()
		var replica *resources.Endpoint
		for _, ep := range (host{g.r}).Endpoints() {
			if ep.Address == "10.1.0.2:1" {
				replica = ep
			}
		}
		c := g.call(s, opSet)
		c.Pinned, c.Endpoint = true, replica
		if at := g.mustRoute(c); at != "10.1.0.2:1" {
			t.Errorf("it went to %s", at)
		}
		if g.end(c, outcome(resources.Unavailable), resources.SentNothing) != resources.Done {
			t.Error("a pinned call was sent again")
		}
	})
}

func TestGroupsFailOverButNeverToOneThatIsSwitchedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := twoGroups()
		g := open(t, spec)
		g.d.set("10.0.0.1:1", resources.Health{})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		s := g.session()
		for range 20 {
			// tc has weight 0: the dead primary is tried instead.
			if at := g.mustRoute(g.call(s, opSet)); at != "10.0.0.1:1" {
				t.Fatalf("a write went to %s", at)
			}
		}
		on := 1
		tc := spec.Groups["tc"]
		tc.Weight = &on
		spec.Groups["tc"] = tc
		g.update(spec)
		for range 20 {
			if at := g.mustRoute(g.call(s, opSet)); at != "10.1.0.1:1" {
				t.Fatalf("with a weight for tc a write went to %s", at)
			}
		}
	})
}

func TestNoEndpointIsAFaultThatSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := twoGroups()
		yf := spec.Groups["yf"]
		yf.Endpoints = yf.Endpoints[1:]
		spec.Groups["yf"] = yf
		g := open(t, spec)
		c := g.call(g.session(), opSet)
		g.r.Begin(c)
		_, fault := g.r.Route(c)
		if fault == nil || fault.Code != resources.Unavailable || fault.Text != "sluice: cache: no primary is usable: in group yf" {
			t.Fatalf("fault %+v", fault)
		}
		c.Fault = fault
		if g.end(c, outcome(resources.Unavailable), resources.SentNothing) != resources.Done || g.r.Status().Open != 0 {
			t.Error("the call did not end")
		}
	})
}

func TestPlaceRestrictsToThePartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := twoGroups()
		yf := spec.Groups["yf"]
		yf.Endpoints = append(yf.Endpoints, resources.EndpointSpec{Address: "10.0.0.3:1", Role: "primary"}, resources.EndpointSpec{Address: "10.0.0.4:1", Role: "replica"})
		spec.Groups["yf"] = yf
		spec.Policy.Reads = "prefer-replica"
		g := open(t, spec)
		by := map[string]*resources.Endpoint{}
		for _, ep := range (host{g.r}).Endpoints() {
			by[ep.Address] = ep
		}
		place := &resources.Places{Primary: by["10.0.0.3:1"], Replicas: []*resources.Endpoint{by["10.0.0.4:1"]}}
		for op, want := range map[resources.OpID]string{opSet: "10.0.0.3:1", opGet: "10.0.0.4:1"} {
			c := g.call(g.session(), op)
			c.Place = place
			if at := g.mustRoute(c); at != want {
				t.Errorf("operation %d went to %s", op, at)
			}
		}
		c := g.call(g.session(), opGet)
		c.Place = place
		g.mustRoute(c)
		if g.end(c, outcome(resources.Unknown), resources.SentSome) != resources.Again || c.Endpoint != place.Primary {
			t.Errorf("the retry went to %s", c.Endpoint.Address)
		}
		c = g.call(g.session(), opSet)
		c.Place = &resources.Places{Primary: by["10.1.0.1:1"]}
		g.r.Begin(c)
		if _, fault := g.r.Route(c); fault == nil {
			t.Error("a call went to a partition in a group that is switched off")
		}
	})
}

func TestRetryGoesElsewhereOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := twoGroups()
		spec.Policy.Reads = "prefer-replica"
		g := open(t, spec)
		c := g.call(g.session(), opGet)
		first := g.mustRoute(c)
		if first != "10.0.0.2:1" {
			t.Fatalf("first went to %s", first)
		}
		c.Watch()
		c.Stages.Ready, c.Stages.Written = 1, 2
		if g.end(c, outcome(resources.Unknown), resources.SentSome) != resources.Again {
			t.Fatal("not sent again")
		}
		if s := c.Stages; s == nil || s.Ready != 0 || s.Written != 0 || s.Began == 0 {
			t.Errorf("of the attempt that failed the stages keep %+v", s)
		}
		if c.Endpoint.Address != "10.0.0.1:1" || c.Attempt != 1 || c.Fault != nil || c.Sent != resources.SentNothing {
			t.Errorf("attempt %d to %s", c.Attempt, c.Endpoint.Address)
		}
		if g.end(c, resources.OutcomeOK, resources.SentAnswered) != resources.Done {
			t.Fatal("did not end")
		}
		if n := g.r.Status().Retries["failover"]; n != 1 {
			t.Errorf("%d retries counted", n)
		}
	})
}

// An endpoint that is ejected is tried before a call fails that nobody got: it may be well again, and the only one that is not
// ejected has just refused. Backup requests have no use for it.
func TestRetryGoesToAnEjectedEndpointBeforeNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := twoGroups()
		spec.Groups["yf"] = resources.Group{Endpoints: []resources.EndpointSpec{{Address: "10.0.0.1:1"}, {Address: "10.0.0.2:1"}}}
		spec.Policy.Reads = "prefer-replica"
		spec.Policy.Failover.Tries = 1
		spec.Policy.Eject = resources.Eject{Consecutive: 2}
		spec.Policy.Backup = &resources.Backup{After: "20ms"}
		g := open(t, spec)
		state := func(address string) string {
			for _, e := range g.r.Endpoints() {
				if e.Address == address {
					return e.State
				}
			}
			return "gone"
		}
		time.Sleep(5 * time.Second) // for the probes
		for state("10.0.0.1:1") == "up" {
			c := g.call(g.session(), opGet)
			if g.mustRoute(c) == "10.0.0.1:1" {
				g.end(c, outcome(resources.Unavailable), resources.SentNothing)
			}
			g.end(c, resources.OutcomeOK, resources.SentAnswered)
			synctest.Wait()
		}
		if state("10.0.0.1:1") != "ejected" || state("10.0.0.2:1") != "up" {
			t.Fatalf("the endpoints are %s and %s", state("10.0.0.1:1"), state("10.0.0.2:1"))
		}
		c := g.call(g.session(), opGet)
		if at := g.mustRoute(c); at != "10.0.0.2:1" {
			t.Fatalf("it goes to %s", at)
		}
		if ep := g.r.Backup(c); ep != nil {
			t.Errorf("its backup goes to %s", ep.Address)
		}
		if next := g.end(c, outcome(resources.Unavailable), resources.SentNothing); next != resources.Again || c.Endpoint.Address != "10.0.0.1:1" {
			t.Fatalf("then %v, at %s: %v", next, c.Endpoint.Address, c.Fault)
		}
		g.end(c, resources.OutcomeOK, resources.SentAnswered)
	})
}

func TestWriteThatWasSentIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(t, twoGroups())
		c := g.call(g.session(), opSet)
		g.mustRoute(c)
		if g.end(c, outcome(resources.Unknown), resources.SentSome) != resources.Done {
			t.Fatal("a write was repeated")
		}
	})
}

func TestRedirectIsFollowedWithoutBudgetAndNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := twoGroups()
		spec.Policy.Failover.Tries = -1
		g := open(t, spec)
		eps := (host{g.r}).Endpoints()
		c := g.call(g.session(), opSet)
		g.mustRoute(c)
		times := 0
		for ; times < 20; times++ {
			to := eps[times%2]
			c.Redirect = to
			if g.end(c, resources.OutcomeError, resources.SentNothing) == resources.Done {
				break
			}
			if c.Endpoint != to {
				t.Fatalf("redirected to %s instead of %s", c.Endpoint.Address, to.Address)
			}
		}
		if times != maxRedirects || g.r.Status().Open != 0 {
			t.Errorf("followed %d redirects; %d calls are open", times, g.r.Status().Open)
		}
		for _, ep := range eps {
			if ep.Inflight.Load() != 0 {
				t.Errorf("%s: %d in flight", ep.Address, ep.Inflight.Load())
			}
		}
	})
}

func TestBackupGoesElsewhereWithinItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := twoGroups()
		spec.Policy.Reads = "prefer-replica"
		yf := spec.Groups["yf"]
		yf.Endpoints = append(yf.Endpoints, resources.EndpointSpec{Address: "10.0.0.3:1", Role: "replica"})
		spec.Groups["yf"] = yf
		spec.Policy.Backup = &resources.Backup{After: "20ms"}
		g := open(t, spec)
		got := 0
		for range 200 {
			c := g.call(g.session(), opGet)
			g.mustRoute(c)
			if c.Backup != 20e6 {
				t.Fatalf("backup after %d", c.Backup)
			}
			if ep := g.r.Backup(c); ep != nil {
				got++
				if ep == c.Endpoint {
					t.Fatal("the backup went to the same endpoint")
				}
			}
			g.end(c, resources.OutcomeOK, resources.SentAnswered)
		}
		if got < 10 || got > 20 { // an allowance of 10, and 5 % of 200
			t.Errorf("%d backups for 200 calls", got)
		}
		c := g.call(g.session(), opSet)
		if g.mustRoute(c); c.Backup != 0 || g.r.Backup(c) != nil {
			t.Error("a write is backed up")
		}
	})
}

func TestGroupIsWhereRouteGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := twoGroups()
		g := open(t, spec)
		g.update(spec, switchTo("c-1", resources.Match{}, map[string]int{"yf": 50, "tc": 50}))
		check := func() {
			t.Helper()
			for i := range 200 {
				c := g.call(g.session(), opSet)
				c.Key, c.HasKey = uint64(i), i%2 == 0
				g.r.Begin(c)
				want := g.r.Group(c)
				if ep, fault := g.r.Route(c); fault != nil || ep.GroupID != want {
					t.Fatalf("group %d, but it went to %v, %v", want, ep, fault)
				}
			}
		}
		check()
		g.d.set("10.0.0.1:1", resources.Health{})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		check()
	})
}

func TestHashWithoutAKeyGoesBySession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := twoGroups()
		spec.Policy.Balance = "hash"
		spec.Groups["yf"] = resources.Group{Endpoints: []resources.EndpointSpec{{Address: "10.0.0.1:1"}, {Address: "10.0.0.2:1"}, {Address: "10.0.0.3:1"}}}
		g := open(t, spec)
		at := map[string]int{}
		for range 300 {
			s := g.session()
			first := g.mustRoute(g.call(s, opGet))
			if again := g.mustRoute(g.call(s, opGet)); again != first {
				t.Fatalf("two calls of a session went to %s and %s", first, again)
			}
			at[first]++
		}
		if len(at) != 3 {
			t.Errorf("sessions are spread as %v", at)
		}
		byKey := map[uint64]string{}
		for i := range uint64(300) {
			c := g.call(g.session(), opGet)
			c.Key, c.HasKey = mix(i%30), true
			to := g.mustRoute(c)
			if was, ok := byKey[i%30]; ok && was != to {
				t.Fatalf("key %d went to %s and %s", i%30, was, to)
			}
			byKey[i%30] = to
		}
	})
}

func TestPartOfACallPassesFiltersBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(t, twoGroups())
		whole := g.call(g.session(), opGet)
		g.r.Begin(whole)
		for range 3 {
			part := *whole
			part.Depth = 0
			if ep, fault := g.r.Route(&part); fault != nil || ep.Inflight.Load() != 1 {
				t.Fatal(fault)
			}
			if g.end(&part, resources.OutcomeOK, resources.SentAnswered) != resources.Done {
				t.Fatal("part did not end")
			}
		}
		if st := g.r.Status(); st.Begun != 1 || st.Open != 1 || st.Rates.Total != 0 {
			t.Errorf("before the end: begun %d, open %d, counted %d", st.Begun, st.Open, st.Rates.Total)
		}
		g.end(whole, resources.OutcomeOK, resources.SentAnswered)
		if st := g.r.Status(); st.Begun != 1 || st.Open != 0 || st.Rates.Total != 1 {
			t.Errorf("after the end: begun %d, open %d, counted %d", st.Begun, st.Open, st.Rates.Total)
		}
	})
}
