package series

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// began returns a plan without the time before anything was known: calls a second are those of the rest.
func (s *Store) began(p plan, theirs []Sums) plan {
	from := int64(0)
	if begins := s.Begins(); !begins.IsZero() {
		from = begins.Unix()
	}
	for i := range theirs {
		for _, span := range theirs[i].Spans {
			if from == 0 || span.From < from {
				from = span.From
			}
		}
	}
	if p.from < from && from < p.to {
		p.from = from
	}
	return p
}

// Operation is an operation of a group with its calls.
type Operation struct {
	Resource string
	Kind     string
	Group    string
	Op       string
	Point
}

// Orders of [Store.Top]. The highest comes first.
const (
	ByCalls  = "calls"
	ByErrors = "errors"
	BySlow   = "slow"
	ByP99    = "p99"
	ByTime   = "time"  // spent in all calls together
	ByBytes  = "bytes" // of requests and answers
)

var orders = map[string]func(*Point) float64{
	ByCalls:  func(p *Point) float64 { return float64(p.Calls) },
	ByErrors: func(p *Point) float64 { return float64(p.Errors) },
	BySlow:   func(p *Point) float64 { return float64(p.Slow) },
	ByP99:    func(p *Point) float64 { return float64(p.P99) },
	ByTime:   func(p *Point) float64 { return float64(p.Mean) * float64(p.Calls) },
	ByBytes:  func(p *Point) float64 { return float64(p.BytesIn) + float64(p.BytesOut) },
}

// Top returns the n first operations of a query in an order, ByCalls if that is empty. A query without Op is about all
// operations; callers and agents cannot be asked for. What is in theirs, of [Store.Sums] of the same query elsewhere, stands for
// what this store has of that time.
func (s *Store) Top(q Query, by string, n int, theirs ...Sums) ([]Operation, error) {
	q = q.operations()
	c, err := q.cube()
	if err != nil {
		return nil, err
	}
	order := orders[cmp.Or(by, ByCalls)]
	if order == nil {
		return nil, fmt.Errorf("%w: order %q: use calls, errors, slow, p99, time or bytes", ErrQuery, by)
	}
	p := s.windowPlan(c, q.From, q.To)
	found, err := s.groupedBy(&q, c, p, theirs)
	if err != nil {
		return nil, err
	}
	p = s.began(p, theirs)
	var out []Operation
	found.each(func(resource, kind, k string, of *sum) {
		group, op, _ := strings.Cut(k, keySep)
		out = append(out, Operation{resource, kind, group, op, s.point(of, p.from, p.to-p.from)})
	})
	slices.SortFunc(out, func(a, b Operation) int {
		return cmp.Or(cmp.Compare(order(&b.Point), order(&a.Point)), cmp.Compare(a.Resource, b.Resource),
			cmp.Compare(a.Group, b.Group), cmp.Compare(a.Op, b.Op))
	})
	return out[:min(max(n, 0), len(out))], nil
}

// Edge is who calls what: the calls that agents of an application in a data centre passed to a group of a resource.
type Edge struct {
	Application string
	IDC         string // where the agents run
	Resource    string
	Kind        string
	Group       string
	Point
}

// EdgesQuery is what [Store.Edges] asks for, for [Store.Known] and [Store.Sums].
func EdgesQuery(from, to time.Time) Query { return Query{From: from, To: to, Application: "*"} }

// Edges returns who called what in a window, by application, data centre, resource and group. See [Store.Top] for theirs.
func (s *Store) Edges(from, to time.Time, theirs ...Sums) ([]Edge, error) {
	q := EdgesQuery(from, to)
	c, err := q.cube()
	if err != nil {
		return nil, err
	}
	p := s.windowPlan(c, from, to)
	found, err := s.groupedBy(&q, c, p, theirs)
	if err != nil {
		return nil, err
	}
	p = s.began(p, theirs)
	var out []Edge
	found.each(func(resource, kind, k string, of *sum) {
		application, rest, _ := strings.Cut(k, keySep)
		idc, group, _ := strings.Cut(rest, keySep)
		out = append(out, Edge{application, idc, resource, kind, group, s.point(of, p.from, p.to-p.from)})
	})
	slices.SortFunc(out, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(a.Application, b.Application), cmp.Compare(a.IDC, b.IDC), cmp.Compare(a.Resource, b.Resource),
			cmp.Compare(a.Group, b.Group))
	})
	return out, nil
}

