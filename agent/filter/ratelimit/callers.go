package ratelimit

import (
	"cmp"
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sluice-mesh/sluice/resources"
)

const (
	ways  = 16  // slots of a set: a caller's bucket is in one of these
	sets  = 256 // 4,096 slots, which are 64 KiB for each limit
	named = 10  // callers whose refusals are shown
)

// claimed is the arrival of a slot that changes hands.
const claimed = math.MaxInt64

// seed is of this process, so that nobody outside knows which callers share a set.
var seed = maphash.MakeSeed()

// keyOf returns what stands for a caller in all tables; never 0. Two of 4,096 callers have the same one with a probability of
// 5e-13.
func keyOf(caller string) uint64 { return max(maphash.String(seed, caller), 1) }

// callers is the state of a limit that each caller has to itself. It has a fixed size: a bucket that is full is no different from
// none, so its slot goes to the next caller who needs one. A caller who finds no slot shares the bucket overflow.
//
// No call waits for another one. One whose caller has a slot takes no lock; one whose caller has none tries that of its set, since two
// that begin at once must not get a slot each, and shares the bucket overflow this once if it is taken.
type callers struct {
	sets     [sets]set
	locks    [sets]sync.Mutex
	overflow *bucket
	top      top
}

// set is four cache lines. A slot changes hands by: arrival claimed, key, arrival. The old arrival is past by then, and the new one
// is to come, so that a call that read the old one cannot replace the new one.
type set struct {
	keys     [ways]atomic.Uint64 // 0: free
	arrivals [ways]atomic.Int64  // as bucket.arrival
}

func newCallers(rate resources.Rate, burst int) *callers {
	return &callers{overflow: newBucket(rate, burst)}
}

// take lets one call of a caller pass at now (ns), or not. b has the limit's numbers; own says that the caller's bucket decided, and
// not the one for those who found no slot.
func (t *callers) take(b *bucket, key uint64, now int64) (passed, own bool) {
	if b.interval == 0 {
		return false, true
	}
	at := key % sets
	s := &t.sets[at]
	if passed, own = s.take(b, key, now<<shift); own {
		return passed, true
	}
	if mu := &t.locks[at]; mu.TryLock() {
		passed, own = s.take(b, key, now<<shift) // another call of this caller may have been faster
		if !own {
			own = s.begin(key, now<<shift, b.interval)
			passed = own
		}
		mu.Unlock()
	}
	if !own {
		passed = t.overflow.take(now)
	}
	return passed, own
}

// take asks the caller's bucket at now (1/16 ns), if there is one.
func (s *set) take(b *bucket, key uint64, now int64) (passed, own bool) {
	for i := range s.keys {
		for s.keys[i].Load() == key {
			old := s.arrivals[i].Load()
			if old == claimed {
				return false, false
			}
			if s.keys[i].Load() != key {
				break
			}
			next := max(old, now) + b.interval
			if next-now > b.reach {
				return false, true
			}
			if s.arrivals[i].CompareAndSwap(old, next) {
				return true, true
			}
		}
	}
	return false, false
}

// begin gives the caller a slot that is free or whose bucket is full, less this call. The caller holds the set's lock.
func (s *set) begin(key uint64, now, interval int64) bool {
	for i := range s.keys {
		if old := s.arrivals[i].Load(); old < now && s.arrivals[i].CompareAndSwap(old, claimed) {
			s.keys[i].Store(key)
			s.arrivals[i].Store(now + interval)
			return true
		}
	}
	return false
}

// giveBack undoes a take of the caller's own bucket. One that was full since has no slot any more, and nothing to get back.
func (t *callers) giveBack(b *bucket, key uint64) {
	s := &t.sets[key%sets]
	for i := range s.keys {
		for s.keys[i].Load() == key {
			old := s.arrivals[i].Load()
			if old == claimed || s.keys[i].Load() != key {
				break
			}
			if s.arrivals[i].CompareAndSwap(old, old-b.interval) {
				return
			}
		}
	}
}

// top counts the refusals of the callers that are refused most, by the algorithm "space saving" (Metwally, Agrawal, El Abbadi, 2005):
// one who is not among them replaces the last, and goes on from its count. Counts are therefore estimates. A call never waits for
// it: one that finds it in use is not counted here.
type top struct {
	mu  sync.Mutex
	all [named]refusals
}

// refusals are those of one caller.
type refusals struct {
	key   uint64
	count int64
	size  int
	name  [64]byte // the first size bytes of it
}

func (t *top) add(key uint64, caller string) {
	if !t.mu.TryLock() {
		return
	}
	defer t.mu.Unlock()
	least := &t.all[0]
	for i := range t.all {
		r := &t.all[i]
		if r.key == key {
			r.count++
			return
		}
		if r.count < least.count {
			least = r
		}
	}
	least.key, least.size = key, copy(least.name[:], caller)
	least.count++
}

// CallerStatus is a caller whom a limit refused calls.
type CallerStatus struct {
	Caller  string `json:"caller"`  // its first 64 bytes; "" is those without a name
	Refused int64  `json:"refused"` // about
}

// list returns them, the most refused first.
func (t *top) list() []CallerStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []CallerStatus
	for i := range t.all {
		if r := &t.all[i]; r.count > 0 {
			out = append(out, CallerStatus{Caller: string(r.name[:r.size]), Refused: r.count})
		}
	}
	slices.SortFunc(out, func(a, b CallerStatus) int {
		return cmp.Or(cmp.Compare(b.Refused, a.Refused), cmp.Compare(a.Caller, b.Caller))
	})
	return out
}
