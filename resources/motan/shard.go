package motan

import (
	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/resources"
)

// shard is the part of a service that lives on one loop. Everything in it is used on that loop only.
type shard struct {
	r       *Resource
	rt      resources.Runtime
	loop    *loop.Loop
	methods map[string]method
	links   linked
	pools   []*pool
	ups     []*upstream // of all pools
	free    *call
	wheel   wheel
	sweep   loop.Timer
	ended   bool
	random  resources.Random

	// Scratch.
	frame   motan2.Frame // of a request that is sent again
	reply   motan2.Frame
	out     []byte
	edits   [6]motan2.Edit
	numbers [2][20]byte
	trace   [64]byte
}

// method is what is known of a method.
type method struct {
	op    resources.OpID
	class resources.Class
	retry resources.Retry
}

// maxMethods is how many methods a service may have before callers that invent names count as other.
const maxMethods = 500

func newShard(r *Resource, l *loop.Loop) *shard {
	sh := &shard{r: r, rt: r.rt, loop: l, methods: make(map[string]method), random: resources.NewRandom()}
	sh.wheel.init(l, sh.wake)
	sh.sweep.F = sh.onSweep
	sh.links.Begin(sh, r.rt, &r.life)
	return sh
}

// method returns what is known of a method, and learns it.
func (sh *shard) method(name []byte) method {
	if m, ok := sh.methods[string(name)]; ok {
		return m
	}
	m := method{class: resources.ClassOther, retry: resources.RetryUnsent}
	for _, pattern := range sh.r.set.Idempotent {
		if resources.Glob(pattern, name) {
			m.class, m.retry = resources.ClassRead, resources.RetryIdempotent
		}
	}
	if len(name) == 0 || len(name) > longest || len(sh.methods) >= maxMethods {
		return m
	}
	var grew bool
	m.op, grew = sh.rt.Ops().Intern(resources.OpInfo{Name: resources.OpName(string(name)), Class: m.class, Retry: m.retry})
	if grew {
		sh.rt.OpsChanged()
	}
	sh.methods[string(name)] = m
	return m
}

func (sh *shard) startSweep() {
	if !sh.sweep.Pending() {
		sh.loop.Set(&sh.sweep, sh.loop.Now()+sweepEvery)
	}
}

// onSweep looks after connections to servers.
func (sh *shard) onSweep(now int64) {
	for i := len(sh.ups) - 1; i >= 0; i-- { // one that closes leaves the list
		sh.ups[i].tend(now)
	}
	if len(sh.ups) > 0 || sh.links.Any() {
		sh.loop.Set(&sh.sweep, now+sweepEvery)
	}
}

// update lets go of endpoints that are gone.
func (sh *shard) update() {
	for i := len(sh.ups) - 1; i >= 0; i-- {
		sh.ups[i].leaveIfGone()
	}
}

// end cuts what is left.
func (sh *shard) end() {
	sh.ended = true
	sh.links.End(func(l *link) {
		for c := l.Conn.calls; c != nil; {
			next := c.next
			if c.link == l {
				sh.abandon(c)
			}
			c = next
		}
	})
	for len(sh.ups) > 0 {
		sh.ups[len(sh.ups)-1].close(errDone)
	}
}
