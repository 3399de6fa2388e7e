package series

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Query says which calls, and when. Each text is a name or a pattern with `*`; an empty one means all.
//
// What is kept bounds what can be asked together: operations (Op) are known for the fleet and its groups, applications
// and data centres of callers for resources and groups, single agents for whole resources.
type Query struct {
	Resource    string
	Group       string
	Op          string
	Application string   // that calls
	IDC         string   // where the calling agent runs
	Agent       string   //
	Agents      []string // any of these, besides Agent
	NotAgents   []string // and none of these
	From, To    time.Time
	Step        time.Duration // of the points; 0: as fine as fits some 500 points
}

// Point is what calls of an interval have in common. Its quantiles are those of all these calls.
type Point struct {
	At     time.Time     // start of the interval
	Length time.Duration //
	Gap    bool          // nothing is known of the interval, of no resource at all

	Partial bool // not all reports of the interval came: there were more calls

	Calls     uint64
	Errors    uint64            // calls that did not end ok
	Refused   uint64            // of these, calls that a rule or an operator refused
	Slow      uint64            // calls that the policy calls slow
	ByOutcome map[string]uint64 // that occurred
	BytesIn   uint64            // of requests
	BytesOut  uint64            // of answers

	P50, P95, P99, P999, Max, Mean int64 // ns
}

// Rate returns the calls per second.
func (p *Point) Rate() float64 {
	if p.Length <= 0 {
		return 0
	}
	return float64(p.Calls) / p.Length.Seconds()
}

var shares = [...]float64{0.5, 0.95, 0.99, 0.999}

// Errors of queries, for errors.Is.
var (
	// ErrDetail says that a query asks for a combination that is not kept.
	ErrDetail = errors.New("that is not kept in such detail")
	// ErrQuery says that a query makes no sense.
	ErrQuery = errors.New("not a legal query")
)

const (
	maxPoints  = 5000
	fullPoints = 500 // that a query without a step gets at most
	maxWindow  = 60 * 24 * time.Hour
)

// cube chooses the cube that answers the query, and checks the query.
func (q *Query) cube() (cube, error) {
	if q.From.IsZero() || q.To.IsZero() || !q.From.Before(q.To) {
		return 0, fmt.Errorf("%w: from %v to %v: from must be earlier", ErrQuery, q.From, q.To)
	}
	if q.To.Sub(q.From) > maxWindow {
		return 0, fmt.Errorf("%w: from %v to %v is more than %v", ErrQuery, q.From, q.To, maxWindow)
	}
	if q.Step < 0 {
		return 0, fmt.Errorf("%w: step %v", ErrQuery, q.Step)
	}
	agents := q.Agent != "" || len(q.Agents) > 0 || len(q.NotAgents) > 0
	callers := q.Application != "" || q.IDC != ""
	switch {
	case agents && (q.Op != "" || q.Group != ""):
		return 0, fmt.Errorf("%w: of single agents whole resources are known, not groups and operations", ErrDetail)
	case agents:
		return cubeAgent, nil
	case callers && q.Op != "":
		return 0, fmt.Errorf("%w: of callers resources and groups are known, not operations", ErrDetail)
	case callers:
		return cubeEdge, nil
	}
	return cubeOp, nil
}

// matches reports whether a key of the cube belongs to the query.
func (q *Query) matches(c cube, k []byte) bool {
	a, k := cutKey(k)
	b, d := cutKey(k)
	switch c {
	case cubeOp:
		if q.Op == "" {
			return len(b) == 0 && glob(q.Group, a)
		}
		return len(b) > 0 && glob(q.Group, a) && glob(q.Op, b)
	case cubeEdge:
		return glob(q.Application, a) && glob(q.IDC, b) && glob(q.Group, d)
	case cubeAgent:
		return glob(q.Application, b) && glob(q.IDC, d) && q.agent(a)
	}
	return false
}

