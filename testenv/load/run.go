package load

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Run runs a load to its end.
func Run(ctx context.Context, c Config) (*Report, error) {
	r, err := Start(ctx, c)
	if err != nil {
		return nil, err
	}
	return r.Wait(), nil
}

// Runner is a load that runs.
type Runner struct {
	conf    Config
	id      string // part of all keys
	ctx     context.Context
	stop    context.CancelFunc
	started chan struct{}
	done    chan struct{}
	report  *Report // valid after done

	begin  time.Time // valid after started
	claims atomic.Int64
	ok     atomic.Int64
	errs   atomic.Int64

	mu         sync.Mutex // guards violations
	violations []string
}

// Start starts a load. Canceling ctx ends it as Stop does.
func Start(ctx context.Context, c Config) (*Runner, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Runner{conf: c, started: make(chan struct{}), done: make(chan struct{})}
	r.id = strconv.FormatInt(time.Now().UnixMicro()%(36*36*36*36*36), 36)
	r.ctx, r.stop = context.WithCancel(ctx)
	go r.run()
	return r, nil
}

// Started is closed when the keys are prepared and the load begins.
func (r *Runner) Started() <-chan struct{} { return r.started }

// Counts returns the good replies and errors so far.
func (r *Runner) Counts() Count { return Count{OK: r.ok.Load(), Errors: r.errs.Load()} }

// Stop starts no further requests, awaits those in flight, and returns the report.
func (r *Runner) Stop() *Report {
	r.stop()
	return r.Wait()
}

// Wait waits for the end of the load and of the final check.
func (r *Runner) Wait() *Report {
	<-r.done
	return r.report
}

func (r *Runner) run() {
	defer close(r.done)
	defer r.stop()
	clients := make([]*client, r.conf.Clients)
	for i := range clients {
		clients[i] = newClient(r, i)
	}
	each := func(f func(*client)) {
		var wg sync.WaitGroup
		for _, c := range clients {
			wg.Go(func() { f(c) })
		}
		wg.Wait()
	}
	if r.conf.Mix.Set == 0 && r.conf.Mix.Get+r.conf.Mix.MGet > 0 {
		each((*client).prepare)
	}
	r.begin = time.Now()
	close(r.started)
	each((*client).run)
	elapsed := time.Since(r.begin)
	if r.conf.VerifyTimeout > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), r.conf.VerifyTimeout)
		defer cancel()
		each(func(c *client) { c.verify(ctx) })
	}
	r.report = r.collect(clients, elapsed)
}

// claim returns how many of n requests may still be started.
func (r *Runner) claim(n int) int {
	if r.conf.Requests <= 0 {
		return n
	}
	over := int(max(0, r.claims.Add(int64(n))-r.conf.Requests))
	if over > n {
		over = n
	}
	r.claims.Add(int64(-over))
	return n - over
}

// violation notes what a client found.
func (r *Runner) violation(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.violations) < 20 {
		var at time.Duration // 0 while keys are prepared
		if !r.begin.IsZero() {
			at = time.Since(r.begin).Round(time.Millisecond)
		}
		r.violations = append(r.violations, fmt.Sprintf("at %v: ", at)+fmt.Sprintf(format, args...))
	}
}

func (r *Runner) collect(clients []*client, elapsed time.Duration) *Report {
	rep := &Report{Elapsed: elapsed, Errors: map[string]int64{}, Violations: r.violations}
	var h Histogram
	for _, c := range clients {
		rep.OK += c.ok
		rep.Wrong += c.found[wrong]
		rep.Lost += c.found[lost]
		rep.Repeated += c.found[repeated]
		rep.Reordered += c.found[reordered]
		rep.Late += c.found[late]
		rep.Connections += c.dials
		rep.Verified += c.verified
		rep.Unverified += c.unverified
		for w, n := range c.errors {
			rep.Errors[w] += n
		}
		for i, n := range c.timeline {
			if i == len(rep.Timeline) {
				rep.Timeline = append(rep.Timeline, Count{})
			}
			rep.Timeline[i].OK += n.OK
			rep.Timeline[i].Errors += n.Errors
		}
		h.Merge(&c.hist)
	}
	if elapsed > 0 {
		rep.QPS = float64(rep.OK) / elapsed.Seconds()
	}
	rep.P50, rep.P90, rep.P99, rep.P999, rep.Max = h.Quantile(.5), h.Quantile(.9), h.Quantile(.99), h.Quantile(.999), h.Max
	return rep
}
