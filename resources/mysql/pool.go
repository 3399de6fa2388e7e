package mysql

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
)

// class is what connections to servers must have in common to serve the same sessions: they then speak byte for byte the
// same protocol and have the same rights. There is one class for each combination; it is compared by address.
type class struct {
	login   *login
	caps    mysql.Caps
	charset byte
}

// pool holds the connections to one endpoint.
//
// A place among them is taken before anything is dialled, and whoever needs one when all are taken waits in line.
type pool struct {
	r     *Resource
	ep    *resources.Endpoint
	known facts // of the server

	mu      sync.Mutex
	open    int // places taken: connections, and those being made
	idle    map[*class][]*upstream
	nidle   int
	waiting []*waiter  // the longest first
	holders []*session // that hold a connection for what their last statement left behind; the longest first
	closed  bool
}

// waiter is a session in line. It gets a connection, or nil: a place to make one.
type waiter struct {
	class *class
	bare  bool // it has no database: a connection that has one cannot get rid of it
	turn  chan *upstream
}

// pool returns the pool of an endpoint.
func (r *Resource) pool(ep *resources.Endpoint) *pool {
	if list := *r.pools.Load(); ep.ID < len(list) && list[ep.ID] != nil && list[ep.ID].ep == ep {
		return list[ep.ID]
	}
	r.poolsMu.Lock()
	defer r.poolsMu.Unlock()
	old := *r.pools.Load()
	if ep.ID < len(old) && old[ep.ID] != nil && old[ep.ID].ep == ep {
		return old[ep.ID]
	}
	list := make([]*pool, max(len(old), ep.ID+1))
	copy(list, old)
	if was := list[ep.ID]; was != nil { // of an endpoint that is long gone
		was.shut()
	}
	p := &pool{r: r, ep: ep, idle: map[*class][]*upstream{}}
	list[ep.ID] = p
	r.pools.Store(&list)
	return p
}

// take returns a connection of s's class: the one it had last when that is free, else one that needs no change of
// state, else any, else a new one.
func (p *pool) take(s *session) (*upstream, *resources.Fault) {
	var u *upstream
	p.mu.Lock()
	if !p.closed {
		u = p.pick(s)
	}
	p.mu.Unlock()
	if u != nil {
		if u.usable() {
			return u, nil
		}
		u.discard()
	}
	return p.takeAside(s)
}

func (p *pool) takeAside(s *session) (u *upstream, fault *resources.Fault) {
	s.aside(func() { u, fault = p.takeSlowly(s) })
	return u, fault
}

func (p *pool) dialAside(s *session) (u *upstream, fault *resources.Fault) {
	s.aside(func() { u, fault = p.dial(s) })
	return u, fault
}

// takeSlowly is take where that needs more than a look: it may wait for servers and other sessions.
func (p *pool) takeSlowly(s *session) (*upstream, *resources.Fault) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, p.fault(resources.Unavailable, "is going away")
		}
		if u := p.pick(s); u != nil {
			p.mu.Unlock()
			if u.usable() {
				return u, nil
			}
			u.discard()
			continue
		}
		switch {
		case p.open < p.r.set.Pool.Max:
			p.open++
			p.mu.Unlock()
			return p.dial(s)
		case p.nidle > 0: // of other classes: one of them makes place
			u := p.oldest()
			p.mu.Unlock()
			u.end()
			return p.dial(s)
		}
		if t := p.holder(); t != nil {
			p.mu.Unlock()
			t.carry()
			t.mu.Unlock()
			continue
		}
		w := &waiter{class: s.class, bare: s.db == "", turn: make(chan *upstream, 1)}
		p.waiting = append(p.waiting, w)
		p.mu.Unlock()
		u, fault := p.wait(s, w)
		switch {
		case fault != nil:
			return nil, fault
		case u == nil:
			return p.dial(s)
		case u.usable():
			return u, nil
		}
		u.discard()
	}
}

// pick takes an idle connection out of the pool. p.mu is held.
func (p *pool) pick(s *session) *upstream {
	list := p.idle[s.class]
	best, most := -1, -1
	for i := len(list) - 1; i >= 0; i-- {
		u := list[i]
		if s.db == "" && u.db != "" {
			continue // no command takes a database away
		}
		if u == s.last {
			best = i
			break
		}
		if n := u.suits(s); n > most {
			best, most = i, n
		}
	}
	if best < 0 {
		return nil
	}
	return p.remove(s.class, best)
}

// suits says how little it takes to execute s's next statement on u: a change of state costs a round trip or some work of
// the server, a move to another loop two system calls.
func (u *upstream) suits(s *session) (n int) {
	if u.vars.same(s.vars) && u.db == s.db {
		n = 2
	}
	if s.lane != nil && u.desc.Load().On(s.lane.loop) {
		n++
	}
	return n
}

// holder returns a session that is silent and holds a connection, with its lock held; nil when there is none. p.mu is held.
func (p *pool) holder() *session {
	for i, t := range p.holders {
		if t.mu.TryLock() {
			p.holders = append(p.holders[:i:i], p.holders[i+1:]...)
			return t
		}
	}
	return nil
}

// hold notes that a session holds a connection, and reports whether it may: not when others are in line.
func (p *pool) hold(s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 {
		return false
	}
	for _, t := range p.holders {
		if t == s {
			return true
		}
	}
	p.holders = append(p.holders, s)
	return true
}

