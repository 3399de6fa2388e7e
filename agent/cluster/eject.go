package cluster

import (
	"fmt"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// poke wakes the keeper without waiting.
func (c *Cluster) poke() {
	select {
	case c.wakes <- struct{}{}:
	default:
	}
}

// idle is how long the keeper sleeps when nothing is due.
const idle = time.Hour

// pause is how long a suspect that may not be ejected is left alone.
const pause = int64(100 * time.Millisecond)

// keep is the keeper: it ejects suspects, takes ejected members back and lets go of held discoveries.
func (c *Cluster) keep() {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.wakes:
		case <-timer.C:
		}
		timer.Reset(c.step())
	}
}

// step does what is due and returns how long nothing else will be.
func (c *Cluster) step() time.Duration {
	c.mu.Lock()
	now := c.now()
	changed := false
	for _, m := range c.members {
		if m.until != 0 && now >= m.until {
			c.takeBack(m, now)
			changed = true
		}
	}
	for _, m := range c.members {
		// One that may not be ejected stays a suspect for a moment, so that its failures do not keep the keeper busy.
		if m.suspect.Load() && (m.spared == 0 || now-m.spared >= pause) {
			m.suspect.Store(false)
			changed = c.judge(m, now) || changed
		}
	}
	moved := false
	for _, g := range c.groups {
		moved = c.review(g, now) || moved
	}
	if changed || moved {
		c.publish()
	}
	next := int64(idle)
	for _, m := range c.members {
		if m.until != 0 {
			next = min(next, m.until-now)
		}
		if m.suspect.Load() && m.spared != 0 {
			next = min(next, max(m.spared+pause-now, 0))
		}
	}
	for _, g := range c.groups {
		if g.held != nil {
			next = min(next, max(g.held.since+holdFor-now, int64(time.Second)))
		}
	}
	c.mu.Unlock()
	if moved {
		c.changed()
	}
	return time.Duration(max(next, 1))
}

// judge ejects a suspect if the rules allow it.
func (c *Cluster) judge(m *Member, now int64) bool {
	r := c.rules.Load()
	n := m.consecutive.Load()
	if m.removed || m.drained || m.fenced || m.until != 0 || !m.guilty(r, n, now) {
		return false
	}
	calls, failures := m.window.sum(now, r.bucket)
	why := fmt.Sprintf("%d of %d calls failed, %d in a row", failures, calls, n)
	if m.closed.Load() || !mayEject(m.group.members, m, c.policy.Eject.AtMost) {
		if !m.closed.Load() {
			m.reason = why + "; not ejected: too few would be left"
		}
		m.spared = now
		select {
		case m.hurry <- struct{}{}: // it stays in use, so it matters how it is
		default:
		}
		return false
	}
	m.reason = why
	c.eject(m, now)
	return true
}

// mayEject is the rule of who may be ejected: at most a share of the group, counted with the new one, never the last
// sound one of the group, and never its last sound primary.
func mayEject(group []*Member, m *Member, atMost resources.Percent) bool {
	of, ejected, sound, primaries := 0, 1, 0, 0
	for _, x := range group {
		if x.drained || x.fenced || x.Endpoint.Weight() == 0 {
			continue
		}
		of++
		if x.until != 0 {
			ejected++
		}
		if x == m || x.until != 0 || x.down || x.closed.Load() {
			continue
		}
		sound++
		if x.mayWrite() && fits(x.Endpoint.Role(), resources.RolePrimary) {
			primaries++
		}
	}
	if m.Endpoint.Weight() == 0 || sound == 0 || float64(ejected) > atMost.Fraction()*float64(of) {
		return false
	}
	return primaries > 0 || !m.mayWrite() || !fits(m.Endpoint.Role(), resources.RolePrimary)
}

func (c *Cluster) eject(m *Member, now int64) {
	e := c.policy.Eject
	// Each window that passed without an ejection since the last one makes up for one.
	if m.ejections > 0 && m.returned != 0 {
		m.ejections = max(0, m.ejections-int((now-m.returned)/max(1, e.Window.D().Nanoseconds())))
	}
	d := e.Base.D() << min(m.ejections, 20)
	if d > e.Max.D() || d <= 0 {
		d = e.Max.D()
	}
	m.ejections++
	m.total++
	m.until = now + d.Nanoseconds()
	m.ejected.Add(1)
	c.log.Warn("endpoint ejected", "group", m.group.name, "endpoint", m.Endpoint.Address, "for", d, "why", m.reason)
}

func (c *Cluster) takeBack(m *Member, now int64) {
	m.until, m.returned = 0, now
	m.consecutive.Store(0)
	m.window.clear()
	c.log.Info("endpoint is back from ejection", "group", m.group.name, "endpoint", m.Endpoint.Address)
	if !m.down && !m.closed.Load() {
		m.reason = ""
	}
}
