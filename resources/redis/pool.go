package redis

import (
	"slices"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/resources"
)

// Idle connections are closed after this time, those that were lent sooner than those that are shared.
const (
	idleShared = int64(300e9)
	idleLent   = int64(30e9)
	maxIdle    = 32 // connections kept for the next loan
)

// pool holds the connections of a shard to one endpoint with one set of attributes.
type pool struct {
	sh     *shard
	ep     *resources.Endpoint
	attr   *attr
	shared []*upstream // that take new requests; at most Settings.Connections
	slow   []*upstream // shared ones that are held up by a long reply: nothing new goes there
	idle   []*upstream // clean, for the next loan
	lent   int
}

func (p *pool) empty() bool { return len(p.shared)+len(p.slow)+len(p.idle)+p.lent == 0 }

// lane returns the shared connection for a session's next request, and dials it when there is none. A session that has
// unanswered requests on a connection stays on it, or its requests might overtake each other.
func (p *pool) lane(s *session) *upstream {
	if p.sh.r.set.Connections > 1 || len(p.shared) > 1 || len(p.slow) > 0 {
		if u := p.held(s); u != nil {
			return u
		}
	}
	return p.open(s)
}

// open returns the shared connection that a session without unanswered requests takes, and dials it when there is none.
func (p *pool) open(s *session) *upstream {
	n := p.sh.r.set.Connections
	if len(p.shared) < n {
		return p.dial(modeShared)
	}
	return p.shared[int(s.rs.ID/uint64(len(p.sh.r.shards))%uint64(n))] // sessions take the shards in turn
}

// held returns the shared connection that a session has unanswered requests on; nil when there is none.
func (p *pool) held(s *session) *upstream {
	for c := s.head; c != nil; c = c.next {
		if c.answered {
			continue
		}
		if u := c.up; p.shares(u) {
			return u
		}
		if c.parts == nil {
			continue
		}
		for _, part := range c.parts.parts {
			if part != nil && p.shares(part.up) {
				return part.up
			}
		}
	}
	return nil
}

// shares reports whether u, which may be nil, is one of the pool's shared connections.
func (p *pool) shares(u *upstream) bool {
	return u != nil && u.pool == p && u.mode == modeShared && u.state != upClosed
}

// lease returns a connection for one session alone; nil when too many are lent.
func (p *pool) lease(s *session, mode string) *upstream {
	var u *upstream
	if n := len(p.idle); n > 0 && mode == modeLeased {
		u = p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
	} else if p.lent >= p.sh.r.set.Leases {
		return nil
	} else {
		u = p.dial(mode)
	}
	u.lessee = s
	p.lent++
	return u
}

// giveBack takes a lent connection back. It must be clean: everything answered, no transaction, no subscription.
func (p *pool) giveBack(u *upstream) {
	p.lent--
	u.lessee, u.asking = nil, false
	if u.head != u.tail && !bug.reusesDirty(u) || u.state != upReady || u.mode != modeLeased || len(p.idle) >= maxIdle || p.ep.Gone() {
		u.close(errDone)
		return
	}
	if u.attr != p.attr { // SELECT, AUTH or HELLO while it was lent
		p = p.sh.pool(p.ep, u.attr)
		u.pool = p
	}
	u.last = p.sh.loop.Now()
	p.idle = append(p.idle, u)
}

// remove forgets a connection that is gone.
func (p *pool) remove(u *upstream) {
	if u.lessee != nil {
		p.lent--
	}
	for _, list := range []*[]*upstream{&p.shared, &p.slow, &p.idle} {
		for i, v := range *list {
			if v == u {
				*list = append((*list)[:i], (*list)[i+1:]...)
				return
			}
		}
	}
}

// setSlow moves a shared connection out of or back into use.
func (p *pool) setSlow(u *upstream, slow bool) {
	if u.slow == slow || u.mode != modeShared || u.state == upClosed {
		return
	}
	u.slow = slow
	from, to := &p.shared, &p.slow
	if !slow {
		from, to = to, from
	}
	for i, v := range *from {
		if v == u {
			*from = append((*from)[:i], (*from)[i+1:]...)
			break
		}
	}
	*to = append(*to, u)
	if slow {
		u.slowFrom = p.sh.loop.Now()
		p.sh.loop.Set(&u.aside, u.slowFrom+asideAfter)
	} else {
		p.sh.loop.Cancel(&u.aside)
	}
}

func (p *pool) sweep(now int64) {
	gone := p.ep.Gone()
	for i := len(p.idle) - 1; i >= 0; i-- {
		if u := p.idle[i]; gone || now-u.last > idleLent {
			u.close(errDone)
		}
	}
	for i := len(p.shared) - 1; i >= 0; i-- {
		u := p.shared[i]
		if u.head == u.tail && u.state == upReady && (gone || now-u.last > idleShared || i >= p.sh.r.set.Connections) {
			u.close(errDone)
		}
	}
}

// end closes all connections that are not lent; those go with their sessions.
func (p *pool) end() {
	for _, list := range [][]*upstream{slices.Clone(p.shared), slices.Clone(p.slow), slices.Clone(p.idle)} {
		for _, u := range list {
			u.close(errDone)
		}
	}
}

// dial opens a connection. It takes requests at once; they are sent when it is ready.
func (p *pool) dial(mode string) *upstream {
	u := &upstream{sh: p.sh, pool: p, ep: p.ep, attr: p.attr, mode: mode, last: p.sh.loop.Now()}
	u.timer.F, u.hedge.F, u.aside.F = u.onTimer, u.onHedge, u.onAside
	if mode == modeShared {
		p.shared = append(p.shared, u)
	}
	if p.sh.noDials {
		p.sh.loop.Post(func() { u.failed(nil, "") })
		return u
	}
	r, want := p.sh.r, *p.attr
	readonly := r.set.Topology == topologyCluster && p.ep.Role() == resources.RoleReplica
	r.work.Add(1)
	go func() {
		defer r.work.Done()
		nc, fault, said := r.connect(p.ep, want, readonly)
		if nc == nil {
			p.sh.loop.Post(func() { u.failed(fault, said) })
			return
		}
		_ = p.sh.loop.Attach(nc, func(c *loop.Conn) { u.attached(c) })
	}()
	return u
}