func (q *Query) agent(name []byte) bool {
	in := q.Agent == "" && len(q.Agents) == 0 || q.Agent != "" && glob(q.Agent, name)
	for _, p := range q.Agents {
		in = in || glob(p, name)
	}
	for _, p := range q.NotAgents {
		in = in && (p == "" || !glob(p, name))
	}
	return in
}

// glob reports whether a name matches a pattern, in which `*` stands for any bytes. An empty pattern matches all.
func glob(pattern string, name []byte) bool {
	first, rest, more := strings.Cut(pattern, "*")
	if !more {
		return pattern == "" || string(name) == pattern
	}
	if len(name) < len(first) || string(name[:len(first)]) != first {
		return false
	}
	name = name[len(first):]
	for {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return len(name) >= len(part) && string(name[len(name)-len(part):]) == part
		}
		i := indexOf(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], after
	}
}

func indexOf(name []byte, part string) int {
	for i := 0; i+len(part) <= len(name); i++ {
		if string(name[i:i+len(part)]) == part {
			return i
		}
	}
	return -1
}

// Query returns the points of a query, one for each step from From on, whether or not there were calls. Steps start at
// multiples of their length, so the first may start before From.
func (s *Store) Query(q Query) ([]Point, error) {
	c, err := q.cube()
	if err != nil {
		return nil, err
	}
	p := s.plan(c, q.From, q.To, q.Step)
	n := (p.to - p.from) / p.step
	if n > maxPoints {
		return nil, fmt.Errorf("%w: %d points, of at most %d: use a longer step", ErrQuery, n, maxPoints)
	}
	sums, seen := make([]*sum, n), make([]bool, n)
	err = s.scan(p, c, q.Resource, scanner{
		seen: func(start int64) { seen[(start-p.from)/p.step] = true },
		pick: func(start int64, _, _ string, k []byte) *sum {
			if !q.matches(c, k) {
				return nil
			}
			at := &sums[(start-p.from)/p.step]
			if *at == nil {
				*at = new(sum)
			}
			return *at
		},
	})
	if err != nil {
		return nil, err
	}
	out := make([]Point, n)
	for i := range out {
		out[i] = s.point(sums[i], p.from+int64(i)*p.step, p.step)
		out[i].Gap = !seen[i]
	}
	return out, nil
}

// Window returns all calls of a query as one point, which starts at From or up to one slot before. Step is ignored.
func (s *Store) Window(q Query) (Point, error) {
	c, err := q.cube()
	if err != nil {
		return Point{}, err
	}
	p := s.windowPlan(c, q.From, q.To)
	var all sum
	seen := false
	err = s.scan(p, c, q.Resource, scanner{
		seen: func(int64) { seen = true },
		pick: func(_ int64, _, _ string, k []byte) *sum {
			if q.matches(c, k) {
				return &all
			}
			return nil
		},
	})
	if err != nil {
		return Point{}, err
	}
	out := s.point(&all, p.from, p.to-p.from)
	out.Gap = !seen
	return out, nil
}

// point makes a point of a sum, which may be nil.
func (s *Store) point(of *sum, start, length int64) Point {
	p := Point{At: time.Unix(start, 0), Length: time.Duration(length) * time.Second}
	s.mu.Lock()
	p.Partial = s.partial(start, start+length)
	s.mu.Unlock()
	if of == nil {
		return p
	}
	p.Calls = of.calls()
	p.Errors = p.Calls - of.outcomes[0]
	p.Refused = s.refused(of)
	p.Slow, p.BytesIn, p.BytesOut = of.slow, of.in, of.out
	names := s.names.list()
	for i, n := range of.outcomes {
		if n == 0 {
			continue
		}
		if p.ByOutcome == nil {
			p.ByOutcome = map[string]uint64{}
		}
		name := "other"
		if i < len(names) {
			name = names[i]
		}
		p.ByOutcome[name] += n
	}
	var d [len(shares)]int64
	quantiles(&of.latency, shares[:], d[:])
	p.P50, p.P95, p.P99, p.P999 = d[0], d[1], d[2], d[3]
	p.Max, p.Mean = of.latency.Max, of.latency.Mean()
	return p
}
