package cluster

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// The last endpoint of a group is out with the first connection that is refused, and back with the first that is not.
func TestRefusedConnectionTakesOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for name, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": "unix:" + path} {
		t.Run(name, func(t *testing.T) {
			network, at := "unix", path
			if name == "tcp" {
				network, at = "tcp", address
			}
			ln := greeter(t, network, at, plain)
			if name == "tcp" {
				at, address = ln.Addr().String(), ln.Addr().String()
			}
			c, ep := dialRig(t, address, nil, nil)
			list := func() *List { return c.View().Pools[0].List(resources.RoleAny) }
			wantHi(t, c, ep)
			if err := ln.Close(); err != nil {
				t.Fatal(err)
			}
			if _, fault := c.Dial(t.Context(), ep); fault == nil || fault.Code != resources.Unavailable {
				t.Fatalf("a connection to nobody: %v", fault)
			}
			if l, st := list(), c.Status()[0]; l.Sound != 0 || len(l.Nodes) != 1 || st.State != "down" || st.Why == "" {
				t.Errorf("%d are sound and %d in use: %+v", l.Sound, len(l.Nodes), st)
			}
			if name == "tcp" {
				greeter(t, "tcp", at, plain)
			} else {
				greeter(t, "unix", at, plain)
			}
			time.Sleep(time.Duration(failureHolds)) // the failure speaks for those who come right after it
			wantHi(t, c, ep)
			if l, st := list(), c.Status()[0]; l.Sound != 1 || st.State == "down" || st.Why != "" {
				t.Errorf("%d are sound: %+v", l.Sound, st)
			}
		})
	}
}

// Only an answer says that nobody listens.
func TestWhatRefuses(t *testing.T) {
	for err, want := range map[error]bool{
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}:  true,
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENOENT)}:        true,
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}:  true,
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}:   true,
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ETIMEDOUT)}:     false,
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNRESET)}:    false,
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)}: false,
		&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}:         false,
		context.DeadlineExceeded: false, io.EOF: false, fs.ErrClosed: false, errors.New("connection refused"): false,
	} {
		if refuses(err) != want {
			t.Errorf("%v: %t, want %t", err, !want, want)
		}
	}
}

// refused says that a call, or a check, found nobody there.
func (g *rig) refused(address string, check bool) {
	ctx := g.t.Context()
	if check {
		ctx = context.WithValue(ctx, ofProbe{}, true)
	}
	g.c.noteListener(ctx, g.member(address), syscall.ECONNREFUSED)
	synctest.Wait()
}

// A server that refuses connections is checked about once a second, however rare checks are otherwise, and is back right after it is.
// That it still refuses does not bring its fall nearer.
func TestClosedEndpointIsWatched(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(2)
		s.Policy.Probe.Every = resources.Duration(10 * time.Minute)
		s.Policy.Probe.Fall = 2
		g := newRig(t, s).start()
		defer g.c.Close()
		for round := range 3 {
			g.f.set("a:1", resources.Health{})
			g.refused("a:1", false)
			g.wantUsed("b:1")
			was := g.f.checks.Load()
			time.Sleep(30 * time.Second)
			synctest.Wait()
			if n := g.f.checks.Load() - was; n < 25 || n > 40 {
				t.Errorf("round %d: %d checks in half a minute", round, n)
			}
			if m := g.member("a:1"); m.down || !m.closed.Load() {
				t.Errorf("round %d: down %t, closed %t", round, m.down, m.closed.Load())
			}
			g.f.set("a:1", resources.Health{Ready: true})
			time.Sleep(watchMost * 11 / 10)
			synctest.Wait()
			g.wantUsed("a:1", "b:1")
			was = g.f.checks.Load()
			time.Sleep(10 * time.Second)
			if n := g.f.checks.Load() - was; n > 0 {
				t.Errorf("round %d: %d checks after it was back", round, n)
			}
		}
	})
}

