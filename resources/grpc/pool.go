package grpc

import (
	"slices"

	"github.com/sluice-mesh/sluice/resources"
)

// pool holds the connections of a shard to one endpoint. One carries all calls until its server takes no more streams on it.
type pool struct {
	sh  *shard
	ep  *resources.Endpoint
	ups []*upstream
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

// pick returns the connection for a call: one with room for it, a new one, or the one where the fewest calls wait.
func (p *pool) pick() *upstream {
	var best *upstream
	for _, u := range p.ups {
		if u.load() < u.max {
			return u
		}
		if best == nil || u.load() < best.load() {
			best = u
		}
	}
	if len(p.ups) < p.sh.r.set.Connections {
		return p.dial()
	}
	return best
}

// dial opens a connection. It takes calls at once; they are sent when it is ready.
func (p *pool) dial() *upstream {
	sh := p.sh
	now := sh.loop.Now()
	u := &upstream{sh: sh, pool: p, ep: p.ep, next: 1, max: firstStreams, streams: make(map[uint32]*leg), heard: now, used: now}
	sh.ups = append(sh.ups, u)
	p.ups = append(p.ups, u)
	sh.startSweep()
	if sh.ended {
		sh.loop.Post(func() { u.failed(nil) })
		return u
	}
	sh.r.life.Dial(sh.rt, p.ep, sh.loop, u.attached, u.failed)
	return u
}

// retire makes sure that a connection gets no more calls.
func (p *pool) retire(u *upstream) {
	if i := slices.Index(p.ups, u); i >= 0 {
		p.ups = slices.Delete(p.ups, i, i+1)
	}
	if len(p.ups) == 0 && p.ep.ID < len(p.sh.pools) && p.sh.pools[p.ep.ID] == p {
		p.sh.pools[p.ep.ID] = nil
	}
}

// remove forgets a connection that is gone.
func (p *pool) remove(u *upstream) {
	p.retire(u)
	if i := slices.Index(p.sh.ups, u); i >= 0 {
		p.sh.ups = slices.Delete(p.sh.ups, i, i+1)
	}
}
