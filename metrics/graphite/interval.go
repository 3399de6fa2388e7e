package graphite

import (
	"slices"

	"github.com/sluice-mesh/sluice/metrics"
)

// intervals turns the ever-growing counts of cells into those of one interval. One goroutine uses it.
type intervals struct {
	registry *metrics.Registry
	name     func(group, resource, op string) []string // everything before STAT, at least one

	cells map[*metrics.Cell]*counted
	rows  []*row          // in the order in which they were first seen
	names map[string]*row // by the first of each
	turn  uint64          // counts calls of next

	now, sum metrics.CellSnapshot // scratch
}

// row is what is sent under one name, or several.
type row struct {
	names  []string
	cells  []*counted
	active bool // had calls in the last interval
}

// counted is a cell with what was sent of it.
type counted struct {
	cell *metrics.Cell
	row  *row
	sent metrics.CellSnapshot
	turn uint64 // when the registry last had it
}

func newIntervals(r *metrics.Registry, name func(group, resource, op string) []string) *intervals {
	return &intervals{registry: r, name: name, cells: map[*metrics.Cell]*counted{}, names: map[string]*row{}}
}

// next calls emit for each row that has calls since the last next, and once with an empty snapshot for one that had
// calls before and has none now. The snapshot is valid during emit only.
func (in *intervals) next(emit func(names []string, s *metrics.CellSnapshot)) {
	in.turn++
	in.registry.Each(func(m *metrics.Resource) {
		m.Each(func(group, op, _ string, c *metrics.Cell) {
			t := in.cells[c]
			if t == nil {
				t = &counted{cell: c}
				in.cells[c] = t
			}
			in.place(t, in.name(group, m.Name(), op))
			t.turn = in.turn
		})
	})
	in.rows = slices.DeleteFunc(in.rows, in.sweep)
	for _, r := range in.rows {
		in.sum.Reset()
		for _, t := range r.cells {
			t.cell.Snapshot(&in.now)
			in.now.Sub(&t.sent)
			t.sent.Merge(&in.now) // and so is what the cell held
			in.sum.Merge(&in.now)
		}
		active := in.sum.Total() > 0
		if active || r.active {
			emit(r.names, &in.sum)
		}
		r.active = active
	}
}

// place puts a cell into the row of its names, which a change of the configuration may have changed.
func (in *intervals) place(t *counted, names []string) {
	if t.row != nil && slices.Equal(t.row.names, names) {
		return
	}
	if t.row != nil {
		t.row.cells = slices.DeleteFunc(t.row.cells, func(o *counted) bool { return o == t })
	}
	r := in.names[names[0]]
	if r == nil {
		r = &row{names: names}
		in.names[names[0]] = r
		in.rows = append(in.rows, r)
	}
	t.row = r
	r.cells = append(r.cells, t)
}

// sweep forgets the cells of a row that the registry has no more, and reports whether none is left.
func (in *intervals) sweep(r *row) bool {
	r.cells = slices.DeleteFunc(r.cells, func(t *counted) bool {
		if t.turn == in.turn {
			return false
		}
		delete(in.cells, t.cell)
		return true
	})
	if len(r.cells) > 0 {
		return false
	}
	delete(in.names, r.names[0])
	return true
}
