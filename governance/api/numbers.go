package api

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/governance/series"
	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/resources"
)

// rate is per second.
type rate struct {
	Calls  float64 `json:"calls"`
	Errors float64 `json:"errors"` // calls that did not end ok
}

// latency holds true quantiles: those of all calls of all agents.
type latency struct {
	P50  resources.Duration `json:"p50"`
	P95  resources.Duration `json:"p95"`
	P99  resources.Duration `json:"p99"`
	P999 resources.Duration `json:"p999,omitempty"`
}

// numbers are what a line of a list shows of the last seconds.
type numbers struct {
	Rate     rate    `json:"rate"`
	Latency  latency `json:"latency"`
	Inflight int64   `json:"inflight"`
	Refused  float64 `json:"refused,omitempty"`      // per second, by rules and operators
	Observed float64 `json:"would-refuse,omitempty"` // per second: what rules in observe mode would have refused
}

// resourceNumbers are those of a resource and of its groups.
type resourceNumbers struct {
	numbers
	groups map[string]numbers
}

// success is the share of calls that end ok; 1 when there are none.
func (n *resourceNumbers) success() float64 {
	if n.Rate.Calls <= 0 {
		return 1
	}
	return max(0, 1-n.Rate.Errors/n.Rate.Calls)
}

func round(v float64) float64 { return math.Round(v*100) / 100 }

// groupCache keeps what is read from the series for every resource at once, for a moment.
type groupCache struct {
	mu    sync.Mutex
	at    time.Time
	edges []series.Edge
}

// groupWindow is what the rates of groups are taken over, and how long they are good.
const (
	groupWindow = 30 * time.Second
	groupFresh  = 2 * time.Second
)

func (s *Server) edges() []series.Edge {
	c := &s.groups
	c.mu.Lock()
	defer c.mu.Unlock()
	now := s.Now()
	if c.edges == nil || now.Sub(c.at) > groupFresh {
		edges, err := s.Series.Edges(now.Add(-groupWindow), now)
		if err != nil {
			s.Log.Warn("the rates of groups cannot be read", "error", err)
		}
		c.at, c.edges = now, edges
		if c.edges == nil {
			c.edges = []series.Edge{}
		}
	}
	return c.edges
}

// numbers of all resources.
func (s *Server) numbers() map[string]resourceNumbers {
	out := make(map[string]resourceNumbers)
	for _, n := range s.Series.Live() {
		out[n.Resource] = resourceNumbers{numbers: numbers{
			Rate:     rate{round(n.Rate), round(n.Errors)},
			Latency:  latency{resources.Duration(n.P50), resources.Duration(n.P95), resources.Duration(n.P99), resources.Duration(n.P999)},
			Inflight: n.Inflight, Refused: round(n.Refused), Observed: round(n.WouldRefuse),
		}, groups: make(map[string]numbers)}
	}
	for _, e := range s.edges() {
		r, ok := out[e.Resource]
		if !ok || e.Length <= 0 {
			continue
		}
		g := r.groups[e.Group]
		seconds := e.Length.Seconds()
		g.Rate.Calls = round(g.Rate.Calls + float64(e.Calls)/seconds)
		g.Rate.Errors = round(g.Rate.Errors + float64(e.Errors)/seconds)
		g.Latency.P50 = max(g.Latency.P50, resources.Duration(e.P50)) // of the slowest caller: quantiles are not averaged
		g.Latency.P95 = max(g.Latency.P95, resources.Duration(e.P95))
		g.Latency.P99 = max(g.Latency.P99, resources.Duration(e.P99))
		r.groups[e.Group] = g
	}
	return out
}

// agentRates are the rates of each agent, over all its resources.
func (s *Server) agentRates() map[string]rate {
	out := make(map[string]rate)
	for _, n := range s.Series.LiveAgents("") {
		out[n.Agent.Name] = rate{round(n.Rate), round(n.Errors)}
	}
	return out
}

// live is what pages are told once a second.
func (s *Server) live() map[string]any {
	lines := make(map[string][4]float64)
	var calls, errs float64
	var p99 int64
	for _, n := range s.Series.Live() {
		lines[n.Resource] = [4]float64{round(n.Rate), round(n.Errors), float64(n.P50), float64(n.P99)}
		calls, errs, p99 = calls+n.Rate, errs+n.Errors, max(p99, n.P99)
	}
	return map[string]any{"now": s.Now().UTC(), "resources": lines, "totals": [3]float64{round(calls), round(errs), float64(p99)}}
}

