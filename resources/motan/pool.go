package motan

import (
	"slices"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/resources"
)

// large is the size of a request from which it goes over a connection for such ones, so that no small one waits behind it.
const large = 64 << 10

// pool holds the connections of a shard to one endpoint: one for small requests and one for large ones.
type pool struct {
	sh    *shard
	ep    *resources.Endpoint
	lanes [2]*upstream
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

// lane returns the connection for a request of a size in bytes, and dials it when there is none.
func (p *pool) lane(size int64) *upstream {
	lane := 0
	if size >= large {
		lane = 1
	}
	if p.lanes[lane] == nil {
		p.lanes[lane] = p.dial(lane)
	}
	return p.lanes[lane]
}

// dial opens a connection. It takes requests at once; they are sent when it is ready.
func (p *pool) dial(lane int) *upstream {
	sh := p.sh
	u := &upstream{sh: sh, pool: p, ep: p.ep, lane: lane, last: sh.loop.Now(), used: sh.loop.Now()}
	sh.ups = append(sh.ups, u)
	sh.startSweep()
	if sh.ended {
		sh.loop.Post(func() { u.failed(nil) })
		return u
	}
	sh.r.life.Dial(sh.rt, p.ep, sh.loop, u.attached, u.failed)
	return u
}

// leave sends nothing more on the connections that there are: the server said on one of them that it goes away, and would close the
// others while requests are on their way.
func (p *pool) leave() {
	for i, u := range p.lanes {
		if u != nil {
			p.lanes[i] = nil
			u.leaving = true
			u.leaveIfGone()
		}
	}
}

// remove forgets a connection that is gone.
func (p *pool) remove(u *upstream) {
	if p.lanes[u.lane] == u {
		p.lanes[u.lane] = nil
	}
	if p.lanes == [2]*upstream{} && p.ep.ID < len(p.sh.pools) && p.sh.pools[p.ep.ID] == p {
		p.sh.pools[p.ep.ID] = nil
	}
	if i := slices.Index(p.sh.ups, u); i >= 0 {
		p.sh.ups = slices.Delete(p.sh.ups, i, i+1)
	}
}

var _ loop.Handler = (*upstream)(nil)
