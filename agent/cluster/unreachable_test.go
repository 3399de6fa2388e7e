package cluster

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// A driver asks sentinels and seeds that are no members: connecting to them must work.
func TestDialOfNoMember(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, _ := dialRig(t, "127.0.0.1:1", nil, nil)
	conn, fault := c.Dial(t.Context(), &resources.Endpoint{Address: ln.Addr().String(), ID: -1})
	if fault != nil {
		t.Fatal(fault)
	}
	conn.Close()
}

// Calls to a server that refuses connections must not wait for their turns.
func TestFailureEndsTheQueueForTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Member
		start := time.Now()
		now := func() int64 { return time.Since(start).Nanoseconds() + 1 }
		caps := resources.DialPolicy{Rate: 10, Concurrent: 100}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.turn(ctx, now(), caps); err != nil {
			t.Fatal(err)
		}
		waiting := make(chan error)
		go func() { waiting <- m.turn(ctx, now(), caps) }()
		synctest.Wait()
		time.Sleep(time.Millisecond)
		m.dial.failed(now(), "connection refused")
		if err := <-waiting; err == nil || err.Error() != "connection refused" || now() > 2e6 {
			t.Errorf("who waited got %v after %v", err, time.Since(start))
		}
		if err := m.turn(ctx, now(), caps); err == nil || err.Error() != "connection refused" {
			t.Errorf("who came right after it got %v", err)
		}
		m.dial.leave()
		time.Sleep(time.Duration(failureHolds) + 100*time.Millisecond)
		if err := m.turn(ctx, now(), caps); err != nil {
			t.Errorf("a moment later: %v", err)
		}
		m.dial.worked()
		if _, err := m.dial.failure(now()); err != nil {
			t.Errorf("after it worked: %v", err)
		}
	})
}

// An old primary that comes back takes itself for one until it is told otherwise. What is written to it is lost.
func TestReplicaOfTopologyMayNotClaimToBePrimary(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := discovering(t)
		report := func(a, b resources.Role) {
			m := members("a:1", "m:1", "n:1", "o:1")
			m[0].Role, m[1].Role = a, b
			g.report(m...)
		}
		report(resources.RolePrimary, resources.RoleReplica)
		g.f.set("a:1", resources.Health{Ready: true, Role: resources.RolePrimary})
		g.f.set("m:1", resources.Health{Ready: true, Role: resources.RolePrimary})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if a, m := g.member("a:1").Endpoint.Role(), g.member("m:1").Endpoint.Role(); a != resources.RolePrimary || m != resources.RoleReplica {
			t.Errorf("the primary is %v and the replica %v", a, m)
		}
		report(resources.RoleReplica, resources.RolePrimary)
		if a, m := g.member("a:1").Endpoint.Role(), g.member("m:1").Endpoint.Role(); a != resources.RoleReplica || m != resources.RolePrimary {
			t.Errorf("after a failover the old primary is %v and the new one %v", a, m)
		}
		g.f.set("m:1", resources.Health{Ready: true, Role: resources.RoleReplica}) // it denies
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if m := g.member("m:1").Endpoint.Role(); m != resources.RoleReplica {
			t.Errorf("a server that says it is a replica is %v", m)
		}
	})
}

// The last member of a group is not ejected, but calls that fail have it checked, so that it is soon known to be down.
func TestFailingCallsHurryTheCheck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, spec(1)).start()
		defer g.c.Close()
		time.Sleep(500 * time.Millisecond)
		g.f.set("a:1", resources.Health{})
		m := g.member("a:1")
		start := time.Now()
		for g.c.Status()[0].State != "down" {
			m.fail(g.c.now())
			time.Sleep(10 * time.Millisecond)
			if time.Since(start) > time.Minute {
				t.Fatal("it never is down")
			}
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("it was down after %v", took)
		}
	})
}
