package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// TestStaleReplicaGetsNoReads: it stays up, and comes back when its server says that it has caught up. A report without a
// role says nothing about that.
func TestStaleReplicaGetsNoReads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, spec(3))
		g.say("P R R")
		g.start()
		defer g.c.Close()
		late := resources.Health{Ready: true, Role: resources.RoleReplica, Stale: true, Detail: "it is 20s behind"}
		g.f.set("b:1", late)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		g.wantUsed("a:1", "c:1")
		if got := g.used("g", resources.RoleReplica); len(got) != 1 || got[0] != "c:1" {
			t.Errorf("replicas in use: %v", got)
		}
		b := g.member("b:1")
		if s := g.c.Status()[b.Endpoint.ID]; s.State != "stale" || s.Why != late.Detail {
			t.Errorf("status: %s, %s", s.State, s.Why)
		}
		if !b.Sound() {
			t.Error("a replica that lags is up")
		}
		g.c.Report(b.Endpoint, resources.Health{Ready: true, Version: "1"})
		g.wantUsed("a:1", "c:1")
		g.f.set("c:1", late)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := g.used("g", resources.RoleReplica); len(got) != 0 {
			t.Errorf("replicas in use: %v", got)
		}
		g.wantUsed("a:1")
		g.say("R P R") // the replica is promoted: what it has is what there is
		time.Sleep(5 * time.Second)
		synctest.Wait()
		g.wantUsed("a:1", "b:1", "c:1")
	})
}
