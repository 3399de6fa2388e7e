package balance

import (
	"math"
	"sync/atomic"

	"github.com/sluice-mesh/sluice/resources"
)

// Latencies are kept as of a tick of 131 µs, and halve for each pass of 8192 ticks, about a second.
const (
	tickShift = 17
	halfShift = 13
)

// Node is what a balance knows of one endpoint. Its fields are atomic: pickers read them while calls end.
type Node struct {
	Endpoint *resources.Endpoint

	rise atomic.Int64 // when it came back; 0: it has its full share
	ramp atomic.Int64 // how long it takes to get its full share
	// ewma is the average latency in ns as a float32 (low half) and the tick when it was last changed (high half): one
	// load reads both, and one store changes both. 0: nothing was measured.
	ewma atomic.Uint64
}

// NewNode returns the state of an endpoint of which nothing is known yet.
func NewNode(ep *resources.Endpoint) *Node { return &Node{Endpoint: ep} }

func pack(latency float32, tick uint32) uint64 {
	return uint64(tick)<<32 | uint64(math.Float32bits(latency))
}

func unpack(w uint64) (latency float32, tick uint32) {
	return math.Float32frombits(uint32(w)), uint32(w >> 32)
}

// Observe takes the latency of a call that ended at now, both in ns. A higher one counts at once. Of the lower ones
// that end within one tick only the first counts, and of two that end at the same instant one may be lost: an average
// does not need them.
func (n *Node) Observe(latency, now int64) {
	got, tick := float32(max(latency, 1)), uint32(now>>tickShift)
	old, at := unpack(n.ewma.Load())
	if got > old {
		n.ewma.Store(pack(got, tick))
		return
	}
	age := tick - at
	switch {
	case fresh(age) && int32(age) <= 0:
		return
	case !fresh(age) && int32(age) < 0: // idle for so long that ticks went round
		n.ewma.Store(pack(got, tick))
		return
	}
	dt := float32(age)
	// old·w + got·(1-w), with w = T/(T+dt) for a time constant T of a second: e^(-dt/T) near enough.
	const constant = 1 << halfShift
	n.ewma.Store(pack(old-(old-got)*dt/(constant+dt), tick))
}

// Latency returns the average as it counts at now, in ns; 0 when nothing was measured.
func (n *Node) Latency(now int64) int64 { return int64(n.latency(uint32(now >> tickShift))) }

func (n *Node) latency(tick uint32) float32 {
	old, at := unpack(n.ewma.Load())
	if age := tick - at; !fresh(age) {
		return fade(old, age>>halfShift)
	}
	return old
}

// fresh reports whether a value of this age, in ticks, counts in full: it is from the last second, or from a clock
// reading that is a little ahead.
func fresh(age uint32) bool { return age+1<<halfShift < 2<<halfShift }

// fade halves a latency so many times, but not below 20 µs: a node of which nothing was heard lately must not look so
// good that it gets all calls until it answers the first.
func fade(latency float32, halves uint32) float32 {
	return max(float32(math.Ldexp(float64(latency), -int(min(halves, 40)))), min(latency, 20_000))
}

// Seed gives a node that has not been measured a first latency, so that it neither takes all calls nor none.
func (n *Node) Seed(latency, now int64) {
	n.ewma.CompareAndSwap(0, pack(float32(max(latency, 1)), uint32(now>>tickShift)))
}

// Rise begins a slow start at now that lasts ramp ns; 0 ends one.
func (n *Node) Rise(now, ramp int64) {
	if ramp <= 0 {
		n.rise.Store(0)
		return
	}
	if now == 0 { // which would mean that it does not rise
		now = 1
	}
	n.ramp.Store(ramp)
	n.rise.Store(now)
}

// Share returns the part of its weight that the node gets at now: 1, or less during slow start, but at least 0.1.
func (n *Node) Share(now int64) float64 {
	rise := n.rise.Load()
	if rise == 0 {
		return 1
	}
	ramp := n.ramp.Load()
	passed := now - rise
	if passed >= ramp {
		n.rise.CompareAndSwap(rise, 0)
		return 1
	}
	return max(0.1, float64(passed)/float64(ramp))
}

// admits tosses the slow start's coin.
func (n *Node) admits(coin uint32, now int64) bool {
	return n.rise.Load() == 0 || float64(coin) < n.Share(now)*(1<<32)
}

// cost is what p2c compares: lower is better. unit is 1/weight.
func (n *Node) cost(unit float32, tick uint32) float32 {
	return n.latency(tick) * float32(n.Endpoint.Inflight.Load()+1) * unit
}
