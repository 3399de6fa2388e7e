package http

import (
	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/http1"
	"github.com/sluice-mesh/sluice/resources"
)

// shard is the part of a service that lives on one loop. Everything in it is used on that loop only.
type shard struct {
	r       *Resource
	rt      resources.Runtime
	loop    *loop.Loop
	methods methodOps
	routed  []methodOps // by the number of the route
	links   linked
	pools   []*pool     // by Endpoint.ID
	ups     []*upstream // of all pools
	free    *call
	sweep   loop.Timer
	tickets uint64 // given
	ended   bool
	random  resources.Random

	// Scratch.
	answer http1.Response
	out    []byte
	trace  [64]byte
}

func newShard(r *Resource, l *loop.Loop) *shard {
	sh := &shard{r: r, rt: r.rt, loop: l, routed: make([]methodOps, len(r.set.routes)), random: resources.NewRandom()}
	sh.sweep.F = sh.onSweep
	sh.links.Begin(sh, r.rt, &r.life)
	return sh
}

const sweepEvery = int64(1e9)

// onSweep closes connections to servers that nobody used for a while.
func (sh *shard) onSweep(now int64) {
	for i := len(sh.ups) - 1; i >= 0; i-- { // one that closes leaves the list
		sh.ups[i].tend(now)
	}
	if len(sh.ups) > 0 {
		sh.loop.Set(&sh.sweep, now+min(sweepEvery, int64(sh.r.set.Idle)))
	}
}

// update lets go of endpoints that are gone.
func (sh *shard) update() {
	for i := len(sh.ups) - 1; i >= 0; i-- {
		if u := sh.ups[i]; u.ep.Gone() && u.idle() {
			u.close(errDone)
		}
	}
}

// end cuts what is left.
func (sh *shard) end() {
	sh.ended = true
	sh.links.End(func(l *link) {
		co := l.Conn
		if c := co.c; c != nil && c.link == l {
			sh.abandon(c)
		}
		if co.tunnel != nil && co.tunnel.link == l {
			co.tunnel.close(errDone)
		}
	})
	for len(sh.ups) > 0 {
		sh.ups[len(sh.ups)-1].close(errDone)
	}
}
