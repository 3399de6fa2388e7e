package pressure

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
)

// Limits are the bounds of memory that hold for this process.
type Limits struct {
	goLimit Use // Bytes is not used; Limit 0: none
	cgroup  *cgroup
	told    bool // the Go runtime has to be told
}

// FindLimits looks for the limits of this process. configured is agent.memory, 0 when it is not set.
func FindLimits(configured int64) Limits {
	return limitsOf(debug.SetMemoryLimit(-1), configured, findCgroup("/"))
}

// limitsOf puts limits together. runtime is the Go runtime's own, which is GOMEMLIMIT or else the largest number.
func limitsOf(runtime, configured int64, c *cgroup) Limits {
	l := Limits{cgroup: c}
	given := runtime < math.MaxInt64
	if given {
		l.goLimit = Use{Limit: runtime, From: "GOMEMLIMIT"}
	}
	take := func(limit int64, from string) {
		if limit > 0 && (l.goLimit.Limit == 0 || limit < l.goLimit.Limit) {
			l.goLimit, l.told = Use{Limit: limit, From: from}, true
		}
	}
	take(configured, "agent.memory")
	if c != nil && !given {
		take(c.limit/10*9, "cgroup")
	}
	return l
}

// Any reports whether there is a limit at all.
func (l *Limits) Any() bool { return l.goLimit.Limit > 0 || l.cgroup != nil }

// Smallest returns the smallest limit in bytes; 0 when there is none.
func (l *Limits) Smallest() int64 {
	least := l.goLimit.Limit
	if l.cgroup != nil && (least == 0 || l.cgroup.limit < least) {
		least = l.cgroup.limit
	}
	return least
}

// tell gives the Go runtime its limit and returns what takes that back.
func (l *Limits) tell() (undo func()) {
	if !l.told {
		return func() {}
	}
	before := debug.SetMemoryLimit(l.goLimit.Limit)
	return func() { debug.SetMemoryLimit(before) }
}

// heap is the Go runtime's memory in bytes.
type heap struct {
	total    int64 // mapped and not released: what counts towards Go's own limit
	free     int64 // of it, spans that nothing is in
	objects  int64 // of it, objects, garbage included
	live     int64 // objects that the last collection found in use
	collects int64 // collections so far
}

// garbage is what a collection would free, as far as that is known: objects that came since the last one count.
func (h *heap) garbage() int64 { return h.free + max(0, h.objects-h.live) }

// heapReader reads figures of runtime/metrics, which does not stop the world.
type heapReader struct{ samples []metrics.Sample }

var heapFigures = [...]string{
	"/memory/classes/total:bytes", "/memory/classes/heap/released:bytes", "/memory/classes/heap/free:bytes",
	"/memory/classes/heap/objects:bytes", "/gc/heap/live:bytes", "/gc/cycles/total:gc-cycles",
}

func newHeapReader() *heapReader {
	r := &heapReader{}
	for _, name := range heapFigures {
		r.samples = append(r.samples, metrics.Sample{Name: name})
	}
	return r
}

func (r *heapReader) read() heap {
	metrics.Read(r.samples)
	n := func(i int) int64 {
		if v := r.samples[i].Value; v.Kind() == metrics.KindUint64 {
			return int64(v.Uint64())
		}
		return 0 // a later Go version may have dropped it
	}
	return heap{total: n(0) - n(1), free: n(2), objects: n(3), live: n(4), collects: n(5)}
}

// uses returns what is used of each limit that is to be looked at. An error is about the cgroup; what is known of Go's limit
// comes with it.
func (l *Limits) uses(h heap) ([]Use, error) {
	var out []Use
	if l.goLimit.Limit > 0 {
		u := l.goLimit
		u.Bytes = max(0, h.total-h.garbage())
		out = append(out, u)
	}
	if l.cgroup == nil {
		return out, nil
	}
	used, err := l.cgroup.used()
	if err != nil || !l.cgroup.ours(used, h.total) {
		return out, err
	}
	return append(out, Use{Bytes: max(0, used-h.garbage()), Limit: l.cgroup.limit, From: "cgroup"}), nil
}

// Fixed returns a limit on Go's memory alone, of which the Go runtime is not told: for tests of what follows from it.
func Fixed(bytes int64) Limits { return Limits{goLimit: Use{Limit: bytes, From: "fixed"}} }
