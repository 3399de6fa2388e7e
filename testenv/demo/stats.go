package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

// stats is what the application saw of one resource since the last look.
type stats struct {
	ctx context.Context // of the application: what fails because it ends is no error

	mu       sync.Mutex
	since    time.Time
	ops      map[string]*opStats
	groups   map[string]int
	total    int64  // calls since the start
	lastText string // of the last error
	lastAt   time.Time
}

type opStats struct {
	calls, errors int
	took          []time.Duration
}

func newStats(ctx context.Context) *stats {
	return &stats{ctx: ctx, since: time.Now(), ops: make(map[string]*opStats), groups: make(map[string]int)}
}

// call runs one call of the application and records it.
func (s *stats) call(op string, f func() error) {
	start := time.Now()
	err := f()
	took := time.Since(start)
	if err != nil && (s.ctx.Err() != nil || errors.Is(err, context.Canceled)) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.ops[op]
	if o == nil {
		o = new(opStats)
		s.ops[op] = o
	}
	s.total++
	o.calls++
	o.took = append(o.took, took)
	if err != nil {
		o.errors++
		s.lastText, s.lastAt = err.Error(), time.Now()
	}
}

// answered notes which group a reply came from.
func (s *stats) answered(group string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[group]++
}

// view is a look at stats: rates a second.
type view struct {
	ops      []opView
	all      opView             // of all operations together
	shares   map[string]float64 // of the replies by group, 0 to 1
	total    int64
	lastText string
	lastAgo  time.Duration
}

type opView struct {
	name          string
	calls, errors float64
	p50, p99      time.Duration
}

// take returns what happened since the last take. Operations stay listed when they are silent.
func (s *stats) take() view {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	seconds := now.Sub(s.since).Seconds()
	s.since = now
	v := view{shares: make(map[string]float64), total: s.total, lastText: s.lastText, lastAgo: now.Sub(s.lastAt)}
	var took []time.Duration
	for name, o := range s.ops {
		slices.Sort(o.took)
		took = append(took, o.took...)
		v.all.calls += float64(o.calls) / seconds
		v.all.errors += float64(o.errors) / seconds
		v.ops = append(v.ops, opView{
			name: name, calls: float64(o.calls) / seconds, errors: float64(o.errors) / seconds,
			p50: quantile(o.took, 0.5), p99: quantile(o.took, 0.99),
		})
		*o = opStats{took: o.took[:0]}
	}
	slices.Sort(took)
	v.all.p50, v.all.p99 = quantile(took, 0.5), quantile(took, 0.99)
	slices.SortFunc(v.ops, func(a, b opView) int { return strings.Compare(a.name, b.name) })
	sum := 0
	for _, n := range s.groups {
		sum += n
	}
	for g, n := range s.groups {
		v.shares[g] = float64(n) / float64(sum)
	}
	clear(s.groups)
	return v
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
