package servicetest

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/resources"
)

// Driver is the driver of a kind whose resources share addresses.
type Driver interface {
	resources.Driver
	resources.Sharing
}

// World is an address with the services behind it. It is the lobby of its door.
type World struct {
	T    testing.TB
	Addr string // where clients connect
	Door resources.Door

	driver Driver
	said   atomic.Pointer[map[string]string]
	loops  *loop.Group
	open   map[resources.Resource]*Runtime
}

// Metadata implements resources.Lobby.
func (w *World) Metadata() map[string]string {
	if p := w.said.Load(); p != nil {
		return *p
	}
	return nil
}

// Say sets what the agent tells of itself; nil: nobody can say anything.
func (w *World) Say(said map[string]string) {
	if said == nil {
		w.said.Store(nil)
		return
	}
	w.said.Store(&said)
}

// NewWorld opens a door on a free port, with two loops. It ends with the test.
func NewWorld(t testing.TB, d Driver) *World {
	loops, err := loop.NewGroup(2)
	if err != nil {
		t.Fatal(err)
	}
	w := &World{T: t, driver: d, loops: loops, open: map[resources.Resource]*Runtime{}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.Addr = ln.Addr().String()
	if w.Door, err = d.OpenDoor(w); err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			w.Door.Serve(nc)
		}
	})
	t.Cleanup(func() {
		ln.Close()
		accepting.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := w.Door.Shutdown(ctx); err != nil {
			t.Errorf("the door: %v", err)
		}
		for r, f := range w.open {
			if err := r.Shutdown(ctx); err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
			if f.Begun.Load() != f.Ended.Load() || f.Entered.Load() != f.Left.Load() || f.Open.Load() != 0 {
				t.Errorf("%s: %d calls began and %d ended, %d sessions began and %d ended, %d connections are open",
					f.name, f.Begun.Load(), f.Ended.Load(), f.Entered.Load(), f.Left.Load(), f.Open.Load())
			}
		}
		loops.Stop()
	})
	return w
}

func (w *World) Address() string    { return w.Addr }
func (w *World) Loops() *loop.Group { return w.loops }
func (w *World) Enter(r resources.Resource, client net.Addr, id *resources.Identity) (*resources.Session, *resources.Fault) {
	f := w.open[r]
	s := &resources.Session{ID: uint64(f.Entered.Add(1)), Resource: f.name, Client: client.String()}
	if id == nil {
		id = &resources.Identity{Caller: "agent's app"}
	}
	s.SetIdentity(id)
	return s, nil
}

// Opened returns the services that there are.
func (w *World) Opened() []resources.Resource { return slices.Collect(maps.Keys(w.open)) }

// Runtime returns the runtime of a service with some endpoints, for Open.
func (w *World) Runtime(name string, addrs ...string) *Runtime {
	return NewRuntime(w.T, w.loops, w.driver.Ops(), name, addrs...)
}

// Open opens services of the runtimes, with settings that are filled, and lets the door lead to all.
func (w *World) Open(set map[*Runtime]resources.Settings) {
	w.T.Helper()
	for f, s := range set {
		r, err := w.driver.Open(s, f)
		if err != nil {
			w.T.Fatal(err)
		}
		w.open[r] = f
	}
	w.Door.Lead(w.Opened())
}
