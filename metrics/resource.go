package metrics

import (
	"cmp"
	"slices"
)

// Resource holds the metrics of one resource. Its methods get or create handles, take a lock, and are not for the path
// of a call: callers keep what they return.
type Resource struct {
	registry *Registry
	name     string
	kind     string
	label    string // name as a label value

	// Guarded by registry.mu.
	scope scope
	cells map[cellKey]*cellEntry
	order []*cellEntry // cells by key; nil after a change
	gone  bytesMoved   // what forgotten cells had counted, so that the resource's sum never falls
}

// bytesMoved is what the cells of a resource count together.
type bytesMoved struct{ in, out uint64 }

func (b *bytesMoved) add(c *Cell) {
	b.in += c.in.Load()
	b.out += c.out.Load()
}

type cellKey struct{ group, op, class string }

func (a cellKey) compare(b cellKey) int {
	return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.op, b.op), cmp.Compare(a.class, b.class))
}

type cellEntry struct {
	cellKey
	cell *Cell
}

// Name returns the resource's name.
func (m *Resource) Name() string { return m.name }

// Kind returns the resource's kind.
func (m *Resource) Kind() string { return m.kind }

// Cell returns the cell of an operation in a group. A group, operation or class that is one too many is Overflow, so
// that the cells of several may be one.
func (m *Resource) Cell(group, op, class string) *Cell {
	r := m.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	k := cellKey{
		m.scope.values.admit("group", cleanValue(group), r.maxValues),
		m.scope.values.admit("op", cleanValue(op), r.maxValues),
		m.scope.values.admit("class", cleanValue(class), r.maxValues),
	}
	if e := m.cells[k]; e != nil {
		return e.cell
	}
	e := &cellEntry{k, new(Cell)}
	m.cells[k] = e
	m.scope.values.hold(k.labels())
	m.order = nil
	return e.cell
}

func (k cellKey) labels() []Label {
	return []Label{{"group", k.group}, {"op", k.op}, {"class", k.class}}
}

// Counter returns the resource's counter with this name and these labels, given as key, value, key, value..., to which
// `resource` is added in front; see [Registry.Counter] for what panics.
func (m *Resource) Counter(name string, labels ...string) *Counter {
	m.registry.mu.Lock()
	defer m.registry.mu.Unlock()
	return m.registry.series(&m.scope, name, "", TypeCounter, m.label, labels).counter
}

// Gauge is Counter for gauges.
func (m *Resource) Gauge(name string, labels ...string) *Gauge {
	m.registry.mu.Lock()
	defer m.registry.mu.Unlock()
	return m.registry.series(&m.scope, name, "", TypeGauge, m.label, labels).gauge
}

// GaugeFunc is [Registry.GaugeFunc] with `resource` added.
func (m *Resource) GaugeFunc(name string, value func() float64, labels ...string) {
	m.registry.mu.Lock()
	defer m.registry.mu.Unlock()
	m.registry.series(&m.scope, name, "", TypeGauge, m.label, labels).value = value
}

// Forget drops all series and cells of the resource that carry this label, and makes room for another value: call it
// when an endpoint or a group is gone. Handles that callers still have go on working, unseen.
func (m *Resource) Forget(label, value string) {
	m.registry.mu.Lock()
	defer m.registry.mu.Unlock()
	value = cleanValue(value)
	m.scope.forget(label, value)
	for k := range m.cells {
		if labels := k.labels(); has(labels, label, value) {
			m.gone.add(m.cells[k].cell)
			delete(m.cells, k)
			m.scope.values.release(labels)
			m.order = nil
		}
	}
}

// Each calls visit for every cell, by group, operation and class.
func (m *Resource) Each(visit func(group, op, class string, c *Cell)) {
	m.registry.mu.Lock()
	cells := m.cellList()
	m.registry.mu.Unlock()
	for _, e := range cells {
		visit(e.group, e.op, e.class, e.cell)
	}
}

// cellList returns the cells in order. The caller holds the lock; the result is never changed.
func (m *Resource) cellList() []*cellEntry {
	if m.order == nil {
		m.order = make([]*cellEntry, 0, len(m.cells))
		for _, e := range m.cells {
			m.order = append(m.order, e)
		}
		slices.SortFunc(m.order, func(a, b *cellEntry) int { return a.compare(b.cellKey) })
	}
	return m.order
}
