package runtime

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

// value returns a series of the resource by name and label values; -1 when there is none.
func (g *rig) value(name string, labels ...string) float64 {
	out := -1.0
	g.reg.Gather(func(p *metrics.Point) {
		if p.Name != name {
			return
		}
		for _, want := range labels {
			found := false
			for _, l := range p.Labels {
				found = found || l.Value == want
			}
			if !found {
				return
			}
		}
		out = p.Value
	})
	return out
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func TestSessionsAreCountedPinnedAndRefused(t *testing.T) {
	spec := twoGroups()
	spec.Policy.MaxSessions = 2
	g := open(t, spec)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dial := func() net.Conn {
		client, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		g.r.Accept(conn)
		return client
	}
	one, two := dial(), dial()
	defer two.Close()
	third := dial()
	defer third.Close()
	said, _ := io.ReadAll(third)
	if want := "limited: sluice: cache: too many clients: policy.max-sessions is 2"; string(said) != want {
		t.Errorf("the third client was told %q", said)
	}
	list := g.r.Sessions()
	if len(list) != 2 || g.value(metrics.Sessions) != 2 || list[0].Caller != "web" || !strings.HasPrefix(list[0].Client, "127.0.0.1:") {
		t.Fatalf("sessions %+v, gauge %v", list, g.value(metrics.Sessions))
	}
	var s *resources.Session
	g.r.sessions.each(func(x *resources.Session) {
		if x.ID == list[0].ID {
			s = x
		}
	})
	s.SetPins(resources.PinTxn) // a driver may set the pins itself first
	why := "an open transaction"
	s.SetPinReason(&why)
	g.r.Pinned(s, resources.PinTxn)
	g.r.Pinned(s, resources.PinTxn|resources.PinWatch)
	g.r.Pinned(s, resources.PinWatch)
	if g.value(metrics.PinnedSessions, "txn") != 0 || g.value(metrics.PinnedSessions, "watch") != 1 || g.r.Status().Pinned["watch"] != 1 {
		t.Errorf("pins: %v", g.r.Status().Pinned)
	}
	if got := g.r.Sessions()[0]; got.Why != why || len(got.Pins) != 1 {
		t.Errorf("a pinned session is shown as %+v, want the reason %q", got, why)
	}
	g.r.Pinned(s, 0)
	if got := g.r.Sessions()[0]; got.Why != "" {
		t.Errorf("a session without pins has the reason %q", got.Why)
	}
	one.Close()
	eventually(t, "the session is forgotten", func() bool { return g.value(metrics.Sessions) == 1 })
	if g.value(metrics.PinnedSessions, "watch") != 0 {
		t.Error("a closed session still counts as pinned")
	}
	dial().Close()

	if err := g.r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	late := dial()
	defer late.Close()
	if n, err := late.Read(make([]byte, 1)); err == nil {
		t.Errorf("a client was served after the shutdown: %d bytes", n)
	}
	if g.r.Ready() || g.value(metrics.Sessions) != 0 {
		t.Errorf("after the shutdown: ready %t, sessions %v", g.r.Ready(), g.value(metrics.Sessions))
	}
}

func TestConnectionsAndMismatchesAreCounted(t *testing.T) {
	g := open(t, twoGroups())
	ep := (host{g.r}).Endpoints()[0]
	g.r.Connections(ep, "shared", 2)
	g.r.Connections(ep, "paired", 1)
	g.r.Connections(ep, "shared", -1)
	if got := g.value(metrics.UpstreamConnections, ep.Address, "shared"); got != 1 {
		t.Errorf("shared connections: %v", got)
	}
	if st := g.r.Status(); st.Upstream != 2 {
		t.Errorf("upstream connections: %d", st.Upstream)
	}
	g.r.Mismatch()
	g.r.Dropped("notice")
	if g.value(metrics.ReplyMismatchTotal) != 1 || g.r.Status().Mismatches != 1 || g.value(metrics.DroppedTotal, "notice") != 1 {
		t.Error("a mismatch or a drop was not counted")
	}
}

func TestChooseKeepsOffGroupsThatAreSwitchedOff(t *testing.T) {
	spec := twoGroups()
	g := open(t, spec)
	for range 20 {
		if ep := g.r.Choose(true); ep.Address != "10.0.0.1:1" {
			t.Fatalf("chose %s", ep.Address)
		}
	}
	g.update(spec, switchTo("c-1", resources.Match{}, map[string]int{"tc": 1}))
	for range 20 {
		if ep := g.r.Choose(false); ep.Group != "tc" {
			t.Fatalf("chose %s", ep.Address)
		}
	}
}

func TestReadyAfterTheFirstProbesAndNotWhileShutDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := twoGroups()
		d := &fakeDriver{health: map[string]resources.Health{"10.0.0.1:1": {}}, conns: map[net.Conn]bool{}}
		r, err := Open(Options{Spec: spec, Driver: d})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !r.Ready() {
			t.Error("not ready although all endpoints were probed")
		}
		spec.Groups["tc"] = resources.Group{Endpoints: []resources.EndpointSpec{{Address: "10.7.0.1:1"}}}
		if err := r.Update(spec, nil); err != nil || !r.Ready() {
			t.Error("a new endpoint makes it unready", err)
		}
		if err := r.Shutdown(t.Context()); err != nil || r.Ready() {
			t.Error("ready after the shutdown", err)
		}
		if err := r.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestActiveCommandsAreCounted(t *testing.T) {
	spec := twoGroups()
	g := open(t, spec)
	g.update(spec, manyCommands()...)
	for _, kind := range []string{"switch", "degrade", "limit", "fault", "mock"} {
		if got := g.value(metrics.CommandsActive, kind); got != 1 {
			t.Errorf("%s: %v", kind, got)
		}
	}
	g.update(spec)
	if got := g.value(metrics.CommandsActive, "switch"); got != 0 {
		t.Errorf("after the undo: %v", got)
	}
}
