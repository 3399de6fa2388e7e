package redis

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// fakeRuntime is the least that a driver needs: fixed endpoints, no filters but hooks.
type fakeRuntime struct {
	t      testing.TB
	ops    *resources.Ops
	eps    []*resources.Endpoint
	policy resources.Policy
	begin  func(*resources.Call) *resources.Stop // may be nil

	mu         sync.Mutex
	begun      atomic.Int64
	ended      atomic.Int64
	closed     atomic.Int64
	mismatches atomic.Int64
	conns      sync.Map // "endpoint mode" -> *atomic.Int64
	routes     func(*resources.Call) *resources.Endpoint
	leave      atomic.Bool
}

func newFake(t testing.TB, addrs ...string) *fakeRuntime {
	f := &fakeRuntime{t: t, ops: resources.NewOps((&Driver{}).Ops()), policy: resources.DefaultPolicy()}
	f.policy.Timeout = resources.Duration(time.Second)
	for i, a := range addrs {
		ep := &resources.Endpoint{Resource: "test", Group: "g", Address: a, ID: i}
		ep.SetWeight(100)
		f.eps = append(f.eps, ep)
	}
	return f
}

func (f *fakeRuntime) Name() string        { return "test" }
func (f *fakeRuntime) Ops() *resources.Ops { return f.ops }
func (f *fakeRuntime) OpsChanged()         {}
func (f *fakeRuntime) Begin(c *resources.Call) *resources.Stop {
	f.begun.Add(1)
	c.Deadline = c.Start + int64(f.policy.Timeout)
	if f.begin != nil {
		return f.begin(c)
	}
	return nil
}
func (f *fakeRuntime) Route(c *resources.Call) (*resources.Endpoint, *resources.Fault) {
	switch {
	case c.Pinned:
	case c.Place != nil && c.Place.Primary != nil:
		c.Endpoint = c.Place.Primary
	case f.routes != nil:
		c.Endpoint = f.routes(&*c)
	default:
		c.Endpoint = f.eps[int(c.Attempt)%len(f.eps)]
	}
	if c.Endpoint == nil {
		return nil, resources.NewFault(resources.Unavailable, resources.FromAgent, "test", "no endpoint")
	}
	return c.Endpoint, nil
}
func (f *fakeRuntime) Group(*resources.Call) int                  { return 0 }
func (f *fakeRuntime) Backup(*resources.Call) *resources.Endpoint { return nil }
func (f *fakeRuntime) End(c *resources.Call) resources.Next {
	if c.Redirect != nil {
		c.Endpoint, c.Redirect = c.Redirect, nil
		return resources.Again
	}
	if c.Outcome.Failure() && c.Attempt < 2 && c.Retry != resources.RetryNever && (c.Sent == resources.SentNothing || c.Retry == resources.RetryIdempotent && c.Sent == resources.SentSome) {
		c.Attempt++
		if _, fault := f.Route(c); fault == nil {
			return resources.Again
		}
	}
	f.ended.Add(1)
	return resources.Done
}
func (f *fakeRuntime) Boundary(*resources.Session, *resources.Endpoint) resources.Move {
	if f.leave.Load() {
		return resources.Leave
	}
	return resources.Stay
}
func (f *fakeRuntime) Closed(*resources.Session)                    { f.closed.Add(1) }
func (f *fakeRuntime) Pinned(s *resources.Session, p resources.Pin) { s.SetPins(p) }
func (f *fakeRuntime) Dial(ctx context.Context, ep *resources.Endpoint) (net.Conn, *resources.Fault) {
	var d net.Dialer
	network, addr := "tcp", ep.Address
	if len(addr) > 5 && addr[:5] == "unix:" {
		network, addr = "unix", addr[5:]
	}
	nc, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, resources.NewFault(resources.Unavailable, resources.FromUpstream, "test", err.Error())
	}
	return nc, nil
}
func (f *fakeRuntime) Connections(ep *resources.Endpoint, mode string, d int) {
	v, _ := f.conns.LoadOrStore(mode, &atomic.Int64{})
	v.(*atomic.Int64).Add(int64(d))
}
func (f *fakeRuntime) open(mode string) int64 {
	v, _ := f.conns.LoadOrStore(mode, &atomic.Int64{})
	return v.(*atomic.Int64).Load()
}
func (f *fakeRuntime) Report(*resources.Endpoint, resources.Health) {}
func (f *fakeRuntime) Endpoints() []*resources.Endpoint             { return f.eps }
func (f *fakeRuntime) Choose(bool) *resources.Endpoint              { return f.eps[0] }
func (f *fakeRuntime) Policy() *resources.Policy                    { return &f.policy }
func (f *fakeRuntime) Mismatch()                                    { f.mismatches.Add(1) }
func (f *fakeRuntime) Dropped(string)                               {}
func (f *fakeRuntime) Log(level, msg string, kv ...any) {
	if level == "error" {
		f.t.Log(level, msg, fmt.Sprint(kv...))
	}
}

// agent is a resource with a listener in front.
type agent struct {
	*fakeRuntime
	res  *Resource
	addr string
	ids  atomic.Uint64
}

func startAgent(t testing.TB, f *fakeRuntime, set *Settings) *agent {
	t.Helper()
	if set == nil {
		set = &Settings{}
	}
	if err := set.fill(); err != nil {
		t.Fatal(err)
	}
	res, err := (&Driver{Loops: 2}).Open(set, f)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{fakeRuntime: f, res: res.(*Resource), addr: ln.Addr().String()}
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			rs := &resources.Session{ID: a.ids.Add(1), Resource: "test", Client: nc.RemoteAddr().String()}
			rs.SetIdentity(&resources.Identity{Caller: "test"})
			a.res.Serve(nc, rs)
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = a.res.Shutdown(ctx)
		if n := f.mismatches.Load(); n != 0 {
			t.Errorf("%d replies could not be matched with requests", n)
		}
		if b, e := f.begun.Load(), f.ended.Load(); b > e {
			t.Errorf("%d calls began and %d ended", b, e)
		}
		for _, m := range []string{modeShared, modeLeased, modePaired} {
			if n := f.open(m); n != 0 {
				t.Errorf("%d %s connections are counted after the end", n, m)
			}
		}
	})
	return a
}