// While a page is open agents report this often, for this long after the last sign of it.
const (
	watchedReport = 2 * time.Second
	watchedFor    = 45 * time.Second
)

func (s *Server) faster() { s.Fleet.Tune(watchedReport, watchedFor) }

// Bounds of windows that are asked for.
const (
	longestWindow = 14 * 24 * time.Hour
	defaultWindow = 5 * time.Minute
)

func (s *Server) getOperations(w http.ResponseWriter, r *http.Request) error {
	q, err := httpapi.Query(r, "window", "group", "by", "limit")
	if err != nil {
		return err
	}
	it, err := s.item(r.PathValue("name"))
	if err != nil {
		return err
	}
	length, err := window(q.Get("window"), defaultWindow, longestWindow)
	if err != nil {
		return err
	}
	limit, err := httpapi.Number(q, "limit", 200, 1, 2000)
	if err != nil {
		return err
	}
	now := s.Now()
	top, partial, err := s.Operations(r.Context(), series.Query{Resource: it.name, Group: q.Get("group"), From: now.Add(-length), To: now}, q.Get("by"), int(limit))
	if err != nil {
		return explainSeries(err)
	}
	type operation struct {
		Op      string  `json:"op"`
		Group   string  `json:"group"`
		Calls   uint64  `json:"calls"`
		Errors  uint64  `json:"errors"`
		Rate    rate    `json:"rate"`
		Latency latency `json:"latency"`
	}
	out := make([]operation, 0, len(top))
	for _, o := range top {
		seconds := max(o.Length.Seconds(), 1)
		out = append(out, operation{Op: o.Op, Group: o.Group, Calls: o.Calls, Errors: o.Errors,
			Rate: rate{round(float64(o.Calls) / seconds), round(float64(o.Errors) / seconds)}, Latency: latencyOf(&o.Point)})
	}
	httpapi.Reply(w, http.StatusOK, map[string]any{"operations": out, "partial": partial, "away": s.away()})
	return nil
}

func latencyOf(p *series.Point) latency {
	return latency{resources.Duration(p.P50), resources.Duration(p.P95), resources.Duration(p.P99), resources.Duration(p.P999)}
}

func explainSeries(err error) error {
	if errors.Is(err, series.ErrDetail) || errors.Is(err, series.ErrQuery) {
		return httpapi.Invalid("", "%v", err)
	}
	return err
}