func (p *pool) unhold(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, t := range p.holders {
		if t == s {
			p.holders = append(p.holders[:i:i], p.holders[i+1:]...)
			return
		}
	}
}

// reclaim takes u out of the pool, if it still is in it.
func (p *pool) reclaim(u *upstream) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, x := range p.idle[u.class] {
		if x == u {
			p.remove(u.class, i)
			return true
		}
	}
	return false
}

func (p *pool) remove(c *class, i int) *upstream {
	list := p.idle[c]
	u := list[i]
	copy(list[i:], list[i+1:])
	list[len(list)-1] = nil
	p.idle[c] = list[:len(list)-1]
	p.nidle--
	return u
}

// oldest takes the connection out that was idle for the longest time. p.mu is held.
func (p *pool) oldest() *upstream {
	var at *class
	for c, list := range p.idle {
		if len(list) > 0 && (at == nil || list[0].idleSince < p.idle[at][0].idleSince) {
			at = c
		}
	}
	return p.remove(at, 0)
}

// wait waits in line.
func (p *pool) wait(s *session, w *waiter) (*upstream, *resources.Fault) {
	limit := p.r.set.Pool.Wait.D()
	if d := s.call.Deadline; d != 0 {
		limit = min(limit, time.Duration(d-clock.Now()))
	}
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case u := <-w.turn:
		return u, nil
	case <-t.C:
	case <-p.r.ctx.Done():
	}
	p.mu.Lock()
	for i, x := range p.waiting {
		if x == w {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			p.mu.Unlock()
			return nil, p.fault(resources.Limited, fmt.Sprintf("has all of its %d connections busy, and none became free within %s (settings.pool.max)",
				p.r.set.Pool.Max, limit.Round(time.Millisecond)))
		}
	}
	p.mu.Unlock()
	return <-w.turn, nil // it came at the last moment
}

// put gives a clean connection back.
func (p *pool) put(u *upstream) {
	u.user, u.idleSince = nil, clock.Now()
	p.mu.Lock()
	if w := p.next(u); w != nil {
		p.mu.Unlock()
		w.turn <- u
		return
	}
	if p.closed || u.ep().Gone() {
		p.mu.Unlock()
		u.discard()
		return
	}
	if len(p.waiting) > 0 { // of another class: it gets the place
		p.mu.Unlock()
		u.discard()
		return
	}
	p.idle[u.class] = append(p.idle[u.class], u)
	p.nidle++
	var over *upstream
	if p.nidle > p.r.set.Pool.Idle {
		if over = p.oldest(); u.idleSince-over.idleSince < spareFor {
			p.idle[over.class] = slices.Insert(p.idle[over.class], 0, over)
			p.nidle++
			over = nil
		}
	}
	p.mu.Unlock()
	if over != nil {
		over.discard()
	}
}

// spareFor is how long connections above pool.idle are kept. In a load that comes and goes within milliseconds they are
// needed again at once, and opening one costs a server more than many statements do.
const spareFor = int64(20 * time.Millisecond)

// next takes the first in line out of it who can use u. p.mu is held.
func (p *pool) next(u *upstream) *waiter {
	for i, w := range p.waiting {
		if w.class == u.class && (u.db == "" || !w.bare) {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			return w
		}
	}
	return nil
}

// freed passes a place on: to the first in line, or to nobody.
func (p *pool) freed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 {
		w := p.waiting[0]
		p.waiting = p.waiting[1:]
		w.turn <- nil
		return
	}
	p.open--
}

// dial makes a connection for s. The place is taken already.
func (p *pool) dial(s *session) (*upstream, *resources.Fault) {
	ctx, cancel := context.WithTimeout(p.r.ctx, resources.DefaultHandshakeTimeout)
	defer cancel()
	if d := s.call.Deadline; d != 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, time.Duration(d-clock.Now()))
		defer stop()
	}
	u, fault := p.connect(ctx, s.class, s.db)
	if fault != nil {
		p.freed()
		return nil, fault
	}
	l := s.lane
	if l == nil {
		l = p.r.nextLane()
	}
	if l != nil {
		u.adopt(l.loop)
	}
	return u, nil
}

// shut closes what is idle; what is in use is closed when it comes back.
func (p *pool) shut() {
	p.mu.Lock()
	p.closed = true
	var all []*upstream
	for c, list := range p.idle {
		all = append(all, list...)
		delete(p.idle, c)
	}
	p.nidle = 0
	p.mu.Unlock()
	for _, u := range all {
		u.discard()
	}
}

// trim closes what was idle for too long, what pool.idle does not allow once it is not needed any more, and everything idle
// once the endpoint is gone.
func (p *pool) trim(now int64) {
	keep := int64(p.r.set.Pool.Age)
	if p.ep.Gone() {
		keep = 0
	}
	age := keep
	for {
		p.mu.Lock()
		var u *upstream
		if p.nidle > p.r.set.Pool.Idle {
			age = min(keep, spareFor)
		} else {
			age = keep
		}
		for c, list := range p.idle {
			if len(list) > 0 && now-list[0].idleSince >= age {
				u = p.remove(c, 0)
				break
			}
		}
		p.mu.Unlock()
		if u == nil {
			return
		}
		u.discard()
	}
}

// connections returns how many places are taken.
func (p *pool) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

func (p *pool) fault(code resources.Code, what string) *resources.Fault {
	return resources.NewFault(code, resources.FromAgent, p.r.rt.Name(), p.ep.Address+" "+what)
}
