package agent

import (
	"context"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/agent/admin"
	"github.com/sluice-mesh/sluice/metrics"
)

// sampler knows how many calls each group had in the last second, for live views. (Quantiles need longer windows and come
// from the runtime.) It looks once a second at counters that exist anyway.
type sampler struct {
	registry *metrics.Registry

	mu    sync.Mutex
	at    time.Time
	seen  map[groupKey]totals
	rates map[groupKey]admin.Rate
}

// groupKey names a group; the group "" stands for the whole resource.
type groupKey struct{ resource, group string }

type totals struct{ calls, errors uint64 }

func newSampler(r *metrics.Registry) *sampler {
	return &sampler{registry: r, seen: map[groupKey]totals{}, rates: map[groupKey]admin.Rate{}}
}

// run samples until ctx ends.
func (s *sampler) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	s.sample(time.Now())
	for {
		select {
		case now := <-tick.C:
			s.sample(now)
		case <-ctx.Done():
			return
		}
	}
}

func (s *sampler) sample(now time.Time) {
	sums := make(map[groupKey]totals)
	s.registry.Each(func(r *metrics.Resource) {
		r.Each(func(group, op, class string, c *metrics.Cell) {
			by := c.Outcomes()
			var t totals
			for outcome, n := range by {
				t.calls += n
				if outcome != 0 {
					t.errors += n
				}
			}
			for _, k := range []groupKey{{r.Name(), group}, {r.Name(), ""}} {
				sum := sums[k]
				sums[k] = totals{sum.calls + t.calls, sum.errors + t.errors}
			}
		})
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	seconds := now.Sub(s.at).Seconds()
	rates := make(map[groupKey]admin.Rate, len(sums))
	for k, t := range sums {
		was := s.seen[k]
		if s.at.IsZero() || seconds <= 0 || t.calls < was.calls || t.errors < was.errors {
			continue // the first look, or the resource was made anew
		}
		rates[k] = admin.Rate{Calls: float64(t.calls-was.calls) / seconds, Errors: float64(t.errors-was.errors) / seconds}
	}
	s.at, s.seen, s.rates = now, sums, rates
}

// rate returns the rate of a group, or of a whole resource for "".
func (s *sampler) rate(resource, group string) admin.Rate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rates[groupKey{resource, group}]
}
