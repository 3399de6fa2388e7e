//go:build long

package etcd

import (
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/testenv/server"
)

func TestLongStoreOfThreeMembers(t *testing.T) { conform(t, 3) }

// Member after member is killed or paused, the leader each time, while commits are made.
func TestLongLeadersGo(t *testing.T) {
	c, conf := threeMembers(t)
	s := open(t, conf)
	w := s.Watch(t.Context(), "load/", 0)
	l := startLoad(t, conf, 4)
	for i := range 6 {
		l.goOn(100)
		leader := c.Leader(t)
		if i%2 == 0 {
			leader.Kill()
			l.goOn(100)
			leader.Restart()
		} else {
			leader.Pause()
			l.goOn(100)
			leader.Continue()
		}
	}
	l.goOn(100)
	l.check(s, w)
}

// A member that takes connections and does not answer is left by watches, reads and leaders.
func TestLongMemberPaused(t *testing.T) {
	c, conf := threeMembers(t)
	s := open(t, conf)
	leads, err := s.Lead(t.Context(), "x", "me")
	if err != nil {
		t.Fatal(err)
	}
	w := s.Watch(t.Context(), "load/", 0)
	l := startLoad(t, conf, 3)
	for _, m := range c.Members {
		l.goOn(30)
		m.Pause()
		l.goOn(30)
		if _, err := s.Get(t.Context(), "none"); err == nil || err.Error() != "get none: not found" {
			t.Errorf("get while %s is paused: %v", m.Name, err)
		}
		m.Continue()
	}
	l.check(s, w)
	server.Wait(t, 2*store.LeaseTime, "a leader", func() error {
		_, err := s.Leader(t.Context(), "x")
		return err
	})
	select {
	case <-leads.Lost():
		t.Log("the leadership was lost, which is allowed")
	default:
		if _, err := s.Commit(t.Context(), store.Txn{If: []store.Cond{leads.Guard()}, Then: []store.Op{{Key: "led"}}}); err != nil {
			t.Errorf("a leader that lost nothing: %v", err)
		}
	}
}

// The process of a leader is gone without a word: another one leads when its lease has ended, and not before.
func TestLongLeaderGone(t *testing.T) {
	c := server.Start(t, server.Etcd{})
	conf := Config{Endpoints: c.Endpoints()}
	gone, next := open(t, conf), open(t, conf)
	lead, err := gone.Lead(t.Context(), "x", "one")
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	_ = gone.client.Close() // nothing is revoked
	if _, err := next.Lead(t.Context(), "x", "two"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took > store.LeaseTime+5*time.Second || took < store.LeaseTime/3 {
		t.Errorf("the next leader led after %v", took)
	}
	select {
	case <-lead.Lost():
	case <-time.After(time.Second):
		t.Error("the first leader does not know")
	}
}
