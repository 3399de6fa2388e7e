package metrics

import (
	"slices"
	"sync/atomic"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

func init() { filter.Register(Definition) }

// Definition describes the filter. Its only setting is Policy.SlowerThan.
var Definition = filter.Definition{
	Name:  "metrics",
	Order: filter.OrderMetrics,
	Doc:   "counts calls, latencies, bytes and calls in flight",
	Build: build,
}

// room is how many operations that are learnt between two compilations, a tenth of a second apart, have places of their own.
const room = 32

// Filter counts the calls of one resource.
type Filter struct {
	slower   int64
	inflight *metrics.Gauge
	cells    *cells
}

// cells finds the cell of a call.
type cells struct {
	resource *metrics.Resource
	table    *resources.Ops
	ops      []string                    // of table, when the cells were made
	groups   []string                    // by GroupID, and NoGroup at the end
	byGroup  [][]atomic.Pointer[opCells] // with room for more operations
}

// opCells is the cells of one group and operation by class. A call has its operation's class or, by its arguments, a
// stricter one, so that most have one entry.
type opCells [resources.NumClasses]atomic.Pointer[metrics.Cell]

func build(env *filter.Env, old resources.Filter) (resources.Filter, error) {
	f := &Filter{
		slower:   int64(env.Policy.SlowerThan),
		inflight: env.Metrics.Gauge(metrics.Inflight),
	}
	ops, groups := env.OpNames(), append(slices.Clone(env.Groups), metrics.NoGroup)
	prev, _ := old.(*Filter)
	if prev != nil && prev.cells.resource == env.Metrics && prev.cells.table == env.Ops && slices.Equal(prev.cells.groups, groups) && slices.Equal(prev.cells.ops, ops) {
		if prev.slower == f.slower {
			return prev, nil
		}
		f.cells = prev.cells
		return f, nil
	}
	f.cells = &cells{resource: env.Metrics, table: env.Ops, ops: ops, groups: groups, byGroup: make([][]atomic.Pointer[opCells], len(groups))}
	for i := range f.cells.byGroup {
		f.cells.byGroup[i] = make([]atomic.Pointer[opCells], len(ops)+room)
	}
	return f, nil
}

// OnCall counts the call as in flight.
func (f *Filter) OnCall(c *resources.Call) *resources.Stop {
	f.inflight.Add(1)
	return nil
}

// OnDone counts the outcome.
func (f *Filter) OnDone(c *resources.Call) {
	f.inflight.Add(-1)
	ns := max(c.Now-c.Start, 0)
	c.Slow = ns > f.slower && c.Class != resources.ClassStream
	f.cells.of(c).Done(uint8(c.Outcome), ns, c.Slow, c.ReqBytes, c.RespBytes)
}

// of returns the cell of a call.
func (t *cells) of(c *resources.Call) *metrics.Cell {
	group := len(t.byGroup) - 1
	if ep := c.Endpoint; ep != nil && ep.GroupID < group {
		group = ep.GroupID
	}
	op := c.Op
	if int(op) >= len(t.byGroup[group]) {
		op = resources.OpOther
	}
	if at := t.byGroup[group][op].Load(); at != nil {
		if cell := at[c.Class].Load(); cell != nil {
			return cell
		}
	}
	return t.make(group, op, c.Class)
}

// make is the first call of a group, operation and class.
func (t *cells) make(group int, op resources.OpID, class resources.Class) *metrics.Cell {
	slot := &t.byGroup[group][op]
	if slot.Load() == nil {
		slot.CompareAndSwap(nil, new(opCells))
	}
	cell := t.resource.Cell(t.groups[group], t.table.Info(op).Name, class.String())
	slot.Load()[class].Store(cell)
	return cell
}
