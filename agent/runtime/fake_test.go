package runtime

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/sluice-mesh/sluice/agent/filter"
	_ "github.com/sluice-mesh/sluice/agent/filter/standard"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeDriver is a kind whose servers do what the test says.
type fakeDriver struct {
	mu      sync.Mutex
	health  map[string]resources.Health // by address; not listed: ready
	updates int
	conns   map[net.Conn]bool
	rt      resources.Runtime
}

const (
	opGet resources.OpID = iota + 1
	opSet
	opSubscribe
)

func (d *fakeDriver) Kind() string { return "fake" }
func (d *fakeDriver) Settings(func(any) error) (resources.Settings, error) {
	return nil, nil
}
func (d *fakeDriver) Ops() []resources.OpInfo {
	return []resources.OpInfo{
		{Name: "GET", Class: resources.ClassRead, Retry: resources.RetryIdempotent},
		{Name: "SET", Class: resources.ClassWrite},
		{Name: "SUBSCRIBE", Class: resources.ClassStream, Retry: resources.RetryNever},
	}
}
func (d *fakeDriver) Open(_ resources.Settings, rt resources.Runtime) (resources.Resource, error) {
	d.rt = rt
	return d, nil
}
func (d *fakeDriver) Serve(conn net.Conn, s *resources.Session) {
	d.mu.Lock()
	d.conns[conn] = true
	d.mu.Unlock()
	_, _ = io.Copy(io.Discard, conn)
	conn.Close()
	d.rt.Closed(s)
}
func (d *fakeDriver) Probe(ep *resources.Endpoint) resources.Probe { return &fakeProbe{d, ep.Address} }
func (d *fakeDriver) AppendStop(dst []byte, _ *resources.Call, s *resources.Stop) []byte {
	return append(dst, s.Fault.Error()...)
}
func (d *fakeDriver) Update() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.updates++
}
func (d *fakeDriver) Shutdown(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		c.Close()
	}
	return nil
}

// set says what the probes of an address find.
func (d *fakeDriver) set(address string, h resources.Health) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.health[address] = h
}

type fakeProbe struct {
	d       *fakeDriver
	address string
}

func (p *fakeProbe) Check(context.Context) (resources.Health, error) {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	h, ok := p.d.health[p.address]
	if !ok {
		return resources.Health{Ready: true}, nil
	}
	if !h.Ready {
		return h, errors.New("fake: not ready")
	}
	return h, nil
}
func (p *fakeProbe) Close() {}

type fakeView struct{ keys [][]byte }

func (v *fakeView) Key(i int) ([]byte, bool) {
	if i < len(v.keys) {
		return v.keys[i], true
	}
	return nil, false
}
func (v *fakeView) AppendText(dst []byte) []byte { return append(dst, "GET k"...) }
func (v *fakeView) Digest() uint64               { return 0 }

// rig is an open resource and what tests do with it.
type rig struct {
	t   testing.TB
	r   *Resource
	d   *fakeDriver
	reg *metrics.Registry
	now int64
	ids uint64
}

// twoGroups is a spec with two groups of two endpoints each.
func twoGroups() *resources.Spec {
	off := 0
	return &resources.Spec{
		Name: "cache", Kind: "fake",
		Groups: map[string]resources.Group{
			"yf": {Endpoints: []resources.EndpointSpec{{Address: "10.0.0.1:1", Role: "primary"}, {Address: "10.0.0.2:1", Role: "replica"}}},
			"tc": {Weight: &off, Endpoints: []resources.EndpointSpec{{Address: "10.1.0.1:1", Role: "primary"}, {Address: "10.1.0.2:1", Role: "replica"}}},
		},
		Policy: resources.Policy{Timeout: resources.Duration(1e9)},
	}
}

// alike is the kind with servers that are all alike.
type alike struct{ *fakeDriver }

func (alike) Alike() {}

func open(t testing.TB, spec *resources.Spec, commands ...resources.Command) *rig {
	t.Helper()
	d := newFake()
	return openAs(t, d, d, spec, commands...)
}

func openAlike(t testing.TB, spec *resources.Spec) *rig {
	t.Helper()
	d := newFake()
	return openAs(t, d, alike{d}, spec)
}

func newFake() *fakeDriver {
	return &fakeDriver{health: map[string]resources.Health{}, conns: map[net.Conn]bool{}}
}

func openAs(t testing.TB, d *fakeDriver, as resources.Driver, spec *resources.Spec, commands ...resources.Command) *rig {
	t.Helper()
	reg := metrics.NewRegistry(metrics.Options{Outcomes: Outcomes()})
	sinks := filter.NewSinks(filter.SinkOptions{Registry: reg})
	r, err := Open(Options{Spec: spec, Driver: as, Commands: commands, Metrics: reg, Sinks: sinks, Application: "web", IDC: "yf"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		sinks.Close()
	})
	return &rig{t: t, r: r, d: d, reg: reg, now: 1e9}
}

// group returns the ID of a group.
func (g *rig) group(name string) int {
	for _, p := range g.r.cluster.View().Pools {
		if p != nil && p.Name == name {
			return p.ID
		}
	}
	g.t.Fatalf("no group %s", name)
	return -1
}

// session makes a session as Accept would.
func (g *rig) session() *resources.Session {
	g.ids++
	s := &resources.Session{ID: g.ids, Resource: "cache", Runtime: &session{}}
	s.SetIdentity(&resources.Identity{Caller: "web", IDC: "yf"})
	return s
}

// call begins a call of an operation.
func (g *rig) call(s *resources.Session, op resources.OpID) *resources.Call {
	g.now += 1e6
	in := g.r.Ops().Info(op)
	c := &resources.Call{Session: s, View: &fakeView{}, Op: op, Class: in.Class, Retry: in.Retry, Start: g.now, ReqBytes: 30}
	c.Primary = in.Class == resources.ClassWrite
	return c
}

// mustRoute begins and routes a call and returns its endpoint's address.
func (g *rig) mustRoute(c *resources.Call) string {
	g.t.Helper()
	if stop := g.r.Begin(c); stop != nil {
		g.t.Fatalf("stopped: %+v", stop)
	}
	ep, fault := g.r.Route(c)
	if fault != nil {
		g.t.Fatalf("no route: %v", fault)
	}
	return ep.Address
}

// end ends an attempt after a millisecond.
func (g *rig) end(c *resources.Call, o resources.Outcome, sent resources.Sent) resources.Next {
	g.now += 1e6
	c.Now, c.Outcome, c.Sent = g.now, o, sent
	return g.r.End(c)
}

func (g *rig) update(spec *resources.Spec, commands ...resources.Command) {
	g.t.Helper()
	for i := range commands {
		commands[i].Resource = spec.Name
		if err := commands[i].Validate(spec); err != nil {
			g.t.Fatal(err)
		}
	}
	if err := g.r.Update(spec, commands); err != nil {
		g.t.Fatal(err)
	}
}

func outcome(c resources.Code) resources.Outcome { return resources.Outcome(c) }
