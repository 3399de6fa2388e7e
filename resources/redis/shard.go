package redis

import (
	"sync/atomic"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/resources"
)

// shard is the part of a resource that lives on one loop. Everything in it is used on that loop only.
type shard struct {
	r     *Resource
	rt    resources.Runtime
	loop  *loop.Loop
	attrs map[attr]*attr
	base  *attr // of sessions that did not change anything
	pools [][]*pool
	free  *call
	unit  []*call // scratch of txn.go
	hash  func([]byte) uint64

	partitioned bool // a key belongs to one of the servers

	sessions *session // doubly linked
	sweep    loop.Timer
	draining bool
	noDials  bool         // the resource is closing: connections that are asked for fail
	clients  atomic.Int32 // connections; read by Shutdown
	servers  atomic.Int32 // likewise
}

// attr is what an upstream connection is apart from its endpoint. Sessions with equal attributes may share one. attrs
// are interned in their shard, so that they are compared by pointer.
type attr struct {
	user, password string
	db             int
	resp3          bool
	heavy          bool // of sessions with long values: they wait behind each other and nobody waits behind them
}

// longReply is the length from which a reply holds up whoever is behind it for a time that counts.
const longReply = 256 << 10

func newShard(r *Resource, l *loop.Loop) *shard {
	sh := &shard{r: r, rt: r.rt, loop: l, attrs: make(map[attr]*attr), hash: hashFast}
	sh.partitioned = r.partitioned()
	if r.set.Topology == topologyHashed {
		sh.hash = hashFNV
	}
	sh.base = sh.intern(attr{user: r.base.user, password: r.base.password, db: r.set.DB})
	sh.sweep.F = sh.onSweep
	return sh
}

func (sh *shard) intern(a attr) *attr {
	if p, ok := sh.attrs[a]; ok {
		return p
	}
	p := &a
	sh.attrs[a] = p
	return p
}

// pool returns the connections to ep for sessions of attributes a.
func (sh *shard) pool(ep *resources.Endpoint, a *attr) *pool {
	for ep.ID >= len(sh.pools) {
		sh.pools = append(sh.pools, nil)
	}
	for _, p := range sh.pools[ep.ID] {
		if p.attr == a && p.ep == ep {
			return p
		}
	}
	p := &pool{sh: sh, ep: ep, attr: a}
	sh.pools[ep.ID] = append(sh.pools[ep.ID], p)
	sh.startSweep()
	return p
}

// sweepEvery is how often idle connections are looked for.
const sweepEvery = int64(1e9)

func (sh *shard) startSweep() {
	if !sh.sweep.Pending() {
		sh.loop.Set(&sh.sweep, sh.loop.Now()+sweepEvery)
	}
}

// onSweep ends what was idle or unfinished for too long: no connection has a timer of its own for that.
func (sh *shard) onSweep(now int64) {
	idle := int64(sh.rt.Policy().IdleTimeout)
	for s := sh.sessions; s != nil; {
		next := s.nextSession
		s.sweep(now, idle)
		s = next
	}
	used := 0
	for id, pools := range sh.pools {
		kept := pools[:0]
		for _, p := range pools {
			p.sweep(now)
			if !p.empty() {
				kept = append(kept, p)
			}
		}
		clear(pools[len(kept):])
		sh.pools[id] = kept
		used += len(kept)
	}
	switch {
	case sh.sessions != nil && sh.draining:
		sh.loop.Set(&sh.sweep, now+lull)
	case sh.sessions != nil || used > 0:
		sh.loop.Set(&sh.sweep, now+sweepEvery)
	}
	if len(sh.attrs) > 1024 {
		sh.dropAttrs()
	}
}

// dropAttrs forgets attributes that nobody has: logins that failed leave theirs behind.
func (sh *shard) dropAttrs() {
	used := map[*attr]bool{sh.base: true}
	for s := sh.sessions; s != nil; s = s.nextSession {
		used[s.attr] = true
		for c := s.head; c != nil; c = c.next {
			used[c.attr] = true
		}
	}
	for _, pools := range sh.pools {
		for _, p := range pools {
			used[p.attr] = true
		}
	}
	for k, a := range sh.attrs {
		if !used[a] {
			delete(sh.attrs, k)
		}
	}
}

// update follows a change of endpoints or policy.
func (sh *shard) update() {
	now := clock.Now()
	for _, pools := range sh.pools {
		for _, p := range pools {
			p.sweep(now)
		}
	}
	for s := sh.sessions; s != nil; {
		next := s.nextSession
		s.boundary(false)
		s = next
	}
}

// drain ends sessions at their boundaries: silent ones at once, the others behind a reply or when they fall silent.
func (sh *shard) drain() {
	sh.draining = true
	for s := sh.sessions; s != nil; {
		next := s.nextSession
		s.boundary(false)
		s = next
	}
	if sh.sessions != nil {
		sh.loop.Set(&sh.sweep, sh.loop.Now()+lull)
	}
}

// shutdown closes everything, once no connection is being dialled any more. It may be called again for what was still on its
// way to the loop.
func (sh *shard) shutdown() {
	sh.draining = true
	for s := sh.sessions; s != nil; s = s.nextSession {
		s.cut(loop.ErrStopped)
	}
	for _, pools := range sh.pools {
		for _, p := range pools {
			p.end()
		}
	}
	sh.loop.Cancel(&sh.sweep)
}

func (sh *shard) link(s *session) {
	s.nextSession = sh.sessions
	if sh.sessions != nil {
		sh.sessions.prevSession = s
	}
	sh.sessions = s
	sh.clients.Add(1)
	sh.startSweep()
}

func (sh *shard) unlink(s *session) {
	if s.prevSession != nil {
		s.prevSession.nextSession = s.nextSession
	} else {
		sh.sessions = s.nextSession
	}
	if s.nextSession != nil {
		s.nextSession.prevSession = s.prevSession
	}
	s.nextSession, s.prevSession = nil, nil
	sh.clients.Add(-1)
}
