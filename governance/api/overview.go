package api

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/governance/audit"
	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/governance/rollout"
	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/governance/series"
	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/resources"
)

// trouble is something that is not as it should be, and what can be done now.
type trouble struct {
	ID       string        `json:"id"`
	Severity string        `json:"severity"` // bad or warn
	Resource string        `json:"resource,omitempty"`
	Agent    string        `json:"agent,omitempty"`
	Center   string        `json:"center,omitempty"`
	Group    string        `json:"group,omitempty"`
	What     string        `json:"what"`
	WhatSay  say.Sentence  `json:"whatSay"`
	Why      string        `json:"why,omitempty"`
	WhySay   *say.Sentence `json:"whySay,omitempty"`
	Since    time.Time     `json:"since"` // this centre has seen it
	Do       []remedy      `json:"do"`
}

// remedy is something that a person can do.
type remedy struct {
	Label    string       `json:"label"`
	LabelSay say.Sentence `json:"labelSay"`
	CLI      string       `json:"cli,omitempty"`
	Link     string       `json:"link,omitempty"`
}

func (t trouble) because(why say.Sentence) trouble {
	t.Why, t.WhySay = why.Text, &why
	return t
}

// doing is a remedy: a page to go to, and a command line; either may be empty.
func doing(label say.Sentence, link, cli string) remedy { return remedy{label.Text, label, cli, link} }

// watchman looks at everything every few seconds, so that it is known since when something is wrong.
type watchman struct {
	mu    sync.Mutex
	since map[string]time.Time
	bad   map[string]time.Time // when what is bad, or was not long ago, was last seen
	now   []trouble
	count counts
}

// counts are those of resources, as they were when the watchman looked.
type counts struct{ resources, endpoints, down int }

const (
	lookEvery = 2 * time.Second
	// newAfter is how long something must have been well to be news when it is bad again: what is bad every other moment is told once.
	newAfter = time.Minute
)

// Watch looks for trouble until ctx ends, and tells the pages of new one.
func (s *Server) Watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		s.look()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look finds out what is wrong now.
func (s *Server) look() {
	found, count := s.troubles()
	changed, news := s.watch.note(found, count, s.Now().UTC())
	if changed {
		s.hub.changed("overview", "resources", "agents") // who shows agents says which centre is away, too
	}
	for _, t := range news {
		s.hub.alert(alert{t.Severity, t.What, t.WhatSay, t.Resource})
	}
}

// note takes what is wrong at a time, in which it says of each since when. It returns whether that is anything else than before, and
// what of it is bad and news; nothing is at the first look.
func (w *watchman) note(found []trouble, count counts, now time.Time) (changed bool, news []trouble) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := w.since == nil
	if first {
		w.bad = map[string]time.Time{}
	}
	maps.DeleteFunc(w.bad, func(_ string, seen time.Time) bool { return now.Sub(seen) >= newAfter })
	since := make(map[string]time.Time, len(found))
	for i := range found {
		t := &found[i]
		at, known := w.since[t.ID]
		if !known {
			at, changed = now, true
		}
		since[t.ID], t.Since = at, at
		if t.Severity == healthBad {
			if _, told := w.bad[t.ID]; !told && !first {
				news = append(news, *t)
			}
			w.bad[t.ID] = now
		}
	}
	changed = changed || len(since) != len(w.since) || count != w.count
	w.since, w.now, w.count = since, found, count
	return changed, news
}

