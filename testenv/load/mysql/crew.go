package mysql

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/testenv/load"
)

// pace says how many clients do how much.
type pace struct {
	clients  int
	rate     float64 // a second, of all clients together; 0: closed loop
	duration time.Duration
	requests int64
	timeout  time.Duration
	seed     uint64
}

// check fills in what is not set.
func (p *pace) check() error {
	if p.clients == 0 {
		p.clients = 10
	}
	if p.timeout == 0 {
		p.timeout = 5 * time.Second
	}
	switch {
	case p.duration <= 0 && p.requests <= 0:
		return fmt.Errorf("load/mysql: neither a duration nor a number of requests is set")
	case p.clients < 1 || p.rate < 0 || p.timeout < 0:
		return fmt.Errorf("load/mysql: %d clients, rate %v, timeout %v: want at least 1, 0 and 0", p.clients, p.rate, p.timeout)
	}
	return nil
}

// crew is what the clients of one load share.
type crew struct {
	pace
	id   string // of this load: part of keys
	ctx  context.Context
	stop context.CancelFunc

	begin  time.Time
	claims atomic.Int64
	ok     atomic.Int64
	errs   atomic.Int64

	mu         sync.Mutex // guards violations
	violations []string
}

// loads numbers the loads of this process, so that no two have the same keys.
var loads atomic.Int64

func newCrew(ctx context.Context, p pace) *crew {
	c := &crew{pace: p}
	c.id = strconv.FormatInt(time.Now().UnixMicro()%(36*36*36*36*36), 36) + "-" + strconv.FormatInt(loads.Add(1), 36)
	c.ctx, c.stop = context.WithCancel(ctx)
	return c
}

// counts returns good requests and errors so far.
func (c *crew) counts() load.Count { return load.Count{OK: c.ok.Load(), Errors: c.errs.Load()} }

// claim reports whether one more request may be started.
func (c *crew) claim() bool {
	return c.requests <= 0 || c.claims.Add(1) <= c.requests
}

// violation notes what a client found; the first 20 are kept.
func (c *crew) violation(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.violations) < 20 {
		c.violations = append(c.violations, fmt.Sprintf("at %v: ", time.Since(c.begin).Round(time.Millisecond))+fmt.Sprintf(format, args...))
	}
}

// worker is the part of a client that connects, keeps the pace and counts. One goroutine at a time uses it.
type worker struct {
	*link
	crew   *crew
	number int
	rnd    *rand.Rand
	timer  *time.Timer
	pause  time.Duration // before the next try to connect
	// each is how many requests a connection is for, 0 for any number.
	each, left int

	good, dials         int64
	wrong, lost, unread int64
	errors              map[string]int64
	timeline            []load.Count
	hist                load.Histogram
}

func newWorker(c *crew, number int, l *link) *worker {
	w := &worker{link: l, crew: c, number: number, errors: map[string]int64{}, timer: time.NewTimer(time.Hour)}
	w.rnd = rand.New(rand.NewPCG(c.seed, uint64(number)))
	w.timer.Stop()
	return w
}

// run calls one for each request until the load ends. one says whether the request was answered right.
func (w *worker) run(one func() bool) {
	defer w.close()
	c := w.crew
	end := time.Time{}
	if c.duration > 0 {
		end = c.begin.Add(c.duration)
	}
	interval := time.Duration(0)
	next := c.begin
	if c.rate > 0 {
		interval = time.Duration(float64(c.clients) / c.rate * float64(time.Second))
		next = next.Add(interval * time.Duration(w.number) / time.Duration(c.clients))
	}
	for c.ctx.Err() == nil {
		start := time.Now()
		if !end.IsZero() && w.over(start, next, end, interval > 0) {
			return
		}
		if interval > 0 && start.Before(next) {
			w.sleep(next.Sub(start))
			continue
		}
		if !w.ready() {
			continue
		}
		if !c.claim() {
			return
		}
		if interval > 0 {
			start, next = next, next.Add(interval) // latency counts from the intended start
		}
		w.left--
		if one() {
			now := time.Now()
			w.good++
			c.ok.Add(1)
			w.hist.Add(now.Sub(start))
			w.step(now).OK++
		}
		if w.each > 0 && w.left <= 0 {
			w.close()
		}
	}
}

// over reports whether the load has ended. An open loop also does what was due before its end, as long as there is hope.
func (w *worker) over(now, next, end time.Time, open bool) bool {
	if open {
		return !next.Before(end) || now.After(end.Add(w.crew.timeout))
	}
	return !now.Before(end)
}

// ready makes sure that there is a connection; false means that it waited after a failure.
func (w *worker) ready() bool {
	if w.conn != nil {
		return true
	}
	ctx, cancel := context.WithTimeout(w.crew.ctx, w.crew.timeout)
	defer cancel()
	if err := w.connect(ctx); err != nil {
		if w.crew.ctx.Err() == nil {
			w.count(connectWord(err))
			w.pause = min(max(2*w.pause, 5*time.Millisecond), 100*time.Millisecond)
			w.sleep(w.pause/2 + time.Duration(w.rnd.Int64N(int64(w.pause/2))))
		}
		return false
	}
	w.pause, w.left = 0, w.each
	w.dials++
	return true
}

// fail counts the error of a statement and gives up the connection if it is of no more use.
func (w *worker) fail(err error) {
	w.count(w.word(err))
	if broken(err) {
		w.close()
	}
}

func (w *worker) count(word string) {
	w.errors[word]++
	w.crew.errs.Add(1)
	w.step(time.Now()).Errors++
}

// step returns the place of a moment in the timeline.
func (w *worker) step(now time.Time) *load.Count {
	i := int(max(0, now.Sub(w.crew.begin)) / load.Step)
	for len(w.timeline) <= i {
		w.timeline = append(w.timeline, load.Count{})
	}
	return &w.timeline[i]
}

// sleep waits, or less if the load is stopped.
func (w *worker) sleep(d time.Duration) {
	w.timer.Reset(d)
	select {
	case <-w.timer.C:
	case <-w.crew.ctx.Done():
		w.timer.Stop()
	}
}

// report adds up what the workers counted.
func (c *crew) report(workers []*worker, elapsed time.Duration) load.Report {
	r := load.Report{Elapsed: elapsed, Errors: map[string]int64{}, Violations: c.violations}
	var h load.Histogram
	for _, w := range workers {
		r.OK += w.good
		r.Wrong += w.wrong
		r.Lost += w.lost
		r.Connections += w.dials
		for word, n := range w.errors {
			r.Errors[word] += n
		}
		for i, n := range w.timeline {
			if i == len(r.Timeline) {
				r.Timeline = append(r.Timeline, load.Count{})
			}
			r.Timeline[i].OK += n.OK
			r.Timeline[i].Errors += n.Errors
		}
		h.Merge(&w.hist)
	}
	if elapsed > 0 {
		r.QPS = float64(r.OK) / elapsed.Seconds()
	}
	r.P50, r.P90, r.P99, r.P999, r.Max = h.Quantile(.5), h.Quantile(.9), h.Quantile(.99), h.Quantile(.999), h.Max
	return r
}

// together calls f for each element at once and waits for all.
func together[E any](all []E, f func(E)) {
	var wg sync.WaitGroup
	for _, e := range all {
		wg.Go(func() { f(e) })
	}
	wg.Wait()
}
