package cluster

import (
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/resources"
)

// fence is what a group knows of its writer: the one endpoint that is written to while servers of the group say that
// they are primaries. Guarded by Cluster.mu.
type fence struct {
	writer  *Member // nil: none is chosen
	last    *Member // the writer now or, when there is none, before; nil: there was none
	claimed bool    // a server says that it is primary, or a writer is remembered: none but the writer is written to
	unclear bool    // several say so and nothing tells them apart
	vacant  int64   // since when there is no writer because it said that it is a replica; 0: that is not so
}

// mayWrite reports whether a member may be written to as far as the others are concerned.
func (m *Member) mayWrite() bool {
	return m.group == nil || !m.group.fence.claimed || m.group.fence.writer == m
}

// fences reports whether a group has one writer. Where a topology tells who is primary, it decides; the endpoints of a
// partitioned resource are all primaries; and an operator who declares several primaries wants several.
func (c *Cluster) fences(g *group) bool {
	if c.driver == nil || c.partitioned || g.found != nil && !g.stale {
		return false
	}
	declared := 0
	for _, m := range g.members {
		if m.listed == resources.RolePrimary {
			declared++
		}
	}
	return declared < 2
}

// elect finds the writer of a group anew and fences the other servers that say that they are primaries. It returns
// whether anything changed that calls and drivers must know; the view must be published then. c.mu is held.
func (c *Cluster) elect(g *group, now int64) bool {
	was := g.fence
	if c.fences(g) {
		c.vote(g, now)
	} else {
		g.fence = fence{}
		for _, m := range g.members {
			m.deposed = false
		}
	}
	f := &g.fence
	changed := f.writer != was.writer || f.claimed != was.claimed
	if f.writer != was.writer {
		g.fresh = true
		c.sayWriter(g, was.last)
	}
	for _, m := range g.members {
		on := f.claimed && m != f.writer && m.says == resources.RolePrimary && (f.writer != nil || f.unclear || m.deposed)
		changed = c.setFenced(m, on) || changed
	}
	if f.unclear && !was.unclear {
		c.log.Warn("several endpoints say that they are the primary and nothing tells which is right: none of them gets calls; "+
			"declare one with role: primary, or make the others replicas", "group", g.name, "endpoints", strings.Join(g.claimants(), " "))
	}
	c.remember(g)
	return changed
}

// vote decides who the writer is. c.mu is held.
func (c *Cluster) vote(g *group, now int64) {
	f := &g.fence
	if w := f.writer; w != nil {
		switch {
		case w.says == resources.RoleReplica: // it gave up by itself
			f.writer, f.vacant = nil, now
		case !w.eligible(), w.says == resources.RoleAny && w.probed && !w.down:
			f.writer = nil
		}
	}
	f.claimed, f.unclear = f.writer != nil || len(g.claimants()) > 0, false
	if w := f.writer; w != nil && !w.lost() {
		if next := newer(g.members, w); next != nil {
			g.hand(next)
		}
		return
	}
	candidates := c.candidates(g, now)
	next := best(candidates)
	switch {
	case next != nil && (next.listed == resources.RolePrimary || g.known()):
		g.hand(next)
	case next == nil && len(candidates) > 1 && g.known():
		f.unclear = true
	}
}

// hand makes a member the writer. The one before it is deposed, unless it says itself that it is a replica.
func (g *group) hand(next *Member) {
	f := &g.fence
	if f.last != nil && f.last != next && f.last.says != resources.RoleReplica {
		f.last.deposed = true
	}
	next.deposed = false
	g.fence = fence{writer: next, last: next, claimed: true}
}

// eligible reports whether a member could be written to if it were sound.
func (m *Member) eligible() bool { return !m.removed && !m.drained && m.Endpoint.Weight() > 0 }

// lost reports whether a writer may be replaced: it is down by its probes, or answered that it is not ready.
func (m *Member) lost() bool { return m.down || m.unready }

// standing reports whether a member says that it is the primary and could be the writer now.
func (m *Member) standing() bool {
	return m.says == resources.RolePrimary && m.eligible() && !m.lost()
}

