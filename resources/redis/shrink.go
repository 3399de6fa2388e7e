package redis

import "github.com/sluice-mesh/sluice/resources"

var _ resources.Shrinker = (*Resource)(nil)

// Shrink implements resources.Shrinker.
func (r *Resource) Shrink() {
	for _, sh := range r.shards {
		sh.loop.Post(sh.shrink)
	}
}

// shrink forgets calls that were kept for reuse, with their buffers, and closes clean connections that wait for a loan.
func (sh *shard) shrink() {
	sh.free, sh.unit = nil, nil
	for _, pools := range sh.pools {
		for _, p := range pools {
			for i := len(p.idle) - 1; i >= 0; i-- { // close takes it out of the list
				p.idle[i].close(errDone)
			}
		}
	}
}
