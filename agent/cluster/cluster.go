package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/agent/balance"
	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

// Options make a cluster.
type Options struct {
	Resource string
	Metrics  *metrics.Resource
	Log      *slog.Logger
	// Changed is called, without locks, when discovery changed the set of endpoints, or a role changed, or an endpoint was
	// fenced or is no longer. May be nil.
	Changed func()
	// Book is where what is known of the groups outlives the process; nil: nowhere.
	Book Book
	// Finder finds the endpoints of groups that name a registry, as the service that Service says; nil: there are none.
	Finder  resources.Finder
	Service func(group string) resources.Service
	// NegotiatesTLS leaves TLS to the driver.
	NegotiatesTLS bool
	// TLSProtocol is the name of what is spoken to endpoints (ALPN); "": it has none.
	TLSProtocol string
	// Lookup resolves a host name; nil: the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Cluster is the groups and endpoints of one resource.
type Cluster struct {
	resource   string
	negotiates bool   // the driver does TLS
	protocol   string // name of what is spoken in TLS
	shelved    Book   // is opened by Start
	metrics    *metrics.Resource
	log        *slog.Logger
	changed    func()
	finder     resources.Finder // nil: no group may name a registry
	service    func(group string) resources.Service

	view  atomic.Pointer[View]  // what calls read
	rules atomic.Pointer[rules] // how calls count

	resolver resolver
	wakes    chan struct{} // pokes the keeper
	probing  chan struct{} // a place for each probe that may run at once
	run      sync.WaitGroup
	ctx      context.Context
	cancel   context.CancelFunc

	mu          sync.Mutex // guards all below
	policy      resources.Policy
	groups      map[string]*group
	members     []*Member                 // of all groups, by ID
	drained     func(address string) bool // by a command; nil: none
	tls         *tlsConfig                // nil: plain
	driver      resources.Resource        // nil before Start
	topology    resources.Topology        // nil: endpoints are those of the spec
	seedsOnly   bool                      // those of the spec are not to be called
	partitioned bool                      // the endpoints of a group hold different data: all are primaries
	book        Book                      // nil: nothing is kept
	started     int64
	endpoints   ids
	groupIDs    ids
}

// maxProbing bounds the probes of a resource that run at once.
const maxProbing = 32

type group struct {
	name     string
	id       int
	idc      string
	registry string // where the endpoints are found; "": in spec, or by the topology
	spec     []resources.EndpointSpec
	members  []*Member
	panics   bool
	watch    context.CancelFunc // nil: not watched
	seeds    []string           // with which the watch was started
	found    []resources.Member // discovery's last good report; nil: none yet
	stale    bool               // found is of an earlier process
	held     *heldReport        // a report that took away too much; nil: none
	fence    fence
	recalled bool // what an earlier process knew has been asked for
	fresh    bool // there is something to remember
}

// rules is what calls need of the policy.
type rules struct {
	consecutive int32 // 0: off
	errors      float64
	bucket      int64 // ns
}

// New returns a cluster without members. Plan and Apply give it some, Start begins to probe, Close ends it.
func New(o Options) *Cluster {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Cluster{
		resource: o.Resource, negotiates: o.NegotiatesTLS, protocol: o.TLSProtocol, shelved: o.Book, metrics: o.Metrics, log: o.Log, changed: o.Changed,
		finder: o.Finder, service: o.Service,
		wakes: make(chan struct{}, 1), probing: make(chan struct{}, maxProbing),
		ctx: ctx, cancel: cancel, groups: map[string]*group{},
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.changed == nil {
		c.changed = func() {}
	}
	c.resolver.init(o.Lookup, c.run.Go, ctx)
	c.policy.Fill()
	c.setRules()
	c.view.Store(&View{})
	c.run.Go(c.keep)
	return c
}

func (c *Cluster) now() int64 { return clock.Now() }

func (c *Cluster) setRules() {
	e := c.policy.Eject
	c.rules.Store(&rules{
		consecutive: int32(max(0, e.Consecutive)),
		errors:      e.Errors.Fraction(),
		bucket:      max(1, e.Window.D().Nanoseconds()/windowBuckets),
	})
}

// View returns the cluster as it is now.
func (c *Cluster) View() *View { return c.view.Load() }

// Start begins to probe the members with the driver, and to watch its topology where it has one. With a
// book it begins with what that knows.
func (c *Cluster) Start(driver resources.Resource) {
	topology, ok := driver.(resources.Topology)
	if ok && !topology.Discovers() {
		topology = nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.driver, c.topology, c.book, c.started = driver, topology, c.shelved, c.now()
	if p, ok := driver.(resources.Partitioned); ok {
		c.partitioned = p.Partitioned()
	}
	if s, ok := topology.(seedsOnly); ok {
		c.seedsOnly = s.SeedsOnly()
	}
	for _, g := range c.groups {
		c.recall(g, c.started)
		c.reconcile(g, c.started)
	}
	c.publish()
	for _, g := range c.groups {
		c.startWatch(g)
	}
}

// Close stops all work of the cluster and waits for its end.
func (c *Cluster) Close() {
	// Whoever starts a goroutine holds one of these locks and looks at the context first.
	c.mu.Lock()
	c.resolver.mu.Lock()
	c.cancel()
	c.resolver.mu.Unlock()
	c.mu.Unlock()
	c.run.Wait()
}

// Plan is a checked change that has not happened yet.
type Plan struct {
	c       *Cluster
	spec    *resources.Spec
	drained func(address string) bool
	ids     map[string]int // group -> ID
	tls     *tlsConfig
	draft   ids // group IDs as they will be
}

// Plan checks a spec whose policy is filled, loads the certificates that it names, and gives groups their IDs. drained
// says which addresses commands take out of use, also of endpoints that come later; nil: none. One plan is made and applied, or dropped, at a time.
func (c *Cluster) Plan(s *resources.Spec, drained func(address string) bool) (*Plan, error) {
	if err := balance.Check(s.Policy.Balance); err != nil {
		return nil, fmt.Errorf("policy.balance: %w", err)
	}
	for name, g := range s.Groups {
		if g.Registry != "" && c.finder == nil {
			return nil, fmt.Errorf("groups.%s.registry: resources of kind %s cannot be found in a registry", name, s.Kind)
		}
		for _, e := range g.Endpoints {
			if _, err := resources.ParseRole(e.Role); err != nil {
				return nil, fmt.Errorf("groups.%s: endpoint %s: %w", name, e.Address, err)
			}
			if err := checkAddress(e.Address); err != nil {
				return nil, fmt.Errorf("groups.%s: %w", name, err)
			}
		}
	}
	t, err := loadTLS(s.UpstreamTLS, c.protocol)
	if err != nil {
		return nil, fmt.Errorf("upstream-tls: %w", err)
	}
	p := &Plan{c: c, spec: s, drained: drained, ids: map[string]int{}, tls: t}
	c.mu.Lock()
	defer c.mu.Unlock()
	p.draft = c.groupIDs.clone() // IDs taken by a plan that is dropped are not taken
	for _, name := range s.GroupNames() {
		if g, ok := c.groups[name]; ok {
			p.ids[name] = g.id
		} else {
			p.ids[name] = p.draft.take(c.now())
		}
	}
	return p, nil
}

// GroupID returns the ID that a group has, or will have.
func (p *Plan) GroupID(name string) (int, bool) {
	id, ok := p.ids[name]
	return id, ok
}

// Groups returns the names of the groups by ID; "" where an ID is not in use.
func (p *Plan) Groups() []string {
	var names []string
	for name, id := range p.ids {
		for len(names) <= id {
			names = append(names, "")
		}
		names[id] = name
	}
	return names
}

// Apply makes the change, all at once for those who read the View.
func (p *Plan) Apply() {
	c := p.c
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	c.policy, c.tls, c.drained, c.groupIDs = p.spec.Policy, p.tls, p.drained, p.draft
	c.setRules()
	for _, name := range slices.Sorted(maps.Keys(p.ids)) {
		g := c.groups[name]
		if g == nil {
			g = &group{name: name, id: p.ids[name]}
			c.groups[name] = g
		}
		s := p.spec.Groups[name]
		g.spec, g.idc, g.registry = s.Endpoints, s.IDC, s.Registry
		if g.idc == "" {
			g.idc = name
		}
		if c.driver != nil {
			c.recall(g, now)
		}
		c.reconcile(g, now)
		c.startWatch(g)
	}
	for name, g := range c.groups {
		if _, kept := p.ids[name]; !kept {
			c.stopWatch(g)
			g.spec, g.found, g.held, g.stale = nil, nil, nil, false
			c.reconcile(g, now)
			c.groupIDs.give(g.id, now)
			delete(c.groups, name)
			c.metrics.Forget("group", name)
		}
	}
	c.publish()
	c.poke()
}

// reconcile makes the members of a group what spec and discovery say. c.mu is held.
func (c *Cluster) reconcile(g *group, now int64) {
	type want struct {
		spec       resources.EndpointSpec
		by         string // who says its weight, if it has one
		discovered bool
	}
	bySpec := map[string]resources.EndpointSpec{}
	for _, e := range g.spec {
		if _, dup := bySpec[e.Address]; !dup {
			bySpec[e.Address] = e
		}
	}
	wants := map[string]want{}
	if g.found != nil {
		for _, m := range g.found {
			e := resources.EndpointSpec{Address: m.Address, Weight: bySpec[m.Address].Weight, Role: m.Role.String()}
			by := weighedByConfig
			if e.Weight == nil && m.Weight > 0 {
				e.Weight, by = &m.Weight, weighedByRegistry
			}
			wants[m.Address] = want{e, by, true}
		}
	} else if !c.seedsOnly || g.registry != "" {
		for a, e := range bySpec {
			wants[a] = want{e, weighedByConfig, false}
		}
	}
	var kept []*Member
	for _, m := range g.members {
		if _, ok := wants[m.Endpoint.Address]; ok {
			kept = append(kept, m)
		} else {
			c.retire(m, now)
		}
	}
	g.members = kept
	for _, address := range slices.Sorted(maps.Keys(wants)) {
		w := wants[address]
		m := g.member(address)
		if m == nil {
			m = c.newMember(g, address, now)
		}
		c.configure(m, w.spec, w.by, w.discovered)
	}
	c.elect(g, now)
}

func (g *group) member(address string) *Member {
	for _, m := range g.members {
		if m.Endpoint.Address == address {
			return m
		}
	}
	return nil
}

// configure applies what is declared of a member. A role that the server told stays until it tells another.
func (c *Cluster) configure(m *Member, e resources.EndpointSpec, by string, discovered bool) {
	m.discovered = discovered
	m.declared, m.weighedBy = e.Share(), by
	if e.Weight == nil {
		m.weighedBy = ""
	}
	m.weigh(m.own)
	role, _ := resources.ParseRole(e.Role)
	if role == resources.RolePrimary && m.listed != role && m.deposed { // an operator's word
		m.deposed, m.group.fresh = false, true
	}
	m.listed = role
	if !m.told || discovered && role != resources.RoleAny {
		m.Endpoint.SetRole(role)
	}
	m.drained = c.drained != nil && c.drained(m.Endpoint.Address)
	m.Endpoint.SetGone(m.drained || m.fenced)
	if c.driver != nil {
		c.startProbe(m)
	}
}

func (c *Cluster) newMember(g *group, address string, now int64) *Member {
	ep := &resources.Endpoint{
		Resource: c.resource, Group: g.name, IDC: g.idc, Address: address, ID: c.endpoints.take(now), GroupID: g.id,
	}
	m := &Member{cluster: c, group: g, hurry: make(chan struct{}, 1), watch: make(chan struct{}, 1)}
	m.Node.Endpoint = ep
	ep.State = m
	g.members = append(g.members, m)
	at, _ := slices.BinarySearchFunc(c.members, ep.ID, func(m *Member, id int) int { return m.Endpoint.ID - id })
	c.members = slices.Insert(c.members, at, m)
	return m
}

// retire lets go of a member that is not listed any more.
func (c *Cluster) retire(m *Member, now int64) {
	m.removed = true
	m.group.fresh = m.group.fresh || m.deposed // it is not if it comes back
	m.sound.Store(false)
	m.Endpoint.SetGone(true)
	if m.stopProbe != nil {
		m.stopProbe()
		m.stopProbe = nil
	}
	c.endpoints.give(m.Endpoint.ID, now)
	c.members = slices.DeleteFunc(c.members, func(x *Member) bool { return x == m })
	c.unlabel(m.Endpoint.Address)
}

// quarantine is how long an ID rests before somebody else gets it.
const quarantine = int64(time.Minute)

// ids hands out small numbers.
type ids struct {
	next int
	free []freeID // oldest first
}

type freeID struct {
	id int
	at int64
}

func (i *ids) take(now int64) int {
	if len(i.free) > 0 && now-i.free[0].at >= quarantine {
		id := i.free[0].id
		i.free = i.free[1:]
		return id
	}
	i.next++
	return i.next - 1
}

func (i *ids) give(id int, now int64) { i.free = append(i.free, freeID{id, now}) }

func (i *ids) clone() ids { return ids{next: i.next, free: slices.Clone(i.free)} }
