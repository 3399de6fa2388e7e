package mysql

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/resources"
)

// fakeRuntime is the least that the driver needs: endpoints, a filter that is a hook, and retries as the rules allow them.
// It checks that every call that began ended once.
type fakeRuntime struct {
	resources.Runtime // nil: what is not overridden is not asked for

	t      testing.TB
	loops  *loop.Group
	ops    *resources.Ops
	policy resources.Policy

	serverTLS, clientTLS *tls.Config // nil: none

	eps    []*resources.Endpoint
	begin  func(*resources.Call) *resources.Stop // nil: let everything pass
	dialed func(net.Conn) net.Conn               // what becomes of a new connection to a server; nil: nothing

	accepted func(net.Conn) net.Conn // what becomes of a new connection of a client; nil: nothing

	begun      atomic.Int64
	ended      atomic.Int64
	closed     atomic.Int64
	dials      atomic.Int64
	mismatches atomic.Int64
	open       atomic.Int64 // connections to servers
	leave      atomic.Bool
	drains     atomic.Bool
}

func newFake(t testing.TB, addrs ...string) *fakeRuntime {
	f := &fakeRuntime{t: t, ops: resources.NewOps((&Driver{}).Ops()), policy: resources.DefaultPolicy()}
	f.policy.Timeout = 0
	var err error
	if f.loops, err = loop.NewGroup(2); err != nil {
		t.Fatal(err)
	}
	for i, a := range addrs {
		ep := &resources.Endpoint{Resource: "test", Group: "g", Address: a, ID: i}
		ep.SetWeight(100)
		f.eps = append(f.eps, ep)
	}
	return f
}

func (f *fakeRuntime) Name() string                                 { return "test" }
func (f *fakeRuntime) Loops() (*loop.Group, error)                  { return f.loops, nil }
func (f *fakeRuntime) Ops() *resources.Ops                          { return f.ops }
func (f *fakeRuntime) OpsChanged()                                  {}
func (f *fakeRuntime) ServerTLS() *tls.Config                       { return f.serverTLS }
func (f *fakeRuntime) ClientTLS(*resources.Endpoint) *tls.Config    { return f.clientTLS }
func (f *fakeRuntime) Group(*resources.Call) int                    { return 0 }
func (f *fakeRuntime) Counter(string, ...string) resources.Counter  { return new(count) }
func (f *fakeRuntime) Spare(int) bool                               { return true }
func (f *fakeRuntime) Report(*resources.Endpoint, resources.Health) {}
func (f *fakeRuntime) Endpoints() []*resources.Endpoint             { return f.eps }
func (f *fakeRuntime) Choose(bool) *resources.Endpoint              { return f.eps[0] }
func (f *fakeRuntime) Policy() *resources.Policy                    { return &f.policy }
func (f *fakeRuntime) Dropped(string)                               {}
func (f *fakeRuntime) Closed(*resources.Session)                    { f.closed.Add(1) }
func (f *fakeRuntime) Pinned(s *resources.Session, p resources.Pin) {
	s.SetPins(p)
}

func (f *fakeRuntime) Mismatch() {
	f.mismatches.Add(1)
}

func (f *fakeRuntime) Log(level, msg string, kv ...any) {
	if level == "error" {
		f.t.Log(level, msg, fmt.Sprint(kv...))
	}
}

// What the runtime keeps in Call.Depth of a call, to find calls that end twice.
const (
	depthBegun = 1
	depthEnded = 2
)

func (f *fakeRuntime) Begin(c *resources.Call) *resources.Stop {
	f.begun.Add(1)
	c.Depth = depthBegun
	if d := f.policy.Timeout; d > 0 {
		c.Deadline = c.Start + int64(d)
	}
	if f.begin != nil {
		return f.begin(c)
	}
	return nil
}

func (f *fakeRuntime) Route(c *resources.Call) (*resources.Endpoint, *resources.Fault) {
	if !c.Pinned {
		c.Endpoint = f.eps[int(c.Attempt)%len(f.eps)]
	}
	return c.Endpoint, nil
}

func (f *fakeRuntime) End(c *resources.Call) resources.Next {
	if c.Depth == depthEnded {
		f.t.Errorf("a call of %s ended twice", f.ops.Info(c.Op).Name)
	}
	mayRepeat := c.Sent == resources.SentNothing && c.Retry != resources.RetryNever ||
		c.Sent == resources.SentSome && c.Retry == resources.RetryIdempotent
	if c.Outcome.Failure() && c.Attempt < 2 && mayRepeat && c.Depth == depthBegun {
		c.Attempt++
		if _, fault := f.Route(c); fault == nil {
			return resources.Again
		}
	}
	f.ended.Add(1)
	c.Depth = depthEnded
	return resources.Done
}