// troubles lists what is wrong, the worst first, and counts what there is.
func (s *Server) troubles() (out []trouble, n counts) {
	for _, r := range s.catalogue() {
		n.resources++
		for _, g := range r.Groups {
			n.endpoints += g.Of
			n.down += g.Of - g.Sound
		}
		if r.WhySay != nil {
			out = append(out, ofResource(&r, "resource/"+r.Name+"/"+r.Health, r.Health, say.Of("resource.is", say.With{"resource": r.Name, "why": *r.WhySay}), remediesOf(&r)...))
		}
		if r.Agents.Refused > 0 {
			out = append(out, ofResource(&r, "refused/"+r.Name, healthWarn, say.Of("resource.refused", say.With{"resource": r.Name, "n": r.Agents.Refused, "version": r.Version}),
				doing(say.Of("do.refused", nil), "/resources/"+r.Name, "sluice get agents")))
		}
	}
	for _, a := range s.Fleet.Agents() {
		if a.Connected && a.ClockOff {
			out = append(out, ofAgent(&a, "clock", say.With{"far": offBy(a.Clock.D())}).because(say.Of("agent.clock.why", nil)))
		}
		switch {
		case !a.Connected && !a.Draining:
			out = append(out, ofAgent(&a, "gone", nil).because(say.Of("agent.gone.why", nil)))
		case a.Stale != nil:
			out = append(out, ofAgent(&a, "stale", nil))
		case !a.Ready && !a.Draining:
			t := ofAgent(&a, "unready", nil)
			if a.Detail != "" {
				t = t.because(say.Of("resource.said", say.With{"problem": a.Detail}))
			}
			out = append(out, t)
		}
	}
	for _, c := range s.away() {
		what := say.Of("center.unheard", say.With{"center": c.Center})
		t := trouble{ID: "unheard/" + c.Center, Severity: healthWarn, Center: c.Center, What: what.Text, WhatSay: what,
			Do: []remedy{doing(say.Of("do.centers", nil), "/agents", "sluice get agents")}}
		out = append(out, t.because(say.Of("center.unheard.why", say.With{"me": s.Name, "problem": c.Why})))
	}
	slices.SortStableFunc(out, func(a, b trouble) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.ID, b.ID)) // bad before warn
	})
	return out, n
}

func ofResource(r *resource, id, severity string, what say.Sentence, do ...remedy) trouble {
	return trouble{ID: id, Severity: severity, Resource: r.Name, What: what.Text, WhatSay: what, Do: do}
}

// ofAgent is the trouble of a kind that an agent has; the sentence's code is agent.KIND.
func ofAgent(a *fleet.AgentView, kind string, w say.With) trouble {
	all := say.With{"agent": a.Name}
	maps.Copy(all, w)
	what := say.Of("agent."+kind, all)
	return trouble{ID: kind + "/" + a.Name, Severity: healthWarn, Agent: a.Name, What: what.Text, WhatSay: what,
		Do: []remedy{doing(say.Of("do.agent", nil), "/agents/"+a.Name, "")}}
}

// offBy says how far a clock is from the centre's, in whole seconds.
func offBy(ahead time.Duration) say.Sentence {
	far := say.With{"far": resources.Duration(ahead.Abs().Round(time.Second)).String()}
	if ahead < 0 {
		return say.Of("clock.behind", far)
	}
	return say.Of("clock.ahead", far)
}

// remediesOf says what helps a resource: another group, when there is a sound one, and otherwise an answer in place of calls.
func remediesOf(r *resource) []remedy {
	var out []remedy
	for _, sick := range r.Groups {
		if sick.Weight == 0 || sick.Of == 0 || sick.Sound*2 > sick.Of {
			continue
		}
		for _, well := range r.Groups {
			if well.Name != sick.Name && well.Of > 0 && well.Sound == well.Of {
				out = append(out, doing(say.Of("do.move", say.With{"group": well.Name}), "/traffic/"+r.Name,
					fmt.Sprintf("sluice switch %s %s=100 --for 30m --why %q", r.Name, well.Name, sick.Name+" is down")))
				break
			}
		}
	}
	if r.Health == healthBad {
		out = append(out, doing(say.Of("do.answer", nil), "/traffic/"+r.Name,
			fmt.Sprintf("sluice degrade %s --match class=read --reply empty --for 10m --why %q", r.Name, "it is down")))
	}
	return append(out, doing(say.Of("do.endpoints", nil), "/resources/"+r.Name, "sluice get endpoints "+r.Name))
}

// happened is a change that somebody made.
type happened struct {
	At     time.Time `json:"at"`
	Author string    `json:"author"`
	What   string    `json:"what"`
	Target string    `json:"target,omitempty"`
	Why    string    `json:"why,omitempty"`
	Link   string    `json:"link"`           // the page that shows it
	Undo   string    `json:"undo,omitempty"` // id of the command, while it is in force
}

// mostHappened is how many changes the overview shows.
const mostHappened = 12