// A server that ends stops to listen first, and may go on to answer on the connections that it has: what a check hears that began before
// does not bring it back. The next one does, over a connection of its own; and nobody is told then that connecting failed a moment ago.
func TestCheckFromBeforeBringsNobodyBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(2)
		s.Policy.Probe.Every, s.Policy.Probe.Timeout = resources.Duration(10*time.Minute), resources.Duration(10*time.Second)
		g := newRig(t, s)
		g.f.slow = time.Second
		g.start()
		defer g.c.Close()
		time.Sleep(500 * time.Millisecond) // the first check is under way
		synctest.Wait()
		m := g.member("a:1")
		opened := g.f.opened.Load()
		g.refused("a:1", false)
		m.dial.failed(g.c.now(), "connection refused")
		g.wantUsed("b:1")
		time.Sleep(550 * time.Millisecond) // it has ended
		synctest.Wait()
		g.wantUsed("b:1")
		if n := g.f.opened.Load(); n != opened {
			t.Errorf("%d probes are open, before it was refused %d", n, opened)
		}
		m.dial.failed(g.c.now(), "connection refused")
		time.Sleep(1200 * time.Millisecond)
		synctest.Wait()
		g.wantUsed("a:1", "b:1")
		m.dial.failed(g.c.now(), "connection refused")
		g.refused("a:1", false)
		g.c.noteListener(t.Context(), m, nil)
		if _, why := m.dial.failure(g.c.now()); why != nil {
			t.Errorf("who connects to an endpoint that is back is told: %v", why)
		}
	})
}

// A check that is refused counts as any bad check, at its time; and takes the endpoint out at once.
func TestClosedEndpointFallsAtItsTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(1)
		s.Policy.Probe.Every, s.Policy.Probe.Fall = resources.Duration(10*time.Second), 3
		g := newRig(t, s).start()
		defer g.c.Close()
		g.f.set("a:1", resources.Health{})
		g.refused("a:1", true)
		if l := g.c.View().Pools[0].List(resources.RoleAny); l.Sound != 0 {
			t.Error("it is still sound")
		}
		down := func() bool { g.c.mu.Lock(); defer g.c.mu.Unlock(); return g.member("a:1").down }
		time.Sleep(26 * time.Second)
		if down() {
			t.Error("it is down before three checks")
		}
		time.Sleep(9 * time.Second)
		if !down() {
			t.Error("it is not down after three checks")
		}
		g.f.set("a:1", resources.Health{Ready: true})
		time.Sleep(watchMost * 11 / 10)
		synctest.Wait()
		if st := g.c.Status()[0].State; st != "up" {
			t.Errorf("it is %s", st)
		}
	})
}

// When most of a group is out all of it is tried, but not those of which it is certain that they cannot be reached. When that are all,
// they are.
func TestPanicLeavesOutWhatRefuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(4)
		s.Policy.Probe.Every = resources.Duration(10 * time.Minute)
		g := newRig(t, s).start()
		defer g.c.Close()
		for _, a := range []string{"a:1", "b:1", "c:1"} {
			g.f.set(a, resources.Health{})
			g.refused(a, false)
		}
		g.wantUsed("d:1")
		g.calls(g.member("d:1"), failure, 20)
		if st := g.c.Status()[3]; st.State != "up" {
			t.Errorf("the last one that can be reached is %s", st.State)
		}
		g.f.set("d:1", resources.Health{})
		g.refused("d:1", false)
		g.wantUsed("a:1", "b:1", "c:1", "d:1")
	})
}

// Calls that nobody took do not eject: a server that is started again is used at once.
func TestClosedEndpointIsNotEjected(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(3)
		s.Policy.Eject.Base = resources.Duration(time.Minute)
		g := newRig(t, s).start()
		defer g.c.Close()
		m := g.member("a:1")
		g.calls(m, failure, 4)
		g.f.set("a:1", resources.Health{})
		g.refused("a:1", false)
		g.calls(m, failure, 20)
		g.f.set("a:1", resources.Health{Ready: true})
		time.Sleep(watchMost * 11 / 10)
		synctest.Wait()
		g.calls(m, failure, 1)
		g.wantUsed("a:1", "b:1", "c:1")
		if st := g.c.Status()[0]; st.Ejections != 0 || st.State != "up" {
			t.Errorf("status %+v", st)
		}
	})
}
