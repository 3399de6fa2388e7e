package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// holdFor is how long a report that takes away too much must stand before it is believed.
const holdFor = int64(30 * time.Second)

// heldReport is a discovery that is not believed yet.
type heldReport struct {
	members []resources.Member
	since   int64
}

// seedsOnly is a topology whose seeds, as sentinels do, know servers and are none. Its groups have no members before
// the first report.
type seedsOnly interface {
	SeedsOnly() bool
}

// firstReport is how long the first report of such a topology makes the start of an agent wait.
const firstReport = int64(3 * time.Second)

// watcher returns what watches a group for as long as ctx lasts; nil when nothing does. c.mu is held.
func (c *Cluster) watcher(g *group) func(ctx context.Context, seeds []string, report func([]resources.Member)) error {
	switch {
	case c.driver == nil:
		return nil
	case g.registry != "":
		finder, service, registry := c.finder, c.service(g.name), g.registry
		return func(ctx context.Context, _ []string, report func([]resources.Member)) error {
			return finder.Find(ctx, registry, service, report)
		}
	case c.topology != nil:
		topology, name := c.topology, g.name
		return func(ctx context.Context, seeds []string, report func([]resources.Member)) error {
			return topology.Watch(ctx, name, seeds, report)
		}
	}
	return nil
}

// startWatch begins to watch a group, again when its seeds changed. c.mu is held.
func (c *Cluster) startWatch(g *group) {
	watcher := c.watcher(g)
	if c.ctx.Err() != nil {
		return
	}
	if watcher == nil {
		if g.watch != nil { // it had a registry: what that said holds no more
			c.stopWatch(g)
			g.held = nil
			c.accept(g, nil, c.now())
		}
		return
	}
	seeds := g.seedList()
	if g.watch != nil {
		if slices.Equal(seeds, g.seeds) {
			return
		}
		c.stopWatch(g)
	}
	ctx, cancel := context.WithCancel(c.ctx)
	g.watch, g.seeds = cancel, seeds
	from := c.watchSeeds(g)
	c.run.Go(func() { c.watch(ctx, watcher, g, from) })
}

func (c *Cluster) stopWatch(g *group) {
	if g.watch != nil {
		g.watch()
		g.watch = nil
	}
}

// watch keeps a watcher running until ctx is done. One that returns without an error says that the group has no topology;
// one that fails is begun again after 0.5 s to 5 s.
func (c *Cluster) watch(ctx context.Context, watcher func(context.Context, []string, func([]resources.Member)) error, g *group, seeds []string) {
	delay := 500 * time.Millisecond
	for {
		began := c.now()
		err := watcher(ctx, seeds, func(found []resources.Member) {
			if ctx.Err() == nil {
				c.discovered(g, slices.Clone(found))
			}
		})
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			c.forgetPast(g)
			return
		}
		c.log.Warn("discovery failed and is tried again; the last good endpoints stay", "group", g.name, "error", err)
		if c.now()-began > int64(time.Minute) {
			delay = 500 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(delay/2 + rand.N(delay)):
		}
		delay = min(2*delay, 5*time.Second)
	}
}

// forgetPast gives a group that turned out to have no topology its configured addresses back.
func (c *Cluster) forgetPast(g *group) {
	c.mu.Lock()
	past := g.stale && c.groups[g.name] == g
	if past {
		c.accept(g, nil, c.now())
		c.publish()
	}
	c.mu.Unlock()
	if past {
		c.changed()
	}
}

// discovered takes a report: at once when it is harmless, else it is held.
func (c *Cluster) discovered(g *group, found []resources.Member) {
	c.mu.Lock()
	now := c.now()
	if c.groups[g.name] != g {
		c.mu.Unlock()
		return
	}
	known := g.found
	if known == nil || g.stale { // seeds and the past are no discovery: the first report may be anything but empty
		if len(found) == 0 {
			c.mu.Unlock()
			return
		}
		known = found
	}
	missing := missingFrom(found, known)
	if len(found) == 0 || 2*missing > len(known) {
		if g.held == nil {
			g.held = &heldReport{since: now}
			c.log.Warn("discovery reports too few endpoints: held until it proves true", "group", g.name,
				"reported", len(found), "known", len(known), "missing", missing)
		}
		g.held.members = found
		c.mu.Unlock()
		c.poke()
		return
	}
	g.held = nil
	c.accept(g, found, now)
	c.publish()
	c.mu.Unlock()
	c.changed()
}

// accept makes a report the members of its group. An empty one gives the group its configured addresses back.
func (c *Cluster) accept(g *group, found []resources.Member, now int64) {
	was, old := g.stale, g.found
	if g.found, g.stale = found, false; len(found) == 0 {
		g.found = nil
	}
	g.fresh = g.fresh || was || !slices.Equal(old, g.found)
	c.reconcile(g, now)
	if was {
		c.sayFresh(g, now)
	}
}

// review lets a held report through once it is believed: the members that it takes away are down, or it has stood for
// holdFor. An empty one needs both: it offers nothing in exchange.
func (c *Cluster) review(g *group, now int64) bool {
	h := g.held
	if h == nil {
		return false
	}
	allDown := true
	for _, m := range g.members {
		listed := slices.ContainsFunc(h.members, func(r resources.Member) bool { return r.Address == m.Endpoint.Address })
		if !listed && !m.down {
			allDown = false
		}
	}
	stood := now-h.since >= holdFor
	if len(h.members) == 0 && !(stood && allDown) || !stood && !allDown {
		return false
	}
	c.log.Warn("a held discovery is believed now", "group", g.name, "endpoints", len(h.members),
		"why", fmt.Sprintf("stood for %s, missing ones down: %t", time.Duration(now-h.since).Round(time.Second), allDown))
	g.held = nil
	c.accept(g, h.members, now)
	return true
}

func missingFrom(found, known []resources.Member) int {
	n := 0
	for _, k := range known {
		if !slices.ContainsFunc(found, func(f resources.Member) bool { return f.Address == k.Address }) {
			n++
		}
	}
	return n
}
