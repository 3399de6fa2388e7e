package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a driver whose probes and topology do what the test says.
type fake struct {
	mu      sync.Mutex
	health  map[string]resources.Health
	slow    time.Duration          // of a check
	hangs   atomic.Pointer[string] // an address whose checks never end
	running atomic.Int32
	most    atomic.Int32
	checks  atomic.Int32
	opened  atomic.Int32
	reports chan []resources.Member // what Watch reports; nil: no topology
	none    bool                    // Watch says that there is no topology when reports is closed
	parted  bool                    // Partitioned
}

func (f *fake) Serve(net.Conn, *resources.Session)                               {}
func (f *fake) AppendStop(b []byte, _ *resources.Call, _ *resources.Stop) []byte { return b }
func (f *fake) Update()                                                          {}
func (f *fake) Shutdown(context.Context) error                                   { return nil }
func (f *fake) Partitioned() bool                                                { return f.parted }
func (f *fake) Discovers() bool                                                  { return f.reports != nil }
func (f *fake) set(address string, h resources.Health) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.health[address] = h
}

func (f *fake) Watch(ctx context.Context, _ string, _ []string, report func([]resources.Member)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m, ok := <-f.reports:
			if !ok && f.none {
				return nil
			}
			if !ok {
				return errors.New("fake: the topology is gone")
			}
			report(m)
		}
	}
}

func (f *fake) Probe(ep *resources.Endpoint) resources.Probe {
	f.opened.Add(1)
	return &probe{f, ep.Address}
}

type probe struct {
	f       *fake
	address string
}

func (p *probe) Check(ctx context.Context) (resources.Health, error) {
	p.f.checks.Add(1)
	n := p.f.running.Add(1)
	defer p.f.running.Add(-1)
	for most := p.f.most.Load(); n > most && !p.f.most.CompareAndSwap(most, n); most = p.f.most.Load() {
	}
	if p.f.slow > 0 {
		select {
		case <-time.After(p.f.slow):
		case <-ctx.Done():
			return resources.Health{}, ctx.Err()
		}
	}
	if h := p.f.hangs.Load(); h != nil && p.address == *h {
		<-ctx.Done()
		return resources.Health{}, ctx.Err()
	}
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	h, ok := p.f.health[p.address]
	if !ok {
		h.Ready = true
	}
	if h.Detail == unreachable {
		return resources.Health{}, errors.New(unreachable)
	}
	return h, nil
}

// unreachable is the detail of servers whose checks fail without an answer.
const unreachable = "no connection"

func (p *probe) Close() { p.f.opened.Add(-1) }

type rig struct {
	t       testing.TB
	c       *Cluster
	f       *fake
	reg     *metrics.Registry
	changes atomic.Int32
}

// spec makes one group g of addresses a:1, b:1 and so on, all of role any.
func spec(n int) *resources.Spec {
	s := &resources.Spec{Name: "r", Groups: map[string]resources.Group{}}
	var g resources.Group
	for i := range n {
		g.Endpoints = append(g.Endpoints, resources.EndpointSpec{Address: fmt.Sprintf("%c:1", 'a'+i)})
	}
	s.Groups["g"] = g
	s.Policy.Fill()
	return s
}

func newRig(t testing.TB, s *resources.Spec) *rig {
	g := &rig{t: t, f: &fake{health: map[string]resources.Health{}}, reg: metrics.NewRegistry(metrics.Options{})}
	g.c = New(Options{Resource: "r", Metrics: g.reg.Resource("r", "fake"), Changed: func() { g.changes.Add(1) }})
	g.apply(s)
	return g
}

// start begins to probe and waits for the first round.
func (g *rig) start() *rig {
	g.c.Start(g.f)
	synctest.Wait()
	return g
}

func (g *rig) apply(s *resources.Spec, drained ...string) {
	g.t.Helper()
	p, err := g.c.Plan(s, func(address string) bool { return slices.Contains(drained, address) })
	if err != nil {
		g.t.Fatal(err)
	}
	p.Apply()
}

