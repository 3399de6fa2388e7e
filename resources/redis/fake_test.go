package redis

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/resources"
)

// fakeRuntime is the least that a driver needs: endpoints, no filters but hooks, and retries as the rules allow them. It
// checks that every call that began ended once.
type fakeRuntime struct {
	t      testing.TB
	loops  *loop.Group
	ops    *resources.Ops
	policy resources.Policy
	tls    *tls.Config                           // of upstream connections; nil: none
	dialed func(net.Conn) net.Conn               // what becomes of a new upstream connection; nil: nothing
	begin  func(*resources.Call) *resources.Stop // nil: let everything pass
	routes func(*resources.Call) *resources.Endpoint
	backup func(*resources.Call) *resources.Endpoint
	spent  func(*resources.Call) bool // whether there is no budget for another attempt; nil: there is

	eps        atomic.Pointer[[]*resources.Endpoint] // ordered by ID
	begun      atomic.Int64
	ended      atomic.Int64
	closed     atomic.Int64
	retried    atomic.Int64
	spared     atomic.Int64 // requests that were sent again
	generous   atomic.Bool  // without a bound
	dials      atomic.Int64
	mismatches atomic.Int64
	conns      sync.Map // mode -> *atomic.Int64
	leave      atomic.Bool
	drain      atomic.Bool
	quiet      atomic.Bool // do not count outcomes: that allocates

	mu       sync.Mutex
	nextID   int
	outcomes map[string]int // by operation and outcome: "GET ok"
}

func newFake(t testing.TB, addrs ...string) *fakeRuntime {
	f := &fakeRuntime{t: t, ops: resources.NewOps((&Driver{}).Ops()), policy: resources.DefaultPolicy(), outcomes: map[string]int{}}
	f.policy.Timeout = resources.Duration(2 * time.Second)
	var err error
	if f.loops, err = loop.NewGroup(2); err != nil {
		t.Fatal(err)
	}
	var members []resources.Member
	for _, a := range addrs {
		members = append(members, resources.Member{Address: a})
	}
	f.setMembers(members)
	return f
}

// setMembers makes the endpoints those of the members; an address that stays keeps its endpoint.
func (f *fakeRuntime) setMembers(members []resources.Member) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := map[string]*resources.Endpoint{}
	if p := f.eps.Load(); p != nil {
		for _, ep := range *p {
			old[ep.Address] = ep
		}
	}
	var now []*resources.Endpoint
	listed := map[string]resources.Role{}
	for _, m := range members {
		listed[m.Address] = m.Role
		if old[m.Address] != nil {
			continue
		}
		ep := &resources.Endpoint{Resource: "test", Group: "g", Address: m.Address, ID: f.nextID}
		f.nextID++
		ep.SetWeight(100)
		ep.SetRole(m.Role)
		now = append(now, ep)
	}
	var kept []*resources.Endpoint
	if p := f.eps.Load(); p != nil {
		for _, ep := range *p {
			role, ok := listed[ep.Address]
			if !ok {
				ep.SetGone(true)
				continue
			}
			ep.SetRole(role)
			kept = append(kept, ep)
		}
	}
	now = append(kept, now...)
	f.eps.Store(&now)
}

func (f *fakeRuntime) ServerTLS() *tls.Config { return nil }

func (f *fakeRuntime) ClientTLS(*resources.Endpoint) *tls.Config { return nil }

func (f *fakeRuntime) Loops() (*loop.Group, error) { return f.loops, nil }
func (f *fakeRuntime) Name() string                { return "test" }
func (f *fakeRuntime) Ops() *resources.Ops         { return f.ops }
func (f *fakeRuntime) OpsChanged()                 {}

// What the runtime keeps in Call.Depth of a call, to find calls that end twice.
const (
	depthBegun = 1
	depthEnded = 2
)