// Counted is what a counter of a resource added up to in a window, over the fleet.
type Counted struct {
	Resource string
	Name     string   // of the metric, such as sluice_would_refuse_total
	Labels   []string // values, in the metric's order: of sluice_would_refuse_total the filter and the rule
	N        uint64
}

// Counters returns what the counters of resources added up to in a window: retries, replies that did not belong, and
// calls that rules in observe mode would have refused. resource is a name or a pattern.
func (s *Store) Counters(resource string, from, to time.Time) ([]Counted, error) {
	q := Query{From: from, To: to}
	if _, err := q.cube(); err != nil {
		return nil, err
	}
	p := s.windowPlan(cubeCounter, from, to)
	found := grouped{}
	err := s.scan(p, cubeCounter, resource, scanner{
		seen: func(int64) {},
		pick: func(_ int64, resource, kind string, k []byte) *sum { return found.sum(resource, kind, k) },
	})
	if err != nil {
		return nil, err
	}
	var out []Counted
	found.each(func(resource, _, k string, of *sum) {
		parts := strings.Split(k, keySep)
		out = append(out, Counted{resource, parts[0], parts[1:], of.calls()})
	})
	slices.SortFunc(out, func(a, b Counted) int {
		return cmp.Or(cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Name, b.Name), slices.Compare(a.Labels, b.Labels))
	})
	return out, nil
}

// grouped holds sums by resource and key.
type grouped map[string]*groupedResource

type groupedResource struct {
	kind string
	keys map[string]*sum
}

func (g grouped) sum(resource, kind string, k []byte) *sum {
	r := g[resource]
	if r == nil {
		r = &groupedResource{kind, map[string]*sum{}}
		g[resource] = r
	}
	at := r.keys[string(k)]
	if at == nil {
		at = new(sum)
		r.keys[string(k)] = at
	}
	return at
}

func (g grouped) each(visit func(resource, kind, k string, of *sum)) {
	for name, r := range g {
		for k, of := range r.keys {
			visit(name, r.kind, k, of)
		}
	}
}

// Comparison sets what changed against what did not, for the guards of a rollout.
type Comparison struct {
	A, B Point

	// Shares of the calls of each. Failed calls ended neither ok nor refused nor given up by the client.
	FailedA, FailedB   float64
	RefusedA, RefusedB float64

	P99Ratio float64 // A's p99 over B's; 0 when one has no calls
}

// Compare returns how the calls of a did against those of b, for example of canaries against the other agents, or of
// now against before.
func (s *Store) Compare(a, b Query) (Comparison, error) {
	var c Comparison
	var err error
	if c.A, err = s.Window(a); err != nil {
		return c, err
	}
	if c.B, err = s.Window(b); err != nil {
		return c, err
	}
	c.FailedA, c.RefusedA = c.A.ratios()
	c.FailedB, c.RefusedB = c.B.ratios()
	if c.A.Calls > 0 && c.B.Calls > 0 && c.B.P99 > 0 {
		c.P99Ratio = float64(c.A.P99) / float64(c.B.P99)
	}
	return c, nil
}

func (p *Point) ratios() (failed, refused float64) {
	if p.Calls == 0 {
		return 0, 0
	}
	calls := float64(p.Calls)
	return float64(p.Errors-p.Refused-min(p.ByOutcome["canceled"], p.Errors-p.Refused)) / calls, float64(p.Refused) / calls
}
