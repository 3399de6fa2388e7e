package balance

import (
	"math/rand/v2"
	"sync/atomic"
)

// maxTurns bounds the length of a round: weights are rounded to fit, but nobody is rounded away.
const maxTurns = 4096

// roundRobin goes through a round in which every entry has as many turns as its weight says, spread evenly.
type roundRobin struct {
	list
	order []uint32
	turn  atomic.Uint32
}

func (r *roundRobin) Pick(_ uint64, now int64, avoid *Node) *Node {
	if len(r.order) == 0 {
		return nil
	}
	for range 8 {
		n := r.entries[r.order[r.turn.Add(1)%uint32(len(r.order))]].node
		if n != avoid && (n.rise.Load() == 0 || n.admits(rand.Uint32(), now)) {
			return n
		}
	}
	return r.rest(now, avoid)
}

// interleave lays out one round: the smooth weighted order, in which turns of a heavy entry do not come in a row.
func interleave(entries []entry) []uint32 {
	turns := make([]int, len(entries))
	div, sum := 0, 0
	for i := range entries {
		turns[i] = int(entries[i].weight)
		div = gcd(turns[i], div)
	}
	for i := range turns {
		turns[i] /= div
		sum += turns[i]
	}
	if limit := max(maxTurns, len(entries)); sum > limit {
		scaled := 0
		for i := range turns {
			turns[i] = max(1, turns[i]*limit/sum)
			scaled += turns[i]
		}
		sum = scaled
	}
	order := make([]uint32, 0, sum)
	current := make([]int, len(entries))
	for range sum {
		best := 0
		for i := range current {
			current[i] += turns[i]
			if current[i] > current[best] {
				best = i
			}
		}
		current[best] -= sum
		order = append(order, uint32(best))
	}
	return order
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
