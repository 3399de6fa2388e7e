package grpc

import (
	"github.com/sluice-mesh/sluice/internal/loop"
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
	sweep   loop.Timer
	ended   bool
	random  resources.Random

	// Scratch.
	out  []byte
	text [64]byte
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
	sh.sweep.F = sh.onSweep
	sh.links.Begin(sh, r.rt, &r.life)
	return sh
}

// method returns what is known of a method, which is named by its path, and learns it.
func (sh *shard) method(path string) method {
	if m, ok := sh.methods[path]; ok {
		return m
	}
	m := method{class: resources.ClassOther, retry: resources.RetryUnsent}
	for _, pattern := range sh.r.set.Streams {
		if resources.Glob(pattern, path) {
			m.class = resources.ClassStream
		}
	}
	for _, pattern := range sh.r.set.Idempotent {
		if m.class != resources.ClassStream && resources.Glob(pattern, path) {
			m.class, m.retry = resources.ClassRead, resources.RetryIdempotent
		}
	}
	if len(path) > longest || len(sh.methods) >= maxMethods {
		return m
	}
	var grew bool
	m.op, grew = sh.rt.Ops().Intern(resources.OpInfo{Name: resources.OpName(path), Class: m.class, Retry: m.retry})
	if grew {
		sh.rt.OpsChanged()
	}
	sh.methods[path] = m
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
		for _, c := range l.Conn.calls {
			if c.link == l {
				sh.abandon(c)
			}
		}
	})
	for len(sh.ups) > 0 {
		sh.ups[len(sh.ups)-1].close(errDone)
	}
}