// moment reads a time: RFC 3339, milliseconds since 1970, or -5m.
func (s *Server) moment(name, text string, def time.Time) (time.Time, error) {
	if text == "" {
		return def, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if n, err := httpapi.Number(map[string][]string{name: {text}}, name, 0, 1, math.MaxInt64/2); err == nil {
		return time.UnixMilli(n), nil
	}
	var d resources.Duration
	if text[0] == '-' && d.UnmarshalText([]byte(text[1:])) == nil {
		return s.Now().Add(-d.D()), nil
	}
	return def, httpapi.Invalid(name, "%s is no time: write 2026-11-22T10:00:00Z, milliseconds since 1970, or -5m", httpapi.Quoted(text))
}

func (s *Server) getSeries(w http.ResponseWriter, r *http.Request) error {
	q, err := httpapi.Query(r, "resource", "group", "op", "application", "idc", "agent", "from", "to", "step")
	if err != nil {
		return err
	}
	now := s.Now()
	to, err := s.moment("to", q.Get("to"), now)
	if err != nil {
		return err
	}
	from, err := s.moment("from", q.Get("from"), to.Add(-defaultWindow))
	if err != nil {
		return err
	}
	var step resources.Duration
	if text := q.Get("step"); text != "" {
		if err := step.UnmarshalText([]byte(text)); err != nil {
			return httpapi.Invalid("step", "%v", err)
		}
	}
	query := series.Query{Resource: q.Get("resource"), Group: q.Get("group"), Op: q.Get("op"), Application: q.Get("application"),
		IDC: q.Get("idc"), Agent: q.Get("agent"), From: from, To: to, Step: step.D()}
	points, err := s.points(r.Context(), query)
	if err != nil {
		return err
	}
	type point struct {
		T        int64             `json:"t"`
		Seconds  float64           `json:"seconds"`
		Gap      bool              `json:"gap,omitempty"`
		Partial  bool              `json:"partial,omitempty"`
		Calls    uint64            `json:"calls"`
		Errors   uint64            `json:"errors"`
		P50      int64             `json:"p50"`
		P95      int64             `json:"p95"`
		P99      int64             `json:"p99"`
		P999     int64             `json:"p999"`
		Max      int64             `json:"max"`
		Outcomes map[string]uint64 `json:"outcomes,omitempty"`
	}
	out := make([]point, 0, len(points))
	for _, p := range points {
		out = append(out, point{p.At.UnixMilli(), p.Length.Seconds(), p.Gap, p.Partial, p.Calls, p.Errors, p.P50, p.P95, p.P99, p.P999, p.Max, p.ByOutcome})
	}
	stepMS := int64(0)
	if len(points) > 0 {
		stepMS = points[0].Length.Milliseconds()
	}
	httpapi.Reply(w, http.StatusOK, map[string]any{"step": stepMS, "points": out})
	return nil
}

// points reads the centre's own history, and Graphite's when the question begins before it.
func (s *Server) points(ctx context.Context, q series.Query) ([]series.Point, error) {
	if s.Graphite == nil || q.From.After(s.Now().Add(-longestWindow)) {
		points, err := s.History(ctx, q)
		return points, explainSeries(err)
	}
	points, err := s.Graphite.Query(ctx, q)
	if errors.Is(err, series.ErrDetail) || errors.Is(err, series.ErrQuery) {
		return nil, explainSeries(err)
	}
	if err != nil {
		return nil, httpapi.Unavailable("%v", err)
	}
	return points, nil
}

func (s *Server) getTopology(w http.ResponseWriter, r *http.Request) error {
	q, err := httpapi.Query(r, "window")
	if err != nil {
		return err
	}
	length, err := window(q.Get("window"), defaultWindow, longestWindow)
	if err != nil {
		return err
	}
	now := s.Now()
	edges, partial, err := s.Edges(r.Context(), now.Add(-length), now)
	if err != nil {
		return explainSeries(err)
	}
	type application struct {
		Name   string   `json:"name"`
		IDCs   []string `json:"idcs"`
		Agents int      `json:"agents"`
	}
	type edge struct {
		Application string             `json:"application"`
		IDC         string             `json:"idc,omitempty"`
		Resource    string             `json:"resource"`
		Group       string             `json:"group,omitempty"`
		Calls       float64            `json:"calls"` // per second
		Errors      float64            `json:"errors"`
		P99         resources.Duration `json:"p99"`
	}
	type node struct {
		Name   string   `json:"name"`
		Kind   string   `json:"kind"`
		Health string   `json:"health"`
		Groups []string `json:"groups"`
	}
	apps := make(map[string]*application)
	for _, a := range s.Fleet.Agents() {
		app := apps[a.Application]
		if app == nil {
			app = &application{Name: a.Application, IDCs: []string{}}
			apps[a.Application] = app
		}
		app.Agents++
		if a.IDC != "" && !slices.Contains(app.IDCs, a.IDC) {
			app.IDCs = append(app.IDCs, a.IDC)
		}
	}
	outEdges := make([]edge, 0, len(edges))
	for _, e := range edges {
		if apps[e.Application] == nil {
			apps[e.Application] = &application{Name: e.Application, IDCs: []string{}}
		}
		seconds := max(e.Length.Seconds(), 1)
		outEdges = append(outEdges, edge{e.Application, e.IDC, e.Resource, e.Group, round(float64(e.Calls) / seconds), round(float64(e.Errors) / seconds),
			resources.Duration(e.P99)})
	}
	outApps := make([]application, 0, len(apps))
	for _, a := range apps {
		slices.Sort(a.IDCs)
		outApps = append(outApps, *a)
	}
	slices.SortFunc(outApps, func(a, b application) int { return cmp.Compare(a.Name, b.Name) })
	nodes := []node{}
	for _, x := range s.catalogue() {
		n := node{Name: x.Name, Kind: x.Kind, Health: x.Health, Groups: []string{}}
		for _, g := range x.Groups {
			n.Groups = append(n.Groups, g.Name)
		}
		nodes = append(nodes, n)
	}
	httpapi.Reply(w, http.StatusOK, map[string]any{"applications": outApps, "resources": nodes, "edges": outEdges, "partial": partial, "away": s.away()})
	return nil
}