func (g *rig) member(address string) *Member {
	g.t.Helper()
	for _, ep := range g.c.View().Endpoints {
		if ep.Address == address {
			return Of(ep)
		}
	}
	g.t.Fatalf("no endpoint %s", address)
	return nil
}

// used returns the addresses that the group's list for a role holds.
func (g *rig) used(group string, r resources.Role) []string {
	var out []string
	for _, p := range g.c.View().Pools {
		if p != nil && p.Name == group {
			for _, n := range p.List(r).Nodes {
				out = append(out, n.Endpoint.Address)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (g *rig) wantUsed(want ...string) {
	g.t.Helper()
	if got := g.used("g", resources.RoleAny); !slices.Equal(got, want) {
		g.t.Errorf("in use: %v, want %v", got, want)
	}
}

func (g *rig) calls(m *Member, o resources.Outcome, n int) {
	for range n {
		m.Done(o, resources.ClassRead, 1e5, g.c.now())
	}
	synctest.Wait()
}

var failure = resources.Outcome(resources.Unknown)

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func TestIdentityIsKeptOverChanges(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(3)
		g := newRig(t, s)
		defer g.c.Close()
		a, b := g.member("a:1"), g.member("b:1")
		a.Observe(5e6, g.c.now())
		w := 7
		s2 := spec(4)
		grp := s2.Groups["g"]
		grp.Endpoints = append(grp.Endpoints[:1], grp.Endpoints[2:]...) // b leaves, d comes
		grp.Endpoints[0].Weight, grp.Endpoints[0].Role = &w, "primary"
		s2.Groups["g"] = grp
		g.apply(s2)
		if g.member("a:1") != a || a.Endpoint.Weight() != 7 || a.Endpoint.Role() != resources.RolePrimary || a.Latency(g.c.now()) != 5e6 {
			t.Error("a lost its state")
		}
		if !b.Endpoint.Gone() || g.member("d:1").Endpoint.ID == b.Endpoint.ID {
			t.Error("b is not gone, or its ID was given away at once")
		}
		g.apply(s)
		if g.member("b:1") == b {
			t.Error("b came back as the same endpoint")
		}
		time.Sleep(2 * time.Minute)
		g.apply(spec(5))
		ids := map[int]bool{}
		for i, ep := range g.c.View().Endpoints {
			ids[ep.ID] = true
			if i > 0 && g.c.View().Endpoints[i-1].ID >= ep.ID {
				t.Error("endpoints are not ordered by ID")
			}
			if ep.ID > 5 {
				t.Errorf("ID %d: IDs are not used again", ep.ID)
			}
		}
		if len(ids) != 5 {
			t.Errorf("IDs %v", ids)
		}
	})
}

func TestGroupIDsStayAndAPlanThatIsDroppedChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(1)
		s.Groups["x"] = resources.Group{Endpoints: []resources.EndpointSpec{{Address: "a:1"}}}
		g := newRig(t, s)
		defer g.c.Close()
		x := g.c.groups["x"].id
		delete(s.Groups, "g")
		s.Groups["y"] = resources.Group{Endpoints: []resources.EndpointSpec{{Address: "y:1"}}}
		before := g.c.View()
		if _, err := g.c.Plan(s, nil); err != nil || g.c.View() != before {
			t.Fatal("planning changed something", err)
		}
		p, _ := g.c.Plan(s, nil)
		want, _ := p.GroupID("y")
		if p.Groups()[want] != "y" || p.Groups()[x] != "x" {
			t.Errorf("groups %q", p.Groups())
		}
		p.Apply()
		if g.c.groups["x"].id != x || g.c.groups["y"].id != want || g.c.View().Pool(want).Name != "y" || g.c.View().Pool(-1) != nil {
			t.Error("IDs moved")
		}
	})
}

func TestPlanRefuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, spec(1))
		defer g.c.Close()
		for want, change := range map[string]func(*resources.Spec){
			`policy.balance: unknown balance "x": use one of random, round-robin, p2c, hash`: func(s *resources.Spec) { s.Policy.Balance = "x" },
			`groups.g: endpoint "a" is no address: write host:port or unix:/path`:            func(s *resources.Spec) { s.Groups["g"].Endpoints[0].Address = "a" },
			`groups.g: endpoint a:1: unknown role "boss": use primary, replica or any`:       func(s *resources.Spec) { s.Groups["g"].Endpoints[0].Role = "boss" },
			`groups.g: endpoint unix: has no path: write unix:/path`:                         func(s *resources.Spec) { s.Groups["g"].Endpoints[0].Address = "unix:" },
			`upstream-tls: cert and key belong together: give both or none`:                  func(s *resources.Spec) { s.UpstreamTLS = &resources.ClientTLS{Cert: "x"} },
			`upstream-tls: ca: open /does/not/exist: no such file or directory`:              func(s *resources.Spec) { s.UpstreamTLS = &resources.ClientTLS{CA: "/does/not/exist"} },
		} {
			s := spec(1)
			change(s)
			if _, err := g.c.Plan(s, nil); err == nil || err.Error() != want {
				t.Errorf("got %v\nwant %s", err, want)
			}
		}
	})
}

func TestProbesTakeDownAndBringBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(3)
		s.Policy.Probe.Fall, s.Policy.Probe.Rise = 3, 2
		g := newRig(t, s).start()
		defer g.c.Close()
		if !g.c.Probed() {
			t.Fatal("the first round is not over")
		}
		g.f.set("b:1", resources.Health{Detail: "loading"})
		time.Sleep(3 * time.Second) // one or two checks
		synctest.Wait()
		g.wantUsed("a:1", "b:1", "c:1")
		time.Sleep(6 * time.Second)
		synctest.Wait()
		g.wantUsed("a:1", "c:1")
		if st := g.c.Status()[1]; st.State != "down" || st.Why != "loading" || st.Share != 0 {
			t.Errorf("status %+v", st)
		}
		g.f.set("b:1", resources.Health{Ready: true, Version: "7.0"})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		g.wantUsed("a:1", "b:1", "c:1")
		if st := g.c.Status()[1]; st.State != "up" || st.Version != "7.0" || st.Share >= 1 {
			t.Errorf("status %+v: it should start slowly", st)
		}
		time.Sleep(10 * time.Second)
		if st := g.c.Status()[1]; st.Share != 1 {
			t.Errorf("%+v after the slow start", st)
		}
	})
}

// The time that a check waits for an answer counts as part of the period.
func TestSilentServerIsSoonDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(3)
		g := newRig(t, s).start()
		defer g.c.Close()
		g.f.hangs.Store(new("b:1"))
		p := s.Policy.Probe
		time.Sleep(time.Duration(p.Fall)*p.Every.D()*11/10 + p.Timeout.D())
		synctest.Wait()
		g.wantUsed("a:1", "c:1")
	})
}

func TestFirstFailedProbeIsEnough(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, spec(3))
		defer g.c.Close()
		g.f.set("a:1", resources.Health{})
		g.start()
		g.wantUsed("b:1", "c:1")
	})
}

func TestProbesAreBoundedInTimeAndNumber(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(1)
		grp := s.Groups["g"]
		for i := range 200 {
			grp.Endpoints = append(grp.Endpoints, resources.EndpointSpec{Address: fmt.Sprintf("h%d:1", i)})
		}
		s.Groups["g"] = grp
		g := newRig(t, s)
		g.f.slow = time.Hour // so that the timeout must end it
		g.start()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := g.f.most.Load(); n != maxProbing {
			t.Errorf("%d checks ran at once, want %d", n, maxProbing)
		}
		if !g.c.Probed() {
			t.Error("checks without an answer did not end")
		}
		g.apply(spec(1))
		synctest.Wait()
		if n := g.f.opened.Load(); n != 1 {
			t.Errorf("%d probes are open for one endpoint", n)
		}
		g.c.Close()
		if g.f.opened.Load() != 0 {
			t.Error("a probe was not closed")
		}
	})
}

