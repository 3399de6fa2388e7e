package series

import (
	"fmt"
	"slices"
	"time"
)

// Sums are what the calls of a query add up to in some slots of its window, in a form that another store adds to its own: sums are
// added exactly, wherever they come from.
type Sums struct {
	Spans    []Span     `json:"spans"`    // the slots that are in it, neighbours joined; in order
	Outcomes []string   `json:"outcomes"` // the words for them, by the numbers that the sums have
	List     []SumOfKey `json:"list"`
}

// SumOfKey is the sum of one operation of a group, or of one edge.
type SumOfKey struct {
	Resource string `json:"resource"`
	Kind     string `json:"kind"`
	Key      []byte `json:"key"` // as in blocks, and so is the sum
	Sum      []byte `json:"sum"`
}

// Known returns the slots that [Store.Top], or [Store.Edges] for an [EdgesQuery], adds up for a query, in order. They hold no calls:
// they say what is not known, by Gap and Partial.
func (s *Store) Known(q Query) ([]Point, error) {
	q = q.operations()
	c, err := q.cube()
	if err != nil {
		return nil, err
	}
	p := s.windowPlan(c, q.From, q.To)
	seen := map[int64]bool{}
	there := func(start int64) { seen[floor(start, p.step)] = true }
	nothing := func(int64, string, string, []byte) *sum { return nil }
	for _, b := range s.collect(p, c, "", scanner{seen: there, pick: nothing}) {
		there(b.start)
	}
	out := make([]Point, 0, (p.to-p.from)/p.step)
	for at := p.from; at < p.to; at += p.step {
		slot := s.point(nil, at, p.step)
		slot.Gap = !seen[at]
		out = append(out, slot)
	}
	return out, nil
}

// Begins returns from when on anything is known, at most a slot before it; zero: nothing is.
func (s *Store) Begins() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := int64(0)
	for _, l := range s.fleet.levels { // the finest first: a coarse slot begins before what is in it
		if first, ok := earliest(l); ok && (at == 0 || first+l.step <= at) {
			at = first
		}
	}
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(at, 0)
}

// earliest returns where the first slot of a level begins.
func earliest(l *level) (at int64, ok bool) {
	note := func(start int64) {
		if !ok || start < at {
			at, ok = start, true
		}
	}
	if len(l.blocks) > 0 {
		note(l.blocks[0].start)
	}
	for _, sl := range l.closing {
		note(sl.start)
	}
	for _, sl := range l.open {
		note(sl.start)
	}
	return at, ok
}

// Sums returns what the calls of a query add up to in some of the slots that Known returns for it.
func (s *Store) Sums(q Query, spans []Span) (Sums, error) {
	q = q.operations()
	c, err := q.cube()
	if err != nil {
		return Sums{}, err
	}
	out := Sums{Spans: spans, List: []SumOfKey{}}
	p := s.windowPlan(c, q.From, q.To)
	found := grouped{}
	err = s.scan(p, c, q.Resource, scanner{
		seen: func(int64) {},
		pick: func(start int64, resource, kind string, k []byte) *sum {
			if !q.matches(c, k) || !within(spans, start) {
				return nil
			}
			return found.sum(resource, kind, k)
		},
	})
	if err != nil {
		return Sums{}, err
	}
	found.each(func(resource, kind, k string, of *sum) {
		out.List = append(out.List, SumOfKey{resource, kind, []byte(k), of.append(nil)})
	})
	out.Outcomes = s.names.list() // after the scan, which may have found new ones
	return out, nil
}

// operations makes a query that is about operations or edges of one that says nothing of either.
func (q Query) operations() Query {
	if q.Op == "" && q.Application == "" {
		q.Op = "*"
	}
	return q
}

// groupedBy adds up a query by key: what the store has, but for the slots that others know better.
func (s *Store) groupedBy(q *Query, c cube, p plan, theirs []Sums) (grouped, error) {
	found := grouped{}
	var covered []Span
	for i := range theirs {
		if err := s.addSums(found, &theirs[i]); err != nil {
			return nil, err
		}
		covered = append(covered, theirs[i].Spans...)
	}
	err := s.scan(p, c, q.Resource, scanner{
		seen: func(int64) {},
		pick: func(start int64, resource, kind string, k []byte) *sum {
			if !q.matches(c, k) || within(covered, start) {
				return nil
			}
			return found.sum(resource, kind, k)
		},
	})
	return found, err
}

func (s *Store) addSums(found grouped, of *Sums) error {
	if len(of.Outcomes) > maxOutcomes {
		return fmt.Errorf("sums of %d outcomes, of at most %d", len(of.Outcomes), maxOutcomes)
	}
	var t translation
	for i := range t {
		t[i] = maxOutcomes - 1
	}
	for i, name := range of.Outcomes {
		t[i] = s.names.number(name)
	}
	for i := range of.List {
		one := &of.List[i]
		if err := found.sum(one.Resource, one.Kind, one.Key).merge(one.Sum, &t); err != nil {
			return fmt.Errorf("the sum of %.99q: %w", one.Resource, err)
		}
	}
	return nil
}

// Check says what is wrong with sums that came from elsewhere; nil: they can be added.
func (s *Store) Check(of *Sums) error { return s.addSums(grouped{}, of) }

func within(spans []Span, at int64) bool {
	return slices.ContainsFunc(spans, func(m Span) bool { return m.From <= at && at < m.To })
}
