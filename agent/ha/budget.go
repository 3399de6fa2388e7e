package ha

import (
	"sync/atomic"

	"github.com/sluice-mesh/sluice/resources"
)

// Use is what budget is taken for.
type Use uint8

// The uses of a budget.
const (
	Retry Use = iota
	BackUp
	numUses
)

// Seconds is how long calls and extra attempts count, and Allowance how many extra attempts a resource may make in
// that time however few calls it has.
const (
	Seconds   = 10
	Allowance = 10
)

// slots is how many whole seconds are kept; the one that is running is the tenth.
const slots = Seconds - 1

// Budget bounds the extra attempts of a resource to a share of its recent calls. Take may be called from anywhere;
// Tick and Set by one goroutine at a time.
type Budget struct {
	share [numUses]atomic.Uint64 // extra attempts per 2^32 calls; for BackUp only its part of the whole
	base  atomic.Int64           // calls before the window
	spent [numUses]atomic.Int64  // in the window

	// Of Tick alone: calls and spendings at the last ticks.
	calls   [slots]int64
	uses    [slots][numUses]int64
	counted [numUses]int64 // what uses add up to
	at      int
}

// Set puts the shares in force: failover's for all extra attempts together, backup's for backup requests. backup may
// be nil.
func (b *Budget) Set(failover resources.Failover, backup *resources.Backup) {
	all, part := failover.Budget.Threshold(), uint64(0)
	if failover.Tries < 0 {
		all = 0
	}
	if backup != nil {
		part = backup.Budget.Threshold()
		all = max(all, part)
	}
	b.share[Retry].Store(all)
	b.share[BackUp].Store(part)
}

// Take asks for one extra attempt, where calls is how many calls the resource ever began. It reports whether there was
// budget; if so, it is spent.
func (b *Budget) Take(use Use, calls int64) bool { return b.TakeAll(use, 1, calls) }

// TakeAll asks for n extra attempts: all of them or none.
func (b *Budget) TakeAll(use Use, n, calls int64) bool {
	recent := uint64(max(0, calls-b.base.Load()))
	if use == BackUp && b.spent[BackUp].Load()+n > allowed(recent, b.share[BackUp].Load()) {
		return false
	}
	all := allowed(recent, b.share[Retry].Load())
	for {
		mine, other := b.spent[use].Load(), b.spent[1-use].Load()
		if mine+other+n > all {
			return false
		}
		if b.spent[use].CompareAndSwap(mine, mine+n) {
			return true
		}
	}
}

func allowed(calls, share uint64) int64 {
	if share == 0 {
		return 0
	}
	return Allowance + int64(calls*share>>32)
}

// Tick moves the window on by a second. calls is as in Take.
func (b *Budget) Tick(calls int64) {
	for u := range numUses {
		// What was spent since the last tick, and what leaves the window with the slot that is overwritten.
		since := b.spent[u].Load() - b.counted[u]
		b.counted[u] += since - b.uses[b.at][u]
		b.spent[u].Add(-b.uses[b.at][u])
		b.uses[b.at][u] = since
	}
	b.base.Store(b.calls[b.at])
	b.calls[b.at] = calls
	b.at = (b.at + 1) % slots
}
