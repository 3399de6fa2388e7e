package cluster

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// startProbe begins to probe a member, once. c.mu is held.
func (c *Cluster) startProbe(m *Member) {
	if m.stopProbe != nil || m.removed || c.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.WithValue(c.ctx, ofProbe{}, true))
	m.stopProbe = cancel
	driver := c.driver
	c.run.Go(func() {
		defer cancel()
		c.probe(ctx, m, func() resources.Probe { return driver.Probe(m.Endpoint) })
	})
}

// ofProbe is the key of contexts of checks, which may connect to endpoints that get no calls.
type ofProbe struct{}

// probe checks one member until ctx is done: at once, and then again each `every`, give or take a tenth, from the start of
// one check to the start of the next, so that a server that does not answer is known after fall × every + timeout. A member that
// is down is checked twice as often, so that its return is noticed early. Calls that fail have a member checked before its
// time, so that one that stays in use because it is the last is soon known to be down. One that refuses connections is also checked
// between times, see watchLeast, over a new connection; that it still does then does not count as a failed check, so that those stay
// `every` apart.
func (c *Cluster) probe(ctx context.Context, m *Member, probe func() resources.Probe) {
	p := probe()
	defer func() { p.Close() }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	counted, down := c.now(), false // when a check last counted
	var due time.Time               // of the next one that does
	var pause time.Duration         // before one between times
	for {
		counts := false
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			counts = !time.Now().Before(due)
		case <-m.hurry:
			if down || c.now()-counted < int64(hurryLeast) {
				continue
			}
			counts = true
		case <-m.watch:
			pause = max(pause, watchLeast)
			timer.Reset(min(jitter(pause), time.Until(due)))
			continue
		}
		select {
		case <-ctx.Done():
			return
		case c.probing <- struct{}{}:
		}
		c.mu.Lock()
		every, timeout := c.policy.Probe.Every.D(), c.policy.Probe.Timeout.D()
		c.mu.Unlock()
		closed := m.closed.Load()
		if closed { // a server that ends answers on connections that it has, after it has stopped to listen
			p.Close()
			p = probe()
		}
		begun := time.Now()
		check, cancel := context.WithTimeout(ctx, timeout)
		h, err := p.Check(check)
		cancel()
		<-c.probing
		if ctx.Err() != nil {
			return
		}
		var watched bool
		if down, watched = c.probed(m, h, err, counts, closed); down {
			every = max(every/2, min(every, 100*time.Millisecond))
		}
		if counts {
			counted = c.now()
			due = time.Now().Add(max(every/10, jitter(every)-time.Since(begun)))
		}
		next := time.Until(due)
		if watched {
			pause = min(max(2*pause, watchLeast), watchMost)
			next = min(next, jitter(pause))
		} else if pause /= 2; pause < watchLeast { // one that comes and goes is checked less and less often
			pause = 0
		}
		timer.Reset(next)
	}
}

// One that refuses connections is checked after watchLeast, and then after twice the time each, up to watchMost.
const (
	watchLeast = 100 * time.Millisecond
	watchMost  = time.Second
)

// jitter gives or takes a tenth.
func jitter(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) }

// hurryLeast is the least time between two checks that failing calls ask for.
const hurryLeast = 250 * time.Millisecond