func (f *fakeRuntime) Begin(c *resources.Call) *resources.Stop {
	f.begun.Add(1)
	c.Depth = depthBegun
	c.Deadline = c.Start + int64(f.policy.Timeout)
	if f.begin != nil {
		return f.begin(c)
	}
	return nil
}

func (f *fakeRuntime) Route(c *resources.Call) (*resources.Endpoint, *resources.Fault) {
	switch {
	case c.Pinned:
	case c.Place != nil:
		c.Endpoint = c.Place.Primary
	case f.routes != nil:
		c.Endpoint = f.routes(c)
	default:
		c.Endpoint = f.choose(int(c.Attempt))
	}
	if c.Endpoint == nil {
		return nil, resources.NewFault(resources.Unavailable, resources.FromAgent, "test", "no endpoint")
	}
	return c.Endpoint, nil
}

// choose returns the i-th of the endpoints that are no replicas.
func (f *fakeRuntime) choose(i int) *resources.Endpoint {
	var usable []*resources.Endpoint
	for _, ep := range f.Endpoints() {
		if ep.Role() != resources.RoleReplica {
			usable = append(usable, ep)
		}
	}
	if len(usable) == 0 {
		return nil
	}
	return usable[i%len(usable)]
}

func (f *fakeRuntime) Group(*resources.Call) int { return 0 }

func (f *fakeRuntime) Counter(string, ...string) resources.Counter { return new(count) }

type count struct{ atomic.Int64 }

func (c *count) Add(n int64) { c.Int64.Add(n) }

// spareMost is how many requests the budget lets be sent again.
const spareMost = 10

func (f *fakeRuntime) Spare(n int) bool {
	if f.policy.Failover.Budget == 0 {
		return false
	}
	for {
		had := f.spared.Load()
		if had+int64(n) > spareMost && !f.generous.Load() {
			return false
		}
		if f.spared.CompareAndSwap(had, had+int64(n)) {
			return true
		}
	}
}

func (f *fakeRuntime) Backup(c *resources.Call) *resources.Endpoint {
	if f.backup == nil {
		return nil
	}
	return f.backup(c)
}

func (f *fakeRuntime) End(c *resources.Call) resources.Next {
	if c.Depth == depthEnded {
		f.t.Errorf("a call of %s ended twice", f.ops.Info(c.Op).Name)
	}
	if c.Redirect != nil {
		c.Endpoint, c.Redirect = c.Redirect, nil
		return resources.Again
	}
	mayRepeat := c.Sent == resources.SentNothing && c.Retry != resources.RetryNever ||
		c.Sent == resources.SentSome && c.Retry == resources.RetryIdempotent
	if c.Outcome.Failure() && c.Attempt < 2 && mayRepeat && (f.spent == nil || !f.spent(c)) {
		c.Attempt++
		if _, fault := f.Route(c); fault == nil {
			f.retried.Add(1)
			return resources.Again
		}
	}
	if c.Depth == depthBegun {
		f.ended.Add(1)
		if f.quiet.Load() {
			return resources.Done
		}
		f.mu.Lock()
		f.outcomes[f.ops.Info(c.Op).Name+" "+c.Outcome.String()]++
		f.mu.Unlock()
	}
	c.Depth = depthEnded
	return resources.Done
}

// outcome returns how many calls of an operation ended so.
func (f *fakeRuntime) outcome(key string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.outcomes[key]
}

func (f *fakeRuntime) Boundary(*resources.Session, *resources.Endpoint) resources.Move {
	switch {
	case f.leave.Load():
		return resources.Leave
	case f.drain.Load():
		return resources.Drain
	}
	return resources.Stay
}
func (f *fakeRuntime) Closed(*resources.Session)                    { f.closed.Add(1) }
func (f *fakeRuntime) Pinned(s *resources.Session, p resources.Pin) { s.SetPins(p) }

