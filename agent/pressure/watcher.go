package pressure

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
)

// The rhythm of the watcher.
const (
	sampleEvery = 250 * time.Millisecond
	// How often, at most, memory is given back, which takes a collection of the whole heap.
	shrinkEvery = 5 * time.Second
	// How old the figure of the last collection may be while connections or calls are turned away for it.
	freshWithin = time.Second
	// A collection takes at most this part of the time of one processor: big heaps are looked at less often.
	collectShare = 20
)

// Names of the metrics.
const (
	MetricLevel = "sluice_memory_level"       // 0 calm, 1 spare memory is given back, 2 no new connections, 3 calls are refused
	MetricBytes = "sluice_memory_bytes"       // what would be left after a collection
	MetricLimit = "sluice_memory_limit_bytes" // the limit that it is closest to
)

// Options make a watcher.
type Options struct {
	Limits  Limits
	Log     *slog.Logger      // nil: nowhere
	Metrics *metrics.Registry // nil: nowhere
	// Shrink makes others give back what they keep for later. It is called at most every five seconds, on the watcher's
	// goroutine, before the heap is collected. nil: nobody keeps anything.
	Shrink func()
}

// Watcher compares what is used with the limits and keeps a gate up to date.
type Watcher struct {
	opt  Options
	gate Gate

	// Replaced by tests.
	read func() ([]Use, int64, error) // uses, and how many collections there were
	free func()                       // collects and gives back

	// Used by Run's goroutine alone.
	collects  int64         // collections at the last look
	collected time.Time     // when the newest one was seen
	freed     time.Time     // when free was last called
	shrunk    time.Time     // when Options.Shrink was
	took      time.Duration // how long that took
	silent    bool          // the last look failed
}

// Open makes a watcher. Without a limit its gate stays calm and Run does nothing.
func Open(o Options) *Watcher {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{opt: o, free: debug.FreeOSMemory}
	heap := newHeapReader()
	w.read = func() ([]Use, int64, error) {
		h := heap.read()
		uses, err := w.opt.Limits.uses(h)
		return uses, h.collects, err
	}
	if m := o.Metrics; m != nil && o.Limits.Any() {
		m.GaugeFunc(MetricLevel, "How short memory is: 0 calm, 1 spare memory is given back, 2 no new connections, 3 calls are refused.",
			func() float64 { return float64(w.gate.Level()) })
		m.GaugeFunc(MetricBytes, "Memory that would be left after a collection, of the limit that it is closest to.",
			func() float64 { return w.figure(func(u *Use) int64 { return u.Bytes }) })
		m.GaugeFunc(MetricLimit, "The limit of memory that is closest.",
			func() float64 { return w.figure(func(u *Use) int64 { return u.Limit }) })
	}
	return w
}

func (w *Watcher) figure(of func(*Use) int64) float64 {
	if u := w.gate.Use(); u != nil {
		return float64(of(u))
	}
	return 0
}

// Gate returns what the watcher keeps up to date.
func (w *Watcher) Gate() *Gate { return &w.gate }

// Run watches until ctx is done. While it does, the Go runtime has the limit that was found for it. At the end the gate is
// calm.
func (w *Watcher) Run(ctx context.Context) {
	if !w.opt.Limits.Any() {
		return
	}
	defer w.opt.Limits.tell()()
	defer w.gate.set(Calm, Use{})
	w.opt.Log.Info("memory is limited", "limit", size(w.opt.Limits.Smallest()), "go", size(w.opt.Limits.goLimit.Limit),
		"from", w.opt.Limits.goLimit.From)
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		w.look(time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look takes one sample and does what follows from it.
func (w *Watcher) look(now time.Time) {
	uses, collects, err := w.read()
	if err != nil && !w.silent {
		w.opt.Log.Warn("what the cgroup uses of its memory cannot be read: its limit is not watched until it can be", "error", err)
	}
	w.silent = err != nil
	if len(uses) == 0 {
		return
	}
	if collects != w.collects {
		w.collects, w.collected = collects, now
	}
	closest := uses[0]
	for _, u := range uses[1:] {
		if u.Percent() > closest.Percent() {
			closest = u
		}
	}
	was := w.gate.Level()
	level := next(was, closest.Percent())
	w.gate.set(level, closest)
	if level != was {
		w.say(was, level, closest)
	}
	if w.due(level, now) {
		w.giveBack(now)
	}
}

// due reports whether memory is to be given back now.
func (w *Watcher) due(level Level, now time.Time) bool {
	since := now.Sub(w.freed)
	switch {
	case level == Calm || since < collectShare*w.took:
		return false
	case since >= shrinkEvery:
		return true
	}
	return level >= NoConnections && since >= freshWithin && now.Sub(w.collected) >= freshWithin
}

func (w *Watcher) giveBack(now time.Time) {
	if w.opt.Shrink != nil && now.Sub(w.shrunk) >= shrinkEvery {
		w.shrunk = now
		w.opt.Shrink()
	}
	start := time.Now()
	w.free()
	w.freed, w.took = now, time.Since(start)
}

func (w *Watcher) say(was, level Level, u Use) {
	attrs := []any{"used", u.String(), "from", u.From, "before", was.String()}
	switch {
	case level == Calm:
		w.opt.Log.Info("memory is not short any more", attrs...)
	case level > was:
		w.opt.Log.Warn("memory is short: "+level.String(), attrs...)
	default:
		w.opt.Log.Info("memory is less short: "+level.String(), attrs...)
	}
}
