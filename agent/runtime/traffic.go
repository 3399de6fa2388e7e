package runtime

import (
	"sync"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

// traffic knows what the calls of the last time were, from the cells that the metrics filter fills. It looks at them
// every ten seconds: rates and quantiles are of the last ten to twenty seconds, totals of the last minute.
type traffic struct {
	mu    sync.Mutex
	ticks int
	cells map[cellKey]*cellTraffic
	base  int64        // when the bases were taken
	next  int64        // and what replaces them
	looks [looks]int64 // when the minute's totals were taken
	at    int
}

type cellKey struct{ group, op, class string }

type cellTraffic struct {
	cell       *metrics.Cell
	base, next metrics.CellSnapshot
	totals     [looks]uint64
}

const (
	lookEvery = 10 // seconds
	looks     = 6
)

// begin takes the first look, so that what is counted already is not taken for new.
func (t *traffic) begin(m *metrics.Resource) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cells = map[cellKey]*cellTraffic{}
	now := clock.Now()
	t.base, t.next = now, now
	for i := range t.looks {
		t.looks[i] = now
	}
	t.find(m)
	for _, c := range t.cells {
		c.cell.Snapshot(&c.base)
		c.next.Set(&c.base)
		for i := range c.totals {
			c.totals[i] = c.base.Total()
		}
	}
}

func (t *traffic) tick(m *metrics.Resource) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ticks++; t.ticks%lookEvery != 0 {
		return
	}
	t.find(m)
	now := clock.Now()
	for _, c := range t.cells {
		c.base.Set(&c.next)
		c.cell.Snapshot(&c.next)
		c.totals[t.at] = c.next.Total()
	}
	t.base, t.next, t.looks[t.at] = t.next, now, now
	t.at = (t.at + 1) % looks
}

// find looks for cells that are new, and lets go of those that are not there any more. t.mu is held.
func (t *traffic) find(m *metrics.Resource) {
	old := t.cells
	t.cells = make(map[cellKey]*cellTraffic, len(old))
	m.Each(func(group, op, class string, cell *metrics.Cell) {
		k := cellKey{group, op, class}
		if c := old[k]; c != nil && c.cell == cell {
			t.cells[k] = c
		} else {
			t.cells[k] = &cellTraffic{cell: cell}
		}
	})
}

// Rates is what a set of calls looked like lately.
type Rates struct {
	Calls     float64 `json:"calls_per_second"`
	Errors    float64 `json:"errors_per_second"` // all that did not end ok
	P50Ns     int64   `json:"p50_ns"`
	P95Ns     int64   `json:"p95_ns"`
	P99Ns     int64   `json:"p99_ns"`
	Total     uint64  `json:"calls_total"` // since the agent started
	ErrorsAll uint64  `json:"errors_total"`
}

// by returns the rates of all cells, merged by the key that of gives them.
func (t *traffic) by(m *metrics.Resource, of func(cellKey) cellKey) map[cellKey]Rates {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.find(m)
	seconds := float64(max(clock.Now()-t.base, 1)) / 1e9
	type sum struct {
		lately        metrics.CellSnapshot
		total, errors uint64
	}
	sums := map[cellKey]*sum{}
	var s metrics.CellSnapshot
	for k, c := range t.cells {
		c.cell.Snapshot(&s)
		x := sums[of(k)]
		if x == nil {
			x = &sum{}
			sums[of(k)] = x
		}
		x.total += s.Total()
		x.errors += s.Errors()
		s.Sub(&c.base)
		x.lately.Merge(&s)
	}
	out := map[cellKey]Rates{}
	for k, x := range sums {
		l := &x.lately.Latency
		out[k] = Rates{
			Calls: float64(x.lately.Total()) / seconds, Errors: float64(x.lately.Errors()) / seconds,
			P50Ns: l.Quantile(0.5), P95Ns: l.Quantile(0.95), P99Ns: l.Quantile(0.99), Total: x.total, ErrorsAll: x.errors,
		}
	}
	return out
}

// minute returns the calls per second of the last minute by group, of the cells whose operation and class are
// selected.
func (t *traffic) minute(m *metrics.Resource, selected func(op, class string) bool) map[string]float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.find(m)
	seconds := float64(max(clock.Now()-t.looks[t.at], 1)) / 1e9
	out := map[string]float64{}
	for k, c := range t.cells {
		if selected(k.op, k.class) {
			out[k.group] += float64(sumOf(c.cell.Outcomes())-c.totals[t.at]) / seconds
		}
	}
	return out
}

func sumOf(by [metrics.MaxOutcomes]uint64) uint64 {
	n := uint64(0)
	for _, v := range by {
		n += v
	}
	return n
}

// selects returns whether a match can hold for an operation of a class, as far as these two decide it.
func selects(match resources.Match, ops *resources.Ops) (func(op, class string) bool, error) {
	sel, err := resources.Match{Op: match.Op, Class: match.Class}.Compile(ops)
	if err != nil {
		return nil, err
	}
	return func(op, class string) bool {
		id, _ := ops.Lookup(op)
		cl, _ := resources.ParseClass(class)
		return sel.Match(&resources.Call{Op: id, Class: cl})
	}, nil
}
