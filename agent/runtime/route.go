package runtime

import (
	"cmp"

	"github.com/sluice-mesh/sluice/agent/balance"
	"github.com/sluice-mesh/sluice/agent/cluster"
	"github.com/sluice-mesh/sluice/resources"
)

// wanted returns the role that a call needs, which is what its fault names: RolePrimary for all but reads that the
// policy lets go elsewhere. An operation of unknown effect is a write here. Where servers are all alike, any of them serves any call.
func wanted(sn *snapshot, c *resources.Call) resources.Role {
	if sn.alike {
		return resources.RoleAny
	}
	if c.Primary || c.Class != resources.ClassRead {
		return resources.RolePrimary
	}
	switch sn.reads {
	case readsReplica:
		return resources.RoleReplica
	case readsPreferReplica, readsNearest:
		return resources.RoleAny
	}
	return resources.RolePrimary
}

// pick chooses the node for a call; nil when there is none. It returns avoid only when nothing else can serve the
// call.
func (r *Resource) pick(sn *snapshot, rule *rule, c *resources.Call, now int64, avoid *balance.Node) *balance.Node {
	if len(rule.shares) == 0 {
		return nil
	}
	if c.Place != nil {
		return placed(sn, rule, c, now, avoid)
	}
	view := r.cluster.View()
	role := wanted(sn, c)
	first := 0
	if len(rule.shares) > 1 {
		if role == resources.RoleAny && sn.reads == readsNearest {
			if n := r.nearest(sn, view, rule, c, now, avoid); n != nil {
				return n
			}
		}
		first = rule.choose(hashOf(c))
	}
	if pool := view.Pool(rule.shares[first].group); pool != nil {
		l := pool.List(role)
		if role == resources.RoleAny && sn.reads == readsPreferReplica {
			l = preferReplica(pool)
		}
		if l.Sound > 0 && !(avoid != nil && l.Only(avoid)) {
			return l.Picker.Pick(keyOf(c), now, avoid)
		}
	}
	return elsewhere(view, rule, first, role, c, now, avoid)
}

// Group implements [resources.Runtime]: the group that Route would choose, for drivers that must know the servers of a
// group before they can say where in it a key lives. It returns -1 when no group has a weight.
func (r *Resource) Group(c *resources.Call) int {
	sn := r.snapshot.Load()
	rule := r.ruleOf(sn, c)
	n := len(rule.shares)
	if n == 0 {
		return -1
	}
	view, role := r.cluster.View(), wanted(sn, c)
	near := role == resources.RoleAny && sn.reads == readsNearest
	first := 0
	if n > 1 {
		first = rule.choose(hashOf(c))
	}
	sound := -1
	for i := range n {
		id := rule.shares[(first+i)%n].group
		pool := view.Pool(id)
		if pool == nil || pool.List(role).Sound == 0 {
			continue
		}
		if !near || pool.IDC == r.idc {
			return id
		}
		if sound < 0 {
			sound = id
		}
	}
	if sound < 0 {
		sound = rule.shares[first].group
	}
	return sound
}

// hashOf is what decides the group of a call: its key, else its session.
func hashOf(c *resources.Call) uint64 {
	if c.HasKey {
		return mix(c.Key)
	}
	return mix(c.Session.ID)
}

// keyOf is what decides the endpoint when the balance hashes: the driver's own hash of the key, as it is, else the
// session, so that calls without a key do not all meet at one endpoint.
func keyOf(c *resources.Call) uint64 {
	if c.HasKey {
		return c.Key
	}
	return mix(c.Session.ID)
}

// mix spreads the bits of a number over all of them (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// preferReplica returns the replicas of a group, or all its members when no replica is sound.
func preferReplica(p *cluster.Pool) *cluster.List {
	if l := p.List(resources.RoleReplica); l.Sound > 0 {
		return l
	}
	return p.List(resources.RoleAny)
}

// elsewhere is the slow path: the chosen group has nothing sound, or nothing but the node to avoid. First any group
// with a weight that has something sound, then whatever is left, out or not, beginning with the chosen group; then
// avoid.
func elsewhere(view *cluster.View, rule *rule, first int, role resources.Role, c *resources.Call, now int64, avoid *balance.Node) *balance.Node {
	var last *balance.Node
	for _, soundOnly := range [...]bool{true, false} {
		for i := range rule.shares {
			pool := view.Pool(rule.shares[(first+i)%len(rule.shares)].group)
			if pool == nil {
				continue
			}
			l := pool.List(role)
			if l.Empty() || soundOnly && l.Sound == 0 {
				continue
			}
			if n := l.Picker.Pick(keyOf(c), now, avoid); n != avoid || n == nil {
				return n
			}
			last = avoid
		}
	}
	if last == nil {
		return nil
	}
	return cmp.Or(spared(view, rule, role, now), last)
}

// spared returns the best of the endpoints that are ejected, or nil: it may be well again, and another attempt at the endpoint that just
// failed is the alternative.
func spared(view *cluster.View, rule *rule, role resources.Role, now int64) *balance.Node {
	var best *balance.Node
	for _, s := range rule.shares {
		if pool := view.Pool(s.group); pool != nil {
			for _, n := range pool.List(role).Spare {
				best = balance.Better(best, n, now)
			}
		}
	}
	return best
}

// nearest serves a call from the group in the agent's own data centre, else from the endpoint with the lowest latency
// of all groups that have a weight; with a balance that goes by keys it then leaves the choice to their weights, and returns nil.
func (r *Resource) nearest(sn *snapshot, view *cluster.View, rule *rule, c *resources.Call, now int64, avoid *balance.Node) *balance.Node {
	var best *balance.Node
	for i := range rule.shares {
		pool := view.Pool(rule.shares[i].group)
		if pool == nil {
			continue
		}
		l := pool.List(resources.RoleAny)
		if l.Sound == 0 || avoid != nil && l.Only(avoid) {
			continue
		}
		if pool.IDC == r.idc {
			return l.Picker.Pick(keyOf(c), now, avoid)
		}
		if sn.hashed && sn.alike {
			continue
		}
		for _, n := range l.Nodes {
			if n != avoid {
				best = balance.Better(best, n, now)
			}
		}
	}
	return best
}

// placed chooses among the endpoints of the call's partition, in groups that have a weight: sound ones first.
func placed(sn *snapshot, rule *rule, c *resources.Call, now int64, avoid *balance.Node) *balance.Node {
	role := wanted(sn, c)
	var sound, out, last *balance.Node
	consider := func(ep *resources.Endpoint) {
		m := member(ep)
		if m == nil || ep.Gone() || rule.weight(ep.GroupID) == 0 {
			return
		}
		switch {
		case &m.Node == avoid:
			last = avoid
		case m.Sound():
			sound = balance.Better(sound, &m.Node, now)
		default:
			out = balance.Better(out, &m.Node, now)
		}
	}
	if role != resources.RolePrimary {
		for _, ep := range c.Place.Replicas {
			consider(ep)
		}
	}
	// The primary serves writes, whatever else may be closest, and reads where replicas only are preferred and none
	// is left.
	if role == resources.RolePrimary || role == resources.RoleAny && (sn.reads == readsNearest || sound == nil) {
		consider(c.Place.Primary)
	}
	switch {
	case sound != nil:
		return sound
	case out != nil:
		return out
	}
	return last
}