// probed takes the result of a check, which when it is bad may be one that does not count, and returns whether the member is down, and whether
// its return is watched for. anew says that the check began with the member closed: one that began before says nothing of who listens now.
func (c *Cluster) probed(m *Member, h resources.Health, err error, counts, anew bool) (down, watched bool) {
	c.mu.Lock()
	was, first, closed := m.down, !m.probed, m.closed.Load()
	if err == nil && h.Ready {
		m.passed, m.failed = m.passed+1, 0
		if m.passed >= c.policy.Probe.Rise {
			m.down = false
		}
		if anew {
			c.listens(m, c.now())
		}
		if m.until == 0 && !m.down && !m.closed.Load() {
			m.reason = ""
		}
	} else {
		m.passed = 0
		if counts {
			m.failed++
		}
		m.reason = h.Detail
		if err != nil {
			m.reason = err.Error()
		}
		// Of a member that was never seen up nothing good is known: one failure is enough.
		if m.failed >= c.policy.Probe.Fall || first {
			m.down = true
		}
	}
	m.probed = true
	m.returns = m.closed.Load() || m.returns && m.down
	changed, role, weight := m.down != was, false, false
	if err == nil {
		m.unready = !h.Ready
		weight = m.weigh(h.Weight)
		role = m.learn(h)
	}
	turned := !m.removed && c.elect(m.group, c.now())
	if changed {
		if m.down {
			c.log.Warn("endpoint is down", "group", m.group.name, "endpoint", m.Endpoint.Address, "why", m.reason)
		} else {
			c.log.Info("endpoint is up", "group", m.group.name, "endpoint", m.Endpoint.Address)
			if m.until != 0 { // what its calls suffered from is over, as far as anybody can see
				c.takeBack(m, c.now())
			}
		}
	}
	if (changed || role || weight || first || turned || m.closed.Load() != closed) && !m.removed {
		c.publish()
	}
	down, watched = m.down, m.returns
	held := m.group.held != nil
	c.mu.Unlock()
	if role || turned {
		c.changed()
	}
	if held {
		c.poke()
	}
	return down, watched
}

// learn keeps what a server said of itself and returns whether its role changed, or whether it may be read from. A server may deny that it is the primary
// that a topology takes it for; it may not claim to be one against the topology's word: an old primary that comes back
// takes itself for one until it is told otherwise, and would lose what is written to it.
func (m *Member) learn(h resources.Health) bool {
	m.health = h
	if h.Role == resources.RoleAny {
		return false
	}
	m.says, m.epoch = h.Role, h.Epoch
	turned := m.stale != h.Stale // what lists of readers there are depends on it
	if m.stale = h.Stale; turned {
		m.sayStale()
	}
	if h.Role == resources.RoleReplica && m.deposed {
		m.deposed, m.group.fresh = false, true
	}
	// What an earlier process found is no more than a guess; of those who claim then, the fence admits one.
	if m.discovered && !m.group.stale && m.listed == resources.RoleReplica && h.Role == resources.RolePrimary {
		return turned
	}
	m.told = true
	if m.Endpoint.Role() == h.Role {
		return turned
	}
	m.cluster.log.Info("endpoint has another role", "group", m.group.name, "endpoint", m.Endpoint.Address,
		"was", m.Endpoint.Role().String(), "is", h.Role.String())
	m.Endpoint.SetRole(h.Role)
	return true
}

// sayStale logs that a replica is read from no more, or again.
func (m *Member) sayStale() {
	if m.stale {
		m.cluster.log.Warn("replica gets no reads", "group", m.group.name, "endpoint", m.Endpoint.Address, "why", m.health.Detail)
	} else {
		m.cluster.log.Info("replica may be read from again", "group", m.group.name, "endpoint", m.Endpoint.Address)
	}
}

// Report takes what a driver learnt outside of calls and probes. Being refused counts as a failed call.
func (c *Cluster) Report(ep *resources.Endpoint, h resources.Health) {
	m := Of(ep)
	if m == nil {
		return
	}
	c.mu.Lock()
	role := m.learn(h)
	if !h.Ready && h.Detail != "" {
		m.reason = h.Detail
	}
	role = !m.removed && c.elect(m.group, c.now()) || role
	if role && !m.removed {
		c.publish()
	}
	c.mu.Unlock()
	if !h.Ready {
		m.fail(c.now())
	}
	if role {
		c.changed()
	}
}

// Probed reports whether every member has been checked at least once. Where members must be found first, they have been,
// or nobody has told of any for a while.
func (c *Cluster) Probed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now()-c.started < firstReport {
		for _, g := range c.groups {
			if g.found == nil && (c.seedsOnly || g.registry != "") {
				return false
			}
		}
	}
	for _, m := range c.members {
		if !m.probed {
			return false
		}
	}
	return true
}
