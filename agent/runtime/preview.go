package runtime

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/resources"
)

// Preview says what a command would do if it were given now, judged by the calls of the last minute.
type Preview struct {
	Command resources.Command `json:"command"` // with its defaults filled in
	// Calls is how many calls per second match; when Exact is false they are at most as many: the match looks at keys
	// or callers, which metrics do not know.
	Calls    float64        `json:"calls_per_second"`
	Exact    bool           `json:"exact"`
	Groups   []PreviewGroup `json:"groups"`
	Moves    []PreviewMove  `json:"moves"`           // switch: what would go elsewhere
	Answered float64        `json:"answered"`        // other types: calls per second that would not go on unchanged
	Sessions int            `json:"sessions"`        // that are open
	Pinned   int            `json:"pinned_sessions"` // of them, tied to a connection: they move when their pin ends
	Notes    []string       `json:"notes"`           // in plain words, what is worth knowing
}

// PreviewGroup is one group before and after.
type PreviewGroup struct {
	Name         string  `json:"name"`
	Before       float64 `json:"before"` // matching calls per second
	After        float64 `json:"after"`
	WeightBefore int     `json:"weight_before"`
	WeightAfter  int     `json:"weight_after"`
}

// PreviewMove is a stream of calls that would change its group.
type PreviewMove struct {
	From  string  `json:"from"`
	To    string  `json:"to"`
	Calls float64 `json:"calls_per_second"`
}

// Preview checks a command and says what it would do, without doing it.
func (r *Resource) Preview(c resources.Command) (Preview, error) {
	sn := r.snapshot.Load()
	if err := c.Validate(sn.spec); err != nil {
		return Preview{}, err
	}
	chosen, err := selects(c.Match, r.ops)
	if err != nil {
		return Preview{}, err
	}
	if c.Type == resources.CommandDrain && !slices.ContainsFunc(r.addresses(), c.Drains) {
		return Preview{}, fmt.Errorf("resource %s has no endpoint %s: its endpoints are %s", r.name, c.Endpoint, strings.Join(r.addresses(), ", "))
	}
	m := c.Match
	m.Op, m.Class = "", ""
	p := Preview{Command: c, Exact: m.IsZero(), Groups: []PreviewGroup{}, Moves: []PreviewMove{}, Notes: []string{}}
	now := r.traffic.minute(r.metrics, chosen)
	for _, v := range now {
		p.Calls += v
	}
	if !p.Exact {
		p.Notes = append(p.Notes, "metrics do not know "+m.String()+": the figures are an upper bound")
	}
	r.sessions.each(func(s *resources.Session) {
		p.Sessions++
		if s.Pins() != 0 {
			p.Pinned++
		}
	})
	switch c.Type {
	case resources.CommandSwitch:
		r.previewSwitch(sn, &c, now, &p)
	case resources.CommandLimit:
		p.Answered = max(0, p.Calls-float64(c.Rate))
		if c.Per != "" && p.Answered > 0 {
			p.Exact = false
			p.Notes = append(p.Notes, "each caller has the rate to itself: as many would be refused only if one caller made all calls")
		}
	case resources.CommandDrain:
		r.previewDrain(&c, now, &p)
	default:
		p.Answered = p.Calls * c.Percent.Fraction()
	}
	return p, nil
}