// known reports whether every member that could be the writer has been checked at least once.
func (g *group) known() bool {
	return !slices.ContainsFunc(g.members, func(m *Member) bool { return m.eligible() && !m.probed })
}

// claimants are the addresses of those that say that they are primaries, whether they answer now or not.
func (g *group) claimants() []string {
	var list []string
	for _, m := range g.members {
		if m.says == resources.RolePrimary && m.eligible() {
			list = append(list, m.Endpoint.Address)
		}
	}
	return list
}

// newer returns the member that proves a later promotion than the writer's; nil when there is none.
func newer(members []*Member, writer *Member) *Member {
	epoch, next := writer.epoch, (*Member)(nil)
	for _, m := range members {
		if writer.epoch > 0 && m.epoch > epoch && m.standing() {
			epoch, next = m.epoch, m
		}
	}
	return next
}

// candidates are the members that may take over. One that was deposed may not, until the writer gave up by itself and
// nobody else came forward for as long as it takes to know that a server is down: then it is what is left.
func (c *Cluster) candidates(g *group, now int64) []*Member {
	p, f := &c.policy.Probe, &g.fence
	patience := int64(max(1, p.Fall)) * (p.Every.D() + p.Timeout.D()).Nanoseconds()
	waited := f.vacant != 0 && now-f.vacant >= patience
	var list []*Member
	for _, m := range g.members {
		if m != f.writer && m.standing() && (!m.deposed || waited) {
			list = append(list, m)
		}
	}
	return list
}

// best chooses among candidates: the only one, or the one with the latest promotion when all tell theirs, or the one
// that is declared as primary. nil: there is none, or nothing tells them apart.
func best(candidates []*Member) *Member {
	if len(candidates) == 1 {
		return candidates[0]
	}
	var latest, declared *Member
	told, tie := true, false
	for _, m := range candidates {
		told = told && m.epoch > 0
		if latest == nil || m.epoch > latest.epoch {
			latest, tie = m, false
		} else if m.epoch == latest.epoch {
			tie = true
		}
		if m.listed == resources.RolePrimary { // one at most is, or the group has no fence
			declared = m
		}
	}
	if told && !tie {
		return latest
	}
	return declared
}

// setFenced takes a member out of all use because it says wrongly that it is the primary, or lets it back, and returns
// whether that is news. Nobody knows what its data is, so that it gets no reads either.
func (c *Cluster) setFenced(m *Member, on bool) bool {
	if m.fenced == on {
		return false
	}
	m.fenced = on
	m.Endpoint.SetGone(m.drained || on)
	if on {
		c.log.Warn("endpoint is fenced: it gets no calls", "group", m.group.name, "endpoint", m.Endpoint.Address, "why", m.fencedWhy())
	} else {
		c.log.Info("endpoint is no longer fenced", "group", m.group.name, "endpoint", m.Endpoint.Address)
	}
	return true
}

// fencedWhy says to people why a member is fenced.
func (m *Member) fencedWhy() string {
	why := "it says that it is the primary, and others say so too"
	if w := m.group.fence.writer; w != nil {
		why = "it says that it is the primary, and " + w.Endpoint.Address + " is written to"
	} else if m.deposed {
		why = "it says that it is the primary, and was replaced by another one"
	}
	return why + ": make it a replica"
}

// sayWriter logs a change of the writer. was is the one before, also when there was none for a while.
func (c *Cluster) sayWriter(g *group, was *Member) {
	w := g.fence.writer
	if was == nil || w == nil || was == w {
		return
	}
	why := "the new one proves a later promotion"
	switch {
	case was.says == resources.RoleReplica:
		why = "it is a replica now"
	case !was.eligible():
		why = "it was taken out of use"
	case was.down:
		why = "it is down: " + was.reason
	case was.unready:
		why = "it is not ready: " + was.reason
	}
	c.log.Warn("another endpoint is written to", "group", g.name, "endpoint", w.Endpoint.Address, "was", was.Endpoint.Address, "why", why)
}
