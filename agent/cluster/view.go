package cluster

import (
	"github.com/sluice-mesh/sluice/agent/balance"
	"github.com/sluice-mesh/sluice/resources"
)

// View is the cluster at one moment. It is immutable.
type View struct {
	Endpoints []*resources.Endpoint // of all groups, by ID, drained ones included
	Pools     []*Pool               // by group ID; nil where an ID is not in use
}

// Pool returns the pool of a group; nil when it is gone.
func (v *View) Pool(id int) *Pool {
	if id < 0 || id >= len(v.Pools) {
		return nil
	}
	return v.Pools[id]
}

// Pool is one group.
type Pool struct {
	Name  string
	IDC   string
	ID    int
	lists [3]List // by role
}

// List returns the members that may serve a role: RolePrimary, RoleReplica, or RoleAny for all. Members whose role is
// any are in each, but where a group has a writer that is the only primary.
func (p *Pool) List(r resources.Role) *List { return &p.lists[r] }

// List is the members of a group that may serve one role.
type List struct {
	Picker balance.Picker  // over Nodes
	Nodes  []*balance.Node // those in use
	Sound  int             // how many members are sound
	Of     int             // how many there are that have a weight and are neither drained nor fenced nor, for reads, stale
	Spare  []*balance.Node // of those not in use the ones that are ejected and nothing worse: for who has nowhere else to go
}

// Panics reports that more than half of the members are out, so that all are used but those that refuse connections, if there are
// any others.
func (l *List) Panics() bool { return 2*l.Sound < l.Of }

// Empty reports that there is nothing to pick.
func (l *List) Empty() bool { return len(l.Nodes) == 0 }

// Only reports that the list holds n and nothing else.
func (l *List) Only(n *balance.Node) bool { return len(l.Nodes) == 1 && l.Nodes[0] == n }

// fits reports whether an endpoint of role have may do what role want asks for.
func fits(have, want resources.Role) bool {
	return want == resources.RoleAny || have == resources.RoleAny || have == want
}

// Fits reports whether an endpoint may do what a role asks for: RoleAny fits everything on both sides.
func Fits(ep *resources.Endpoint, want resources.Role) bool { return fits(ep.Role(), want) }

// publish compiles the view anew and swaps it in. c.mu is held.
func (c *Cluster) publish() {
	v := &View{}
	now := c.now()
	for _, m := range c.members {
		sound := m.until == 0 && !m.down && !m.closed.Load() && !m.drained && !m.fenced
		if sound && !m.sound.Load() && m.probed {
			m.Rise(now, c.policy.SlowStart.D().Nanoseconds())
		}
		m.sound.Store(sound)
		c.label(m)
	}
	for _, g := range c.groups {
		p := &Pool{Name: g.name, IDC: g.idc, ID: g.id}
		g.seedLatencies(now)
		for role := range p.lists {
			p.lists[role] = c.list(g, resources.Role(role))
		}
		for len(v.Pools) <= g.id {
			v.Pools = append(v.Pools, nil)
		}
		v.Pools[g.id] = p
		c.sayPanic(g, p)
	}
	for _, m := range c.members { // sorted by ID
		v.Endpoints = append(v.Endpoints, m.Endpoint)
	}
	c.view.Store(v)
}

func (c *Cluster) list(g *group, want resources.Role) List {
	var l List
	var sound, all, open, spare []*balance.Node
	for _, m := range g.members {
		if m.drained || m.fenced || m.Endpoint.Weight() == 0 || !fits(m.Endpoint.Role(), want) {
			continue
		}
		if want == resources.RolePrimary && !m.mayWrite() || want != resources.RolePrimary && m.lags() {
			continue
		}
		all = append(all, &m.Node)
		if !m.closed.Load() {
			open = append(open, &m.Node)
		}
		if m.sound.Load() {
			sound = append(sound, &m.Node)
		} else if !m.down && !m.closed.Load() {
			spare = append(spare, &m.Node)
		}
	}
	l.Sound, l.Of, l.Nodes, l.Spare = len(sound), len(all), sound, spare
	if l.Panics() {
		if l.Nodes, l.Spare = open, nil; len(open) == 0 {
			l.Nodes = all
		}
	}
	l.Picker, _ = balance.Compile(c.policy.Balance, l.Nodes) // its name was checked by Plan
	return l
}

// seedLatencies gives members that were not measured yet the mean of the others.
func (g *group) seedLatencies(now int64) {
	sum, n := int64(0), int64(0)
	for _, m := range g.members {
		if l := m.Latency(now); l > 0 {
			sum, n = sum+l, n+1
		}
	}
	mean := int64(1e6)
	if n > 0 {
		mean = sum / n
	}
	for _, m := range g.members {
		m.Seed(mean, now)
	}
}

// sayPanic logs when a group begins or ends to use members that are out.
func (c *Cluster) sayPanic(g *group, p *Pool) {
	l := p.List(resources.RoleAny)
	if now := l.Panics(); now != g.panics {
		g.panics = now
		if now {
			c.log.Warn("more than half of a group is out: all its endpoints are used that take connections", "group", g.name, "sound", l.Sound, "of", l.Of)
		} else {
			c.log.Info("enough of a group is back: only sound endpoints are used", "group", g.name, "sound", l.Sound, "of", l.Of)
		}
	}
}
