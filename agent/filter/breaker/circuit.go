package breaker

import (
	"fmt"
	"sync/atomic"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

// trials is how many calls in a row must be good in the half-open state to close a circuit.
const trials = 3

// circuit is the breaker of one operation. Calls read it without locks; its state changes by compare-and-swap.
type circuit struct {
	// until is 0 while the circuit is closed, else the time from which trials are let through.
	until  atomic.Int64
	bySlow atomic.Bool // why it opened last: calls were slow, not failed
	_      [48]byte    // the window changes with every call, what is above almost never

	window window

	trial  atomic.Int64    // Start of the trial that is under way, 0: none
	good   atomic.Int32    // trials that went well in a row
	opened atomic.Int64    // when it opened last
	count  [3]atomic.Int64 // calls, failed, slow in the window when it opened last

	op     string
	failed *resources.Stop // refusal when it opened for failures
	slow   *resources.Stop // refusal when it opened for slow calls
	notice *filter.Notice
}

// table holds the circuits of a resource and the rule that they follow. Successive filters share it while the rule is
// the same; the last one to leave takes its circuits out of the gauge.
type table struct {
	rule  resources.Breaker // its Mode is empty: it may change
	geo   geometry
	open  int64 // ns
	lease int64 // ns after which a trial that did not end gives way
	slow  int64 // ns; 0: slow calls do not matter

	users  atomic.Int32
	gauge  *metrics.Gauge // circuits that are not closed
	opened atomic.Int64   // this table's part of the gauge; negative once it is retired

	circuits [resources.MaxOps]atomic.Pointer[circuit]
}

const retired = -1 << 62

func newTable(rule resources.Breaker, gauge *metrics.Gauge) *table {
	t := &table{
		rule: rule, geo: newGeometry(int64(rule.Window)), open: int64(rule.Open), lease: max(int64(rule.Open), 1e9), gauge: gauge,
	}
	if rule.Slow > 0 {
		t.slow = int64(rule.SlowerThan)
	}
	return t
}

// gaugeAdd changes the number of circuits that are not closed.
func (t *table) gaugeAdd(d int64) {
	for {
		n := t.opened.Load()
		if n < 0 {
			return
		}
		if t.opened.CompareAndSwap(n, n+d) {
			t.gauge.Add(d)
			return
		}
	}
}

func (t *table) release() {
	if t.users.Add(-1) == 0 {
		if n := t.opened.Swap(retired); n > 0 {
			t.gauge.Add(-n)
		}
	}
}

// newCircuit makes the circuit of an operation, at its first call.
func (f *Filter) newCircuit(op string) *circuit {
	t := f.table
	c := &circuit{op: op}
	refuse := func(share resources.Percent, did string) *resources.Stop {
		what := fmt.Sprintf("breaker of %s is open: at least %v of its calls %s within %v (trying again after %v)",
			filter.OneLine(op), share, did, t.rule.Window, t.rule.Open)
		return &resources.Stop{
			Fault:   resources.NewFault(resources.BreakerOpen, resources.FromAgent, f.resource, what),
			Outcome: resources.Outcome(resources.BreakerOpen),
		}
	}
	c.failed = refuse(t.rule.Errors, "failed")
	c.slow = refuse(t.rule.Slow, fmt.Sprintf("took over %v", t.rule.SlowerThan))
	if log := f.log; log != nil {
		c.notice = filter.NewNotice(0, func() {
			if c.until.Load() == 0 {
				log.Info("breaker closed", "op", op)
				return
			}
			log.Warn("breaker opened", "op", op, "calls", c.count[0].Load(), "failed", c.count[1].Load(),
				"slow", c.count[2].Load(), "window", t.rule.Window.String(), "mode", f.mode)
		})
	}
	return c
}

// refusal returns what calls get while the circuit is open.
func (c *circuit) refusal() *resources.Stop {
	if c.bySlow.Load() {
		return c.slow
	}
	return c.failed
}

// admit decides for a call that begins at now while the circuit is not closed; true makes it a trial.
func (c *circuit) admit(t *table, now, until int64) bool {
	if now < until {
		return false
	}
	running := c.trial.Load()
	if running != 0 && now-running < t.lease {
		return false
	}
	return c.trial.CompareAndSwap(running, now)
}

// record counts a call of the closed circuit and opens it if it has become too bad.
func (c *circuit) record(f *Filter, now int64, failed, slow bool) {
	t := f.table
	slice := t.geo.slice(now)
	b := &c.window.buckets[slice%ring]
	b.calls.add(slice)
	if !failed && !slow {
		return
	}
	if failed {
		b.failed.add(slice)
	}
	if slow {
		b.slow.add(slice)
	}
	if c.until.Load() != 0 {
		return
	}
	n := c.window.sum(t.geo, now)
	if n.calls < int64(t.rule.MinCalls) {
		return
	}
	bySlow := t.slow > 0 && over(n.slow, n.calls, t.rule.Slow)
	if over(n.failed, n.calls, t.rule.Errors) {
		bySlow = false
	} else if !bySlow {
		return
	}
	if c.until.CompareAndSwap(0, now+t.open) {
		c.bySlow.Store(bySlow)
		c.good.Store(0)
		c.opened.Store(now)
		for i, v := range [...]int64{n.calls, n.failed, n.slow} {
			c.count[i].Store(v)
		}
		t.gaugeAdd(1)
		f.tell(c, now)
	}
}

// over reports whether part is at least share of all.
func over(part, all int64, share resources.Percent) bool {
	return float64(part)*100 >= float64(share)*float64(all)
}

// verdict is what a call says about its operation.
type verdict uint8

const (
	nothing verdict = iota
	good
	bad
)

// tried ends a trial. token is the trial's mark: when it is no longer the circuit's, another trial took its place.
func (c *circuit) tried(f *Filter, token, now int64, v verdict) {
	if c.trial.Load() != token {
		return
	}
	switch v {
	case bad:
		c.good.Store(0)
		c.until.Store(now + f.table.open)
	case good:
		if c.good.Add(1) < trials {
			break
		}
		c.window.clear()
		if until := c.until.Load(); until != 0 && c.until.CompareAndSwap(until, 0) {
			f.table.gaugeAdd(-1)
			f.tell(c, now)
		}
	}
	c.trial.CompareAndSwap(token, 0)
}

// tell lets the agent's log know that the circuit opened or closed.
func (f *Filter) tell(c *circuit, now int64) {
	if c.notice != nil {
		f.sinks.Post(c.notice, now)
	}
}
