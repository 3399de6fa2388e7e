package ha

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

// minSamples is how many calls of an operation its quantile is computed from at least; with fewer there are no
// backups.
const minSamples = 50

// Backups says for each operation how long a call stays unanswered before its backup request. It is one of a resource
// and outlives policies.
type Backups struct {
	after [resources.MaxOps]atomic.Int64 // ns by operation; 0: never

	// Of Tick alone.
	fixed    int64
	quantile float64
	ops      map[string]*recent
	ticks    int
}

// recent is an operation's latency over the last ten to twenty seconds: what is counted now less a base.
type recent struct {
	now, base, next, last metrics.Snapshot
	seen                  int
}

// quantiles are the words of `backup.after`.
var quantiles = map[string]float64{"p50": 0.50, "p75": 0.75, "p90": 0.90, "p95": 0.95, "p99": 0.99}

// ParseAfter reads `backup.after`: a fixed time in ns, or a quantile of the operation's recent latency.
func ParseAfter(s string) (fixed int64, quantile float64, err error) {
	if q, ok := quantiles[s]; ok {
		return 0, q, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, 0, fmt.Errorf("backup.after %s: write a duration such as 20ms, or p50, p75, p90, p95 or p99", strconv.Quote(s))
	}
	return d.Nanoseconds(), 0, nil
}

// Set puts a policy in force; nil switches backups off. Set and Tick are called by one goroutine at a time.
func (b *Backups) Set(p *resources.Backup) error {
	var err error
	b.fixed, b.quantile = 0, 0
	if p != nil {
		b.fixed, b.quantile, err = ParseAfter(p.After)
	}
	if b.quantile == 0 {
		b.ops = nil
	}
	for i := range b.after {
		if b.quantile == 0 || b.after[i].Load() == 0 {
			b.after[i].Store(b.fixed)
		}
	}
	return err
}

// After returns how long after its start a call of the operation gets its backup, in ns; 0: never.
func (b *Backups) After(op resources.OpID) int64 { return b.after[int(op)%resources.MaxOps].Load() }

// Tick computes the quantiles anew from the resource's metrics, once a second. Only reads count: nothing else is ever
// backed up.
func (b *Backups) Tick(m *metrics.Resource, ops *resources.Ops) {
	if b.quantile == 0 {
		return
	}
	if b.ops == nil {
		b.ops, b.ticks = map[string]*recent{}, 0
	}
	b.ticks++
	var one metrics.Snapshot
	m.Each(func(_, op, class string, cell *metrics.Cell) {
		if class != resources.ClassRead.String() {
			return
		}
		r := b.ops[op]
		if r == nil {
			r = &recent{}
			b.ops[op] = r
		}
		if r.seen != b.ticks {
			r.seen = b.ticks
			r.now.Reset()
		}
		cell.Histogram().Snapshot(&one)
		r.now.Merge(&one)
	})
	for name, r := range b.ops {
		if id, ok := ops.Lookup(name); ok {
			b.after[id].Store(r.quantile(b.quantile))
		}
		if b.ticks%Seconds == 0 {
			r.base.Set(&r.next)
			r.next.Set(&r.now)
		}
	}
}

func (r *recent) quantile(q float64) int64 {
	r.last.Set(&r.now)
	r.last.Sub(&r.base)
	if r.last.Count < minSamples {
		return 0
	}
	return max(1, r.last.Quantile(q))
}
