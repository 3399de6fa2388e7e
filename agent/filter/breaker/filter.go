package breaker

import (
	"log/slog"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

func init() { filter.Register(Definition) }

// Definition describes the filter. Its settings are Policy.Breaker.
var Definition = filter.Definition{
	Name:  "breaker",
	Order: filter.OrderBreaker,
	Doc:   "stops calling operations that fail or crawl",
	Build: build,
}

// Filter is the breaker of one resource.
type Filter struct {
	table    *table
	slot     int
	observe  bool
	would    *metrics.Counter // with observe
	ops      []string
	resource string
	mode     string
	log      *slog.Logger
	sinks    *filter.Sinks
}

func build(env *filter.Env, old resources.Filter) (resources.Filter, error) {
	set := env.Policy.Breaker
	if set == nil {
		return nil, nil
	}
	slot, err := env.TakeSlot()
	if err != nil {
		return nil, err
	}
	f := &Filter{
		slot: slot, observe: set.Mode == resources.Observe, mode: set.Mode, ops: env.OpNames(), resource: env.Resource,
		log: env.Log, sinks: env.Sinks,
	}
	if f.observe {
		f.would = env.Metrics.Counter("sluice_would_refuse_total", "filter", "breaker", "rule", "breaker")
	}
	rule := *set
	rule.Mode = ""
	gauge := env.Metrics.Gauge("sluice_breakers_open")
	if prev, ok := old.(*Filter); ok && prev.table.rule == rule && prev.table.gauge == gauge && prev.resource == env.Resource {
		f.table = prev.table
	} else {
		f.table = newTable(rule, gauge)
	}
	f.table.users.Add(1)
	return f, nil
}

// circuit returns the circuit of an operation and makes it when it has none.
func (f *Filter) circuit(op resources.OpID) *circuit {
	if int(op) >= len(f.ops) {
		op = resources.OpOther // learnt since the last compilation: a name is not known yet
	}
	at := &f.table.circuits[op]
	if c := at.Load(); c != nil {
		return c
	}
	at.CompareAndSwap(nil, f.newCircuit(f.ops[op]))
	return at.Load()
}

// OnCall refuses the call while its operation's circuit is open.
func (f *Filter) OnCall(c *resources.Call) *resources.Stop {
	ct := f.circuit(c.Op)
	c.Scratch[f.slot] = 0
	until := ct.until.Load()
	if until == 0 {
		return nil
	}
	if ct.admit(f.table, c.Start, until) {
		c.Scratch[f.slot] = uint64(c.Start)
		return nil
	}
	if f.observe {
		f.would.Add(1)
		return nil
	}
	return ct.refusal()
}

// OnDone counts how the call ended.
func (f *Filter) OnDone(c *resources.Call) {
	v := verdicts[c.Outcome]
	// What this filter, or one after it, refused says nothing about the resource; neither does a client that left.
	token := int64(c.Scratch[f.slot])
	if v == nothing && token == 0 {
		return
	}
	slow := f.table.slow > 0 && v != nothing && c.Now-c.Start > f.table.slow && c.Class != resources.ClassStream
	ct := f.circuit(c.Op)
	if token == 0 {
		ct.record(f, c.Now, v == bad, slow)
		return
	}
	if slow {
		v = bad
	}
	ct.tried(f, token, c.Now, v)
}

// verdicts says what each outcome means for a circuit.
var verdicts = func() (t [resources.NumOutcomes]verdict) {
	for o := range t {
		switch o := resources.Outcome(o); {
		case o.Answered():
			t[o] = good
		case o.Failure():
			t[o] = bad
		}
	}
	return t
}()

// Close leaves the circuits. Calls that began under this filter may still end.
func (f *Filter) Close() error {
	f.table.release()
	return nil
}

// CircuitStatus is one operation's circuit as the admin shows it.
type CircuitStatus struct {
	Op     string     `json:"op"`
	State  string     `json:"state"` // closed, open, half-open
	Mode   string     `json:"mode"`
	Calls  int64      `json:"calls"`  // in the window
	Failed int64      `json:"failed"` // of these
	Slow   int64      `json:"slow"`
	Reason string     `json:"reason,omitempty"` // failed or slow, when it is not closed
	Opened *time.Time `json:"opened,omitempty"` // when it opened last
}

// Status returns the circuits of the operations that were called, those that are not closed first, as
// []CircuitStatus.
func (f *Filter) Status() any {
	now := clock.Now()
	out := []CircuitStatus{}
	for op := range f.table.circuits {
		ct := f.table.circuits[op].Load()
		if ct == nil {
			continue
		}
		n := ct.window.sum(f.table.geo, now)
		s := CircuitStatus{Op: ct.op, State: "closed", Mode: f.mode, Calls: n.calls, Failed: n.failed, Slow: n.slow}
		if opened := ct.opened.Load(); opened != 0 {
			at := clock.Wall(opened)
			s.Opened = &at
		}
		if until := ct.until.Load(); until != 0 {
			s.State, s.Reason = "open", "failed"
			if now >= until {
				s.State = "half-open"
			}
			if ct.bySlow.Load() {
				s.Reason = "slow"
			}
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b CircuitStatus) int {
		return rank(a.State) - rank(b.State)
	})
	return out
}

func rank(state string) int {
	switch state {
	case "open":
		return 0
	case "half-open":
		return 1
	}
	return 2
}