func (r *Resource) previewSwitch(sn *snapshot, c *resources.Command, now map[string]float64, p *Preview) {
	sum, routed := 0, 0.0
	for _, w := range c.Weights {
		sum += w
	}
	before := sn.ordinary()
	for _, g := range r.groups(sn) {
		routed += now[g.Name]
	}
	for _, g := range r.groups(sn) {
		id := -1
		for _, pool := range r.cluster.View().Pools {
			if pool != nil && pool.Name == g.Name {
				id = pool.ID
			}
		}
		after := c.Weights[g.Name]
		pg := PreviewGroup{Name: g.Name, Before: now[g.Name], WeightAfter: after, After: routed * float64(after) / float64(sum)}
		if id >= 0 {
			pg.WeightBefore = int(before.weight(id))
		}
		p.Groups = append(p.Groups, pg)
		switch {
		case after > 0 && g.Sound == 0:
			p.Notes = append(p.Notes, fmt.Sprintf("group %s has no sound endpoint now: its share would go to other groups that have a weight", g.Name))
		case after > 0 && 2*g.Sound < g.Of:
			p.Notes = append(p.Notes, fmt.Sprintf("only %d of %d endpoints of group %s are sound now", g.Sound, g.Of, g.Name))
		}
	}
	p.Moves = append(p.Moves, moves(p.Groups)...)
	if p.Pinned > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%d of %d sessions are pinned: they move when their transaction or other pin ends", p.Pinned, p.Sessions))
	}
}

// moves pairs groups that lose calls with groups that win them, the largest first.
func moves(groups []PreviewGroup) []PreviewMove {
	type change struct {
		name  string
		calls float64
	}
	var lose, win []change
	for _, g := range groups {
		switch d := g.After - g.Before; {
		case d > 0:
			win = append(win, change{g.Name, d})
		case d < 0:
			lose = append(lose, change{g.Name, -d})
		}
	}
	larger := func(a, b change) int { return -cmp.Compare(a.calls, b.calls) }
	slices.SortStableFunc(lose, larger)
	slices.SortStableFunc(win, larger)
	var out []PreviewMove
	for i, j := 0, 0; i < len(lose) && j < len(win); {
		n := min(lose[i].calls, win[j].calls)
		if n > 0.005 {
			out = append(out, PreviewMove{lose[i].name, win[j].name, n})
		}
		if lose[i].calls -= n; lose[i].calls <= 1e-9 {
			i++
		}
		if win[j].calls -= n; win[j].calls <= 1e-9 {
			j++
		}
	}
	return out
}

// previewDrain judges by the endpoints' share of their group's sound weight: calls are not counted by endpoint.
func (r *Resource) previewDrain(c *resources.Command, now map[string]float64, p *Preview) {
	type tally struct {
		drained, used, others int   // endpoints, and of those that stay the ones in use
		weight, left          int   // of the endpoints in use, and of those of them that stay
		connections           int64 // to those that go
	}
	groups := map[string]*tally{}
	for _, e := range r.cluster.Status() {
		g := groups[e.Group]
		if g == nil {
			g = &tally{}
			groups[e.Group] = g
		}
		goes, used := c.Drains(e.Address), e.Share > 0
		if goes {
			g.drained++
			g.connections += e.Connections
		}
		if used {
			g.used++
			g.weight += e.Weight
		}
		if used && !goes {
			g.others++
			g.left += e.Weight
		}
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		g := groups[name]
		if g.drained == 0 {
			continue
		}
		pg := PreviewGroup{Name: name, Before: now[name], After: now[name]}
		moved := 0.0
		if g.weight > 0 {
			moved = now[name] * float64(g.weight-g.left) / float64(g.weight)
		}
		switch {
		case g.others == 0 && g.drained == 1:
			p.Notes = append(p.Notes, fmt.Sprintf("it is the last endpoint in use of group %s: the group could not be used", name))
			pg.After = 0
		case g.others == 0:
			p.Notes = append(p.Notes, fmt.Sprintf("no other endpoint of group %s is in use: the group could not be used", name))
			pg.After = 0
		case g.used > g.others:
			p.Notes = append(p.Notes, fmt.Sprintf("about %.1f calls/s would go to the %d other endpoints of group %s", moved, g.others, name))
		}
		if g.connections > 0 {
			p.Notes = append(p.Notes, fmt.Sprintf("%d connections to it would be closed as they become free", g.connections))
		}
		p.Groups = append(p.Groups, pg)
	}
}

func (r *Resource) addresses() []string {
	var out []string
	for _, e := range r.cluster.Status() {
		out = append(out, e.Address)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