// changes are the last things that people did.
func (s *Server) changes(ctx context.Context) []happened {
	entries, err := s.Audit.Entries(ctx, 0, 4*mostHappened)
	if err != nil {
		s.Log.Warn("the audit log cannot be read", "error", err)
	}
	out := []happened{}
	for _, e := range entries {
		if byItself(e) || len(out) == mostHappened {
			continue
		}
		h := happened{At: e.At, Author: e.Who, What: e.What, Target: e.Target, Why: e.Why}
		if h.Link, h.Undo = s.placeOf(e); h.Link != "" { // else somebody logged in, or the like
			out = append(out, h)
		}
	}
	return out
}

// placeOf returns the page that shows what an entry of the audit log changed, "" if none does, and the id of its command if that
// can be undone.
func (s *Server) placeOf(e audit.Entry) (page, undo string) {
	for _, k := range e.Keys {
		kind, name, _ := strings.Cut(k.Key, "/")
		at := url.PathEscape(name)
		switch kind {
		case "resources":
			return "/resources/" + at + "/history", ""
		case "drafts":
			return "/rules/" + at, ""
		case "commands":
			if _, err := s.Commands.Get(name); err == nil && k.Value != "deleted" {
				undo = name
			}
			return "/commands", undo
		case "plans", "releases":
			return "/" + kind + "/" + at, ""
		case "users":
			return "/access", ""
		case "tokens", "joins", "secrets":
			return "/access/" + kind, ""
		}
	}
	return "", ""
}

// byItself reports whether nobody did this: the centre keeps house.
func byItself(e audit.Entry) bool { return e.Who == "center" || strings.HasPrefix(e.Who, "center ") }

func (s *Server) getOverview(w http.ResponseWriter, r *http.Request) error {
	s.watch.mu.Lock()
	problems, seen, looked := slices.Clone(s.watch.now), s.watch.count, s.watch.since != nil
	s.watch.mu.Unlock()
	if !looked { // it has just started
		problems, seen = s.troubles()
		for i := range problems {
			problems[i].Since = s.Now().UTC()
		}
	}
	state := healthOK
	for _, p := range problems {
		if p.Severity == healthBad || state == healthOK {
			state = p.Severity
		}
		if state == healthBad {
			break
		}
	}
	counts := map[string]int{"commands": len(s.Commands.List()), "resources": seen.resources, "endpoints": seen.endpoints, "endpointsDown": seen.down,
		"agents": 0, "agentsBehind": 0, "agentsGone": 0, "agentsStale": 0, "releases": 0}
	for _, a := range s.Fleet.Agents() {
		counts["agents"]++
		switch {
		case !a.Connected:
			counts["agentsGone"]++
		case a.Stale != nil:
			counts["agentsStale"]++
		case a.Behind:
			counts["agentsBehind"]++
		}
	}
	for _, rel := range s.Rollouts.Releases() {
		if rel.State == rollout.Running || rel.State == rollout.Paused || rel.State == rollout.Undoing {
			counts["releases"]++
		}
	}
	now := s.Now()
	points, err := s.History(r.Context(), series.Query{From: now.Add(-time.Hour), To: now, Step: time.Minute})
	if err != nil {
		return explainSeries(err)
	}
	type spark struct {
		T      int64  `json:"t"`
		Calls  uint64 `json:"calls"`
		Errors uint64 `json:"errors"`
	}
	sparks := make([]spark, 0, len(points))
	for _, p := range points {
		sparks = append(sparks, spark{p.At.UnixMilli(), p.Calls, p.Errors})
	}
	var totals struct {
		Calls  float64            `json:"calls"`
		Errors float64            `json:"errors"`
		P99    resources.Duration `json:"p99"`
	}
	for _, n := range s.Series.Live() {
		totals.Calls, totals.Errors = round(totals.Calls+n.Rate), round(totals.Errors+n.Errors)
		totals.P99 = max(totals.P99, resources.Duration(n.P99))
	}
	httpapi.Reply(w, http.StatusOK, map[string]any{"state": state, "problems": nonNil(problems), "changes": s.changes(r.Context()), "counts": counts,
		"totals": totals, "spark": sparks, "away": s.away()})
	return nil
}

func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
