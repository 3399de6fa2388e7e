package cluster

import (
	"context"
	"errors"
	"syscall"
)

// refuses reports whether an attempt to connect was answered, at once and for certain, that nobody listens there: the port is closed, the
// socket's file is gone or has no process behind it, or there is no way to the host. A time that is over says nothing of the kind.
func refuses(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) ||
		errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

// noteListener takes what came of an attempt to connect. The first one that is refused takes the member out of use, and each that works, but
// for those of checks, whose result says more, brings it back.
func (c *Cluster) noteListener(ctx context.Context, m *Member, err error) {
	check := ctx.Value(ofProbe{}) != nil
	c.mu.Lock()
	defer c.mu.Unlock()
	was := m.closed.Load()
	switch {
	case err == nil && !check:
		c.listens(m, c.now())
	case err == nil || !refuses(err) || m.closed.Load() || m.removed:
		return
	default:
		m.closed.Store(true)
		m.returns, m.reason = true, plainError(err)
		c.log.Warn("endpoint takes no connections", "group", m.group.name, "endpoint", m.Endpoint.Address, "why", m.reason)
		if !check {
			select {
			case m.watch <- struct{}{}:
			default:
			}
		}
	}
	if m.closed.Load() != was {
		c.publish()
	}
}

// listens takes a member back that was closed, with a clean record: what its calls suffered from is over, and the next connection
// is tried and not refused in memory of the last. The view must be published then. c.mu is held.
func (c *Cluster) listens(m *Member, now int64) {
	if !m.closed.Load() {
		return
	}
	m.closed.Store(false)
	m.consecutive.Store(0)
	m.window.clear()
	m.dial.worked()
	c.log.Info("endpoint takes connections again", "group", m.group.name, "endpoint", m.Endpoint.Address)
	if m.until != 0 {
		c.takeBack(m, now)
	}
	if !m.down {
		m.reason = ""
	}
}