func TestProbesOfManyEndpointsAreSpread(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, spec(20)).start()
		defer g.c.Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		most, empty := int32(0), 0
		for range 10 {
			before := g.f.checks.Load()
			time.Sleep(200 * time.Millisecond) // a tenth of the period
			synctest.Wait()
			n := g.f.checks.Load() - before
			most = max(most, n)
			if n == 0 {
				empty++
			}
		}
		if most > 10 || empty > 6 {
			t.Errorf("of 20 checks in a period %d fall into one tenth of it, and %d tenths have none", most, empty)
		}
	})
}

func TestRolesAreLearnt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(2)
		s.Groups["g"].Endpoints[0].Role, s.Groups["g"].Endpoints[1].Role = "primary", "replica"
		g := newRig(t, s)
		defer g.c.Close()
		g.f.set("a:1", resources.Health{Ready: true, Role: resources.RolePrimary})
		g.f.set("b:1", resources.Health{Ready: true, Role: resources.RoleReplica})
		g.start()
		if got := g.used("g", resources.RolePrimary); !slices.Equal(got, []string{"a:1"}) {
			t.Fatalf("primaries %v", got)
		}
		changes := g.changes.Load()
		g.c.Report(g.member("a:1").Endpoint, resources.Health{Ready: true, Role: resources.RoleReplica})
		g.f.set("a:1", resources.Health{Ready: true, Role: resources.RoleReplica})
		g.f.set("b:1", resources.Health{Ready: true, Role: resources.RolePrimary})
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := g.used("g", resources.RolePrimary); !slices.Equal(got, []string{"b:1"}) {
			t.Fatalf("after the failover primaries are %v", got)
		}
		if g.changes.Load() != changes+2 {
			t.Errorf("%d changes reported", g.changes.Load()-changes)
		}
		g.apply(s) // the spec's word does not undo the server's
		if got := g.used("g", resources.RolePrimary); !slices.Equal(got, []string{"b:1"}) {
			t.Fatalf("after an update primaries are %v", got)
		}
		if up := g.series(metrics.EndpointUp); len(up) != 2 || up["g b:1 primary"] != 1 || up["g a:1 replica"] != 1 {
			t.Errorf("series %v", up)
		}
	})
}

// series returns the values of a metric by its labels' values, the resource's name left out.
func (g *rig) series(name string) map[string]float64 {
	out := map[string]float64{}
	g.reg.Gather(func(p *metrics.Point) {
		if p.Name == name {
			key := ""
			for _, l := range p.Labels {
				if l.Key != "resource" {
					key += " " + l.Value
				}
			}
			out[key[1:]] = p.Value
		}
	})
	return out
}

func TestDrainedEndpointIsGoneUntilItIsBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(3)
		g := newRig(t, s).start()
		defer g.c.Close()
		a := g.member("a:1")
		g.apply(s, "a:1")
		g.wantUsed("b:1", "c:1")
		if !a.Endpoint.Gone() || g.c.Status()[0].State != "drained" || len(g.c.View().Endpoints) != 3 {
			t.Error("the drained endpoint is not as it should be")
		}
		if _, fault := g.c.Dial(t.Context(), a.Endpoint); fault == nil {
			t.Error("a drained endpoint can be dialled")
		}
		g.apply(s)
		g.wantUsed("a:1", "b:1", "c:1")
		if a.Endpoint.Gone() || g.member("a:1") != a {
			t.Error("the endpoint is not back")
		}
	})
}

func TestRemovedEndpointsLeaveNoSeries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(2)
		s.Groups["h"] = resources.Group{Endpoints: []resources.EndpointSpec{{Address: "b:1"}}}
		g := newRig(t, s).start()
		defer g.c.Close()
		g.c.Connections(g.member("b:1").Endpoint, "shared", 3)
		if up := g.series(metrics.EndpointUp); len(up) != 3 {
			t.Fatalf("series %v", up)
		}
		g.apply(spec(1))
		if up := g.series(metrics.EndpointUp); len(up) != 1 || up["g a:1 any"] != 1 {
			t.Errorf("series %v", up)
		}
		if c := g.series(metrics.UpstreamConnections); len(c) != 0 {
			t.Errorf("series %v", c)
		}
	})
}