func (f *fakeRuntime) Boundary(*resources.Session, *resources.Endpoint) resources.Move {
	if f.drains.Load() {
		return resources.Drain
	}
	if f.leave.Load() {
		return resources.Leave
	}
	return resources.Stay
}

func (f *fakeRuntime) Dial(ctx context.Context, ep *resources.Endpoint) (net.Conn, *resources.Fault) {
	f.dials.Add(1)
	var d net.Dialer
	network, addr := "tcp", ep.Address
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	}
	nc, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, resources.NewFault(resources.Unavailable, resources.FromUpstream, "test", err.Error())
	}
	if f.dialed != nil {
		nc = f.dialed(nc)
	}
	return nc, nil
}

func (f *fakeRuntime) Connections(_ *resources.Endpoint, _ string, d int) { f.open.Add(int64(d)) }

// agent is a resource with a listener in front.
type agent struct {
	*fakeRuntime
	res  *Resource
	addr string

	ids      atomic.Uint64
	sessions sync.Map // remote address of the client -> *resources.Session
}

// testSettings are those of a pool with room for max connections, and one user: app, who logs in as app.
func testSettings(max int) *Settings {
	secret, _ := resources.NewSecret("secret")
	return &Settings{
		Users: []User{{Name: "app", Password: secret, Upstream: Credential{Name: "app", Password: secret}}},
		Pool:  Pool{Max: max},
	}
}

func startAgent(t testing.TB, f *fakeRuntime, set *Settings) *agent {
	t.Helper()
	if err := set.fill(); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&Driver{}).Open(set, f)
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{fakeRuntime: f, res: res.(*Resource), addr: ln.Addr().String()}
	// A probe tells the agent the server's version, as the runtime's would before the first client comes.
	probe := a.res.Probe(f.eps[0])
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := probe.Check(ctx); err != nil {
		t.Fatalf("probe: %v", err)
	}
	probe.Close()
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			if f.accepted != nil {
				nc = f.accepted(nc)
			}
			rs := &resources.Session{ID: a.ids.Add(1) + 1<<20, Resource: "test", Client: nc.RemoteAddr().String()}
			rs.SetIdentity(&resources.Identity{Caller: "test"})
			a.sessions.Store(rs.Client, rs)
			serving.Go(func() { a.res.Serve(nc, rs) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = a.res.Shutdown(ctx)
		serving.Wait()
		f.loops.Stop()
		a.check(t)
	})
	return a
}

// check looks at the books after the end.
func (a *agent) check(t testing.TB) {
	if n := a.mismatches.Load(); n != 0 {
		t.Errorf("%d replies made no sense", n)
	}
	if b, e := a.begun.Load(), a.ended.Load(); b != e {
		t.Errorf("%d calls began and %d ended", b, e)
	}
	if opened, closed := int64(a.ids.Load()), a.closed.Load(); opened != closed {
		t.Errorf("%d sessions were opened and %d closed", opened, closed)
	}
	if n := a.open.Load(); n != 0 {
		t.Errorf("%d connections to servers are counted after the end", n)
	}
}

// session returns the runtime's side of a client's connection.
func (a *agent) session(c *client) *resources.Session {
	v, ok := a.sessions.Load(c.nc.LocalAddr().String())
	if !ok {
		c.t.Fatalf("the agent has no session of %v", c.nc.LocalAddr())
	}
	return v.(*resources.Session)
}

type count struct{ atomic.Int64 }

func (c *count) Add(n int64) { c.Int64.Add(n) }

// settled waits until the agent has done everything that belongs to the client's last command, which is a little more than
// to answer it.
func (a *agent) settled(c *client) {
	c.t.Helper()
	s := a.sessionOf(c)
	if s == nil {
		return
	}
	for end := time.Now().Add(10 * time.Second); s.phase.Load() != phaseIdle; runtime.Gosched() {
		if time.Now().After(end) {
			c.t.Fatalf("%s: the session is in phase %d", c.name, s.phase.Load())
		}
	}
}

// sessionOf returns the driver's side of a client's connection; nil when it is over.
func (a *agent) sessionOf(c *client) *session {
	c.t.Helper()
	a.res.mu.Lock()
	defer a.res.mu.Unlock()
	return a.res.sessions[a.session(c).ID]
}

// pins returns what ties the client's session.
func (a *agent) pins(c *client) resources.Pin {
	c.t.Helper()
	a.settled(c)
	return a.session(c).Pins()
}
