package http

import (
	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/resources"
)

// pool holds the connections of a shard to one endpoint: those that are free, and the calls that wait for one.
type pool struct {
	sh      *shard
	ep      *resources.Endpoint
	free    []*upstream // the one that was used last is at the end, and used next
	queue   []waiter    // the first came first; some may have given up
	waiting int         // of the queue, that have not given up
	dialing int
}

// waiter is a call that wants a connection.
type waiter struct {
	c      *call
	ticket uint64
}

// pool returns the connections to ep.
func (sh *shard) pool(ep *resources.Endpoint) *pool {
	for ep.ID >= len(sh.pools) {
		sh.pools = append(sh.pools, nil)
	}
	p := sh.pools[ep.ID]
	if p == nil || p.ep != ep {
		p = &pool{sh: sh, ep: ep}
		sh.pools[ep.ID] = p
	}
	return p
}

// want sends a call on a free connection, or as soon as there is one.
func (p *pool) want(c *call, a *attempt) {
	a.pool = p
	if n := len(p.free); n > 0 {
		u := p.free[n-1]
		p.free[n-1] = nil
		p.free = p.free[:n-1]
		p.sh.give(c, a, u)
		return
	}
	p.sh.tickets++
	a.ticket = p.sh.tickets
	p.queue = append(p.queue, waiter{c, a.ticket})
	p.waiting++
	p.dial()
}

// first takes the call that has waited longest out of the queue; nil when none waits.
func (p *pool) first() (*call, *attempt) {
	for i, w := range p.queue {
		var a *attempt
		switch w.ticket {
		case w.c.first.ticket:
			a = &w.c.first
		case w.c.backup.ticket:
			a = &w.c.backup
		default:
			continue // it gave up
		}
		p.queue = p.queue[:copy(p.queue, p.queue[i+1:])]
		p.waiting--
		return w.c, a
	}
	p.queue = p.queue[:0]
	return nil, nil
}

// put gives a connection that is free to the call that has waited longest, or keeps it.
func (p *pool) put(u *upstream) {
	u.since = p.sh.loop.Now()
	switch c, a := p.first(); {
	case c != nil:
		p.sh.give(c, a, u)
	case p.ep.Gone() || p.sh.ended:
		u.close(errDone)
	default:
		p.free = append(p.free, u)
	}
}

// maxDialing is how many connections to one endpoint a loop opens at once. Calls beyond wait for those, or for one that
// becomes free.
const maxDialing = 64

// dial opens as many connections as calls wait for.
func (p *pool) dial() {
	for p.dialing < min(p.waiting, maxDialing) {
		p.dialing++
		sh := p.sh
		if sh.ended {
			sh.loop.Post(func() { p.failed(nil) })
			continue
		}
		sh.r.life.Dial(sh.rt, p.ep, sh.loop, p.attached, p.failed)
	}
}

// attached makes a connection usable.
func (p *pool) attached(c *loop.Conn) {
	sh := p.sh
	u := &upstream{sh: sh, pool: p, ep: p.ep, conn: c, index: len(sh.ups)}
	sh.ups = append(sh.ups, u)
	c.SetHandler(u)
	sh.rt.Connections(p.ep, mode, 1)
	p.dialing--
	if !sh.sweep.Pending() {
		sh.loop.Set(&sh.sweep, sh.loop.Now()+min(sweepEvery, int64(sh.r.set.Idle)))
	}
	if sh.ended {
		u.close(errDone)
		return
	}
	p.put(u)
	p.dial()
}

// failed ends a call for a connection that never became one.
func (p *pool) failed(fault *resources.Fault) {
	p.dialing--
	if fault == nil {
		fault = p.sh.upstreamFault(resources.Unavailable, "the connection to "+p.ep.Address+" was given up")
	}
	if c, a := p.first(); c != nil {
		p.sh.missed(c, a, fault, resources.SentNothing)
	}
	p.dial()
}
