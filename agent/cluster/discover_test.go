package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

func members(addresses ...string) []resources.Member {
	out := []resources.Member{}
	for _, a := range addresses {
		out = append(out, resources.Member{Address: a})
	}
	return out
}

// discovering returns a rig whose topology has reported four members.
func discovering(t *testing.T) *rig {
	g := newRig(t, spec(2))
	g.f.reports = make(chan []resources.Member)
	g.start()
	t.Cleanup(g.c.Close)
	g.wantUsed("a:1", "b:1")
	g.report(members("a:1", "m:1", "n:1", "o:1")...)
	g.wantUsed("a:1", "m:1", "n:1", "o:1")
	return g
}

func (g *rig) report(m ...resources.Member) {
	g.f.reports <- m
	synctest.Wait()
}

func TestDiscoveredMembersTakeThePlaceOfSeeds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := discovering(t)
		m, changes := g.member("m:1"), g.changes.Load()
		if !g.c.Status()[g.index("m:1")].Discovered {
			t.Error("m:1 does not say that it was discovered")
		}
		g.report(append(members("m:1", "n:1", "p:1"), resources.Member{Address: "q:1", Role: resources.RoleReplica})...)
		g.wantUsed("m:1", "n:1", "p:1", "q:1")
		if g.member("m:1") != m || g.member("q:1").Endpoint.Role() != resources.RoleReplica || g.changes.Load() != changes+1 {
			t.Error("identity, role or the notice is wrong")
		}
		s := spec(2)
		w := 40
		s.Groups["g"].Endpoints[0].Address, s.Groups["g"].Endpoints[0].Weight = "m:1", &w
		g.apply(s) // other seeds: what was found stays until there is news
		g.wantUsed("m:1", "n:1", "p:1", "q:1")
		if m.Endpoint.Weight() != 40 {
			t.Error("a weight that is declared for a discovered member does not hold")
		}
	})
}

func (g *rig) index(address string) int {
	for i, st := range g.c.Status() {
		if st.Address == address {
			return i
		}
	}
	return -1
}

func TestShrinkingReportIsHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := discovering(t)
		g.report(members("m:1", "n:1")...) // half is not more than half
		g.wantUsed("m:1", "n:1")
		g.report(members("m:1", "n:1", "o:1", "p:1")...)
		g.report(members("m:1")...)
		g.wantUsed("m:1", "n:1", "o:1", "p:1")
		time.Sleep(29 * time.Second)
		g.report(members("n:1")...) // still too few: the time goes on, and the newest report counts
		g.wantUsed("m:1", "n:1", "o:1", "p:1")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		g.wantUsed("n:1")
	})
}

func TestFullerReportSupersedesAHeldOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := discovering(t)
		g.report(members("m:1")...)
		g.report(members("m:1", "n:1", "o:1")...)
		g.wantUsed("m:1", "n:1", "o:1")
		time.Sleep(time.Minute)
		synctest.Wait()
		g.wantUsed("m:1", "n:1", "o:1")
	})
}

func TestShrinkingReportIsBelievedWhenProbesAgree(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := discovering(t)
		for _, a := range []string{"a:1", "n:1", "o:1"} {
			g.f.set(a, resources.Health{})
		}
		g.report(members("m:1")...)
		time.Sleep(8 * time.Second)
		synctest.Wait()
		g.wantUsed("m:1")
	})
}

func TestEmptyReportNeedsTimeAndProbes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := discovering(t)
		g.report()
		time.Sleep(time.Hour)
		synctest.Wait()
		g.wantUsed("a:1", "m:1", "n:1", "o:1") // they answer: the list is wrong
		for _, a := range []string{"a:1", "m:1", "n:1", "o:1"} {
			g.f.set(a, resources.Health{})
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		g.wantUsed("b:1") // back to what is configured, of which a:1 is known to be down
	})
}

func TestFailedWatchIsTriedAgainAndKeepsTheMembers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := discovering(t)
		old := g.f.reports
		close(old) // Watch fails at once, again and again
		time.Sleep(time.Minute)
		synctest.Wait()
		g.wantUsed("a:1", "m:1", "n:1", "o:1")
		s := spec(2)
		delete(s.Groups, "g")
		s.Groups["h"] = resources.Group{Endpoints: []resources.EndpointSpec{{Address: "x:1"}}}
		g.apply(s) // an operator takes the group away: at once
		if len(g.c.View().Endpoints) != 1 {
			t.Errorf("%d endpoints are left", len(g.c.View().Endpoints))
		}
	})
}