func (f *fakeRuntime) Dial(ctx context.Context, ep *resources.Endpoint) (net.Conn, *resources.Fault) {
	f.dials.Add(1)
	var d net.Dialer
	network, addr := "tcp", ep.Address
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	}
	nc, err := d.DialContext(ctx, network, addr)
	if err == nil && f.tls != nil {
		tc := tls.Client(nc, f.tls)
		if err = tc.HandshakeContext(ctx); err != nil {
			_ = nc.Close()
		}
		nc = tc
	}
	if err != nil {
		return nil, resources.NewFault(resources.Unavailable, resources.FromUpstream, "test", err.Error())
	}
	if f.dialed != nil {
		nc = f.dialed(nc)
	}
	return nc, nil
}

func (f *fakeRuntime) Connections(_ *resources.Endpoint, mode string, d int) {
	v, _ := f.conns.LoadOrStore(mode, &atomic.Int64{})
	v.(*atomic.Int64).Add(int64(d))
}
func (f *fakeRuntime) open(mode string) int64 {
	v, _ := f.conns.LoadOrStore(mode, &atomic.Int64{})
	return v.(*atomic.Int64).Load()
}
func (f *fakeRuntime) Report(*resources.Endpoint, resources.Health) {}
func (f *fakeRuntime) Endpoints() []*resources.Endpoint             { return *f.eps.Load() }
func (f *fakeRuntime) Groups() []string                             { return []string{"g"} }
func (f *fakeRuntime) Choose(bool) *resources.Endpoint              { return f.choose(0) }
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
	addr string // in the form of endpoints

	ids      atomic.Uint64
	sessions sync.Map // remote address of the client -> *resources.Session
}

func startAgent(t testing.TB, f *fakeRuntime, set *Settings) *agent {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startAgentOn(t, f, set, ln)
}

func startAgentOn(t testing.TB, f *fakeRuntime, set *Settings, ln net.Listener) *agent {
	t.Helper()
	if set == nil {
		set = &Settings{}
	}
	if err := set.fill(); err != nil {
		t.Fatal(err)
	}
	res, err := (&Driver{}).Open(set, f)
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{fakeRuntime: f, res: res.(*Resource), addr: ln.Addr().String()}
	if ln.Addr().Network() == "unix" {
		a.addr = "unix:" + a.addr
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			rs := &resources.Session{ID: a.ids.Add(1), Resource: "test", Client: nc.RemoteAddr().String()}
			rs.SetIdentity(&resources.Identity{Caller: "test"})
			a.sessions.Store(rs.Client, rs)
			a.res.Serve(nc, rs)
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		accepting.Wait()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = a.res.Shutdown(ctx)
		f.loops.Stop()
		a.check(t)
	})
	return a
}

// check looks at the books after the end.
func (a *agent) check(t testing.TB) {
	if n := a.mismatches.Load(); n != 0 {
		t.Errorf("%d replies could not be matched with requests", n)
	}
	if b, e := a.begun.Load(), a.ended.Load(); b != e {
		t.Errorf("%d calls began and %d ended", b, e)
	}
	if opened, closed := int64(a.ids.Load()), a.closed.Load(); opened != closed {
		t.Errorf("%d sessions were opened and %d closed", opened, closed)
	}
	for _, m := range []string{modeShared, modeLeased, modePaired} {
		if n := a.open(m); n != 0 {
			t.Errorf("%d %s connections are counted after the end", n, m)
		}
	}
}

// session returns the runtime's side of a client's connection.
func (a *agent) session(w *wire) *resources.Session {
	v, ok := a.sessions.Load(w.nc.LocalAddr().String())
	if !ok {
		w.t.Fatalf("the agent has no session of %v", w.nc.LocalAddr())
	}
	return v.(*resources.Session)
}

// watch runs the resource's topology watcher as the runtime does, with its reports becoming the endpoints.
func (a *agent) watch(t testing.TB, seeds ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { _ = a.res.Watch(ctx, "g", seeds, a.setMembers) })
	t.Cleanup(func() {
		cancel()
		watching.Wait()
	})
}
