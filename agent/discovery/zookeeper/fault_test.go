package zookeeper

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/agent/discovery/discoverytest"
	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/server"
)

var discard = slog.New(slog.DiscardHandler)

func contextWithTimeout(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), discoverytest.Patience)
}

func TestFaults(t *testing.T) {
	discoverytest.RunFaults(t, func(t *testing.T) discoverytest.Registry {
		z := server.Start(t, server.ZooKeeper{MaxSession: time.Minute})
		p := fault.Start(t, fault.Options{Target: z.Addr})
		var now fault.Kind
		return discoverytest.Registry{
			Addr: z.Addr, Proxied: p.Addr,
			Open:     func(t *testing.T, addr string, session time.Duration) discovery.Source { return open(t, session, addr) },
			Kill:     z.Kill,
			Restart:  z.Restart,
			Reset:    func() { p.ResetAll() },
			Cut:      func() { now = fault.KindRefuse; p.Set(fault.Refuse()); p.ResetAll() },
			Swallow:  func() { now = fault.KindBlackhole; p.Set(fault.Blackhole()) },
			Mend:     p.Clear,
			Happened: func() { t.Helper(); p.MustHaveFired(t, now) },
		}
	})
}

var feed = discovery.Service{Group: "feed", Path: "svc"}

// A server that accepts connections and does not answer is given up in the time of a session, and the next attempt is made. The
// library alone would wait 13 s for each.
func TestHandshakeThatHangs(t *testing.T) {
	t.Parallel()
	z := server.Start(t, server.ZooKeeper{})
	p := fault.Start(t, fault.Options{Target: z.Addr})
	p.Set(fault.StallAfter(0).Down())
	start := time.Now()
	s := opened(t, p.Addr)
	discoverytest.Eventually(t, "three attempts", func() error {
		if p.Opened() < 3 {
			return fmt.Errorf("%d so far", p.Opened())
		}
		return nil
	})
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("three attempts took %v", took)
	}
	p.MustHaveFired(t, fault.KindStall)
	p.Clear()
	discoverytest.Eventually(t, "a session", func() error {
		if st := s.Status(); !st.Connected {
			return fmt.Errorf("status is %+v", st)
		}
		return nil
	})
}

// When a connection is made again within a session, the watches of before are armed first, and only then comes what has waited.
// Otherwise the answers to that would move the point from which on the server looks for what the watches have missed.
func TestNothingIsMissedBetweenConnections(t *testing.T) {
	t.Parallel()
	z := server.Start(t, server.ZooKeeper{MaxSession: 20 * time.Second})
	p := fault.Start(t, fault.Options{Target: z.Addr})
	s, err := Open(Options{Servers: []string{p.Addr}, Session: 20 * time.Second, Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := newRaw(t, z.Addr)
	const path = "/motan/feed/svc/server/10.0.0.1:80"
	url := func(i int) string { return fmt.Sprintf("motan2://10.0.0.1:80/svc?group=feed&META_WEIGHT=%d", 10+i) }
	b.make(path, url(0))
	w := discoverytest.Watch(t, s, feed)
	weight := func(i int) {
		t.Helper()
		w.Until(fmt.Sprint("weight ", 100+10*i), func(r discovery.Report) bool { return len(r.Nodes) == 1 && r.Nodes[0].Weight == 100+10*i })
	}
	weight(0)
	for round := 1; round <= 30; round++ {
		// Requests that the library has taken and cannot send: they are the first in its queue when there is a connection again.
		p.ResetAll()
		var waiting sync.WaitGroup
		for range 8 {
			waiting.Go(func() { _, _, _ = s.conn.Get("/motan/feed") })
		}
		if _, err := b.Set(path, []byte(url(round)), -1); err != nil {
			t.Fatal(err)
		}
		weight(round)
		waiting.Wait()
	}
	if st := s.Status(); st.Sessions != 1 {
		t.Errorf("status is %+v", st)
	}
}

// The library's errors have the names that lost goes by.
func TestLost(t *testing.T) {
	for _, err := range []error{zk.ErrConnectionClosed, zk.ErrNoServer, zk.ErrSessionExpired, zk.ErrClosing} {
		if !lost(fmt.Errorf("wrapped: %w", err)) {
			t.Errorf("%v", err)
		}
	}
	if lost(zk.ErrNoNode) || lost(nil) {
		t.Error("not every error is of the connection")
	}
}
