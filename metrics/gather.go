package metrics

import "slices"

// Point is the value of one series. It is valid during one visit only: whoever wants to keep parts of it copies them.
type Point struct {
	Name   string
	Help   string // one line; may be empty
	Type   Type
	Labels []Label // in the order in which they are shown

	Value   float64   // of a counter or gauge
	Latency *Snapshot // of a histogram
}

// Gather calls visit for every series: by name, so that those of one name follow each other, then by resource and
// labels. No lock is held during visits. Each value is read at its turn, so values that depend on each other may differ
// by the calls that end meanwhile.
//
// Calls that a cell counts are seen as CallsTotal, with `ok` always and other outcomes once they occurred, as
// CallSeconds, with the classes of an operation in one histogram, and as CallBytesTotal, summed over the resource.
func (r *Registry) Gather(visit func(*Point)) {
	v := r.view()
	var p Point
	for _, name := range v.names {
		f := v.families[name]
		p = Point{Name: name, Help: f.help, Type: f.typ, Labels: p.Labels}
		switch name {
		case CallsTotal:
			v.calls(r, &p, visit)
		case CallSeconds:
			v.seconds(&p, visit)
		case CallBytesTotal:
			v.bytes(&p, visit)
		}
		for _, s := range v.series[name] {
			p.Labels, p.Latency = s.labels, nil
			if p.Value = s.load(); s.value != nil {
				p.Value = s.value()
			}
			visit(&p)
		}
		p.Labels = nil
	}
}

// view is what there is to gather, taken under the lock.
type view struct {
	names     []string
	families  map[string]*family
	series    map[string][]seriesView
	resources []resourceView
}

type seriesView struct {
	*series
	value func() float64 // copied under the lock; shadows the guarded field
}

type resourceView struct {
	name, kind string
	cells      []*cellEntry
	gone       bytesMoved
}

func (r *Registry) view() *view {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := &view{families: map[string]*family{}, series: map[string][]seriesView{}}
	add := func(sc *scope) {
		for _, s := range sc.list() {
			v.series[s.family.name] = append(v.series[s.family.name], seriesView{s, s.value})
		}
	}
	add(&r.own)
	for _, m := range r.sortedResources() {
		add(&m.scope)
		v.resources = append(v.resources, resourceView{m.label, m.kind, m.cellList(), m.gone})
	}
	for name, f := range r.families {
		if len(v.series[name]) > 0 || len(v.resources) > 0 && f.cells {
			v.names = append(v.names, name)
			v.families[name] = f
		}
	}
	slices.Sort(v.names)
	return v
}

func (v *view) calls(r *Registry, p *Point, visit func(*Point)) {
	for _, m := range v.resources {
		for _, e := range m.cells {
			emit := func(outcome string, n uint64) {
				p.Value = float64(n)
				p.Labels = append(p.Labels[:0], Label{"resource", m.name}, Label{"kind", m.kind}, Label{"group", e.group},
					Label{"op", e.op}, Label{"class", e.class}, Label{"outcome", outcome})
				visit(p)
			}
			var nameless uint64
			for o, n := range e.cell.Outcomes() {
				switch {
				case o >= len(r.outcomes):
					nameless += n
				case n != 0 || o == 0:
					emit(r.outcomes[o], n)
				}
			}
			if nameless != 0 {
				emit(Overflow, nameless)
			}
		}
	}
}

func (v *view) seconds(p *Point, visit func(*Point)) {
	var one, sum Snapshot
	for _, m := range v.resources {
		for i, e := range m.cells {
			e.cell.latency.Snapshot(&one)
			sum.Merge(&one)
			if i+1 < len(m.cells) && m.cells[i+1].group == e.group && m.cells[i+1].op == e.op {
				continue // another class of the same operation follows
			}
			p.Latency = &sum
			p.Labels = append(p.Labels[:0], Label{"resource", m.name}, Label{"kind", m.kind}, Label{"group", e.group}, Label{"op", e.op})
			visit(p)
			sum.Reset()
		}
	}
}

func (v *view) bytes(p *Point, visit func(*Point)) {
	for _, m := range v.resources {
		sum := m.gone
		for _, e := range m.cells {
			sum.add(e.cell)
		}
		for _, d := range []struct {
			name  string
			bytes uint64
		}{{"in", sum.in}, {"out", sum.out}} {
			p.Value = float64(d.bytes)
			p.Labels = append(p.Labels[:0], Label{"resource", m.name}, Label{"direction", d.name})
			visit(p)
		}
	}
}
