package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/internal/httpapi"
)

// Health of a resource, the best first.
const (
	healthIdle = "idle" // nothing calls it
	healthOK   = "ok"
	healthWarn = "warn"
	healthBad  = "bad"
)

// Shares of calls that do not end ok, from which a resource is not well.
const (
	warnErrors = 0.01
	badErrors  = 0.10
)

// group is a pool of endpoints as it goes.
type group struct {
	Name      string  `json:"name"`
	IDC       string  `json:"idc,omitempty"`
	Weight    int     `json:"weight"` // in force at most agents
	Sound     int     `json:"sound"`
	Of        int     `json:"of"`
	Rate      rate    `json:"rate"`
	Latency   latency `json:"latency"`
	Protected bool    `json:"protected,omitempty"`
}

// resource is a line of the catalogue. The keys that agents have too have the same names as theirs.
type resource struct {
	Name     string            `json:"name"`
	Kind     string            `json:"kind"`
	Source   string            `json:"source"`
	Labels   map[string]string `json:"labels,omitempty"`
	Listen   []string          `json:"listen,omitempty"`
	ETag     string            `json:"etag,omitempty"`
	Version  int               `json:"version,omitempty"`
	Ready    bool              `json:"ready"`
	Detail   string            `json:"detail,omitempty"`
	Health   string            `json:"health"`
	Why      string            `json:"why,omitempty"`
	WhySay   *say.Sentence     `json:"whySay,omitempty"`
	Success  float64           `json:"success"`
	Sessions int               `json:"sessions"`
	Pinned   int               `json:"pinned"`
	Upstream int               `json:"connections"` // to endpoints
	Commands int               `json:"commands"`
	Groups   []group           `json:"groups"`
	Agents   spread            `json:"agents"`
	numbers
}

// spread is how far something got.
type spread struct {
	Total   int `json:"total"`
	Applied int `json:"applied"`
	Refused int `json:"refused"`
	Behind  int `json:"behind"`
}

func spreadOf(a fleet.Applied) spread {
	return spread{Total: a.Agents, Applied: a.Applied, Refused: len(a.Refused), Behind: len(a.Behind)}
}

// known is what lines of the catalogue are made of beside the resources themselves, for all of them at once.
type known struct {
	live    map[string]resourceNumbers
	ordered []command.Command // those in force
	found   map[string][]commandView
}

func (s *Server) known() known { return known{s.numbers(), s.Commands.List(), s.foundOn()} }

// describe makes the line of one resource.
func (s *Server) describe(it *item, now known) resource {
	n := now.live[it.name]
	r := resource{Name: it.name, Kind: it.Kind, Source: it.source, Labels: it.Labels, numbers: n.numbers, Success: n.success(), Ready: true}
	if it.doc != nil {
		r.ETag, r.Version = etag(it.doc.Revision), it.doc.Version
	}
	states := s.states(it.name)
	endpoints := s.endpointsIn(it, states)
	r.Groups = groupsOf(it, states, endpoints, n)
	for _, v := range states {
		r.Sessions += v.Sessions
		r.Pinned += v.Pinned
		r.Upstream += v.Upstream
		if !v.Ready && r.Ready {
			r.Ready, r.Detail = false, cmp.Or(v.Detail, "agent "+v.Agent+" is not ready for it")
		}
		for _, l := range v.Listen {
			if !slices.Contains(r.Listen, l) && len(r.Listen) < 8 {
				r.Listen = append(r.Listen, l)
			}
		}
	}
	r.Commands = len(s.commandsOn(it, now))
	if it.source == fromFile {
		r.Agents = spread{Total: len(it.owners), Applied: len(it.owners)}
	} else {
		r.Agents = spreadOf(s.Fleet.Applied(it.name))
	}
	if r.Health, r.WhySay = judge(&r, it, endpoints, len(states) > 0); r.WhySay != nil {
		r.Why = r.WhySay.Text
	}
	return r
}

func groupsOf(it *item, states []fleet.StateView, endpoints []endpoint, n resourceNumbers) []group {
	by := make(map[string]*group)
	for name, g := range it.Groups {
		by[name] = &group{Name: name, IDC: cmp.Or(g.IDC, name), Weight: g.Share()}
	}
	weights := make(map[string]map[int]int)
	for _, v := range states {
		for _, g := range v.Groups {
			if by[g.Name] == nil {
				by[g.Name] = &group{Name: g.Name, IDC: g.IDC, Weight: g.Weight}
			}
			if weights[g.Name] == nil {
				weights[g.Name] = make(map[int]int)
			}
			weights[g.Name][g.Weight]++
		}
	}
	for _, e := range endpoints {
		g := by[e.Group]
		if g == nil {
			continue
		}
		g.Of++
		if e.State == "up" {
			g.Sound++
		}
		g.Protected = g.Protected || e.Protected
	}
	out := make([]group, 0, len(by))
	for name, g := range by {
		most := 0
		for w, agents := range weights[name] {
			if agents > most {
				most, g.Weight = agents, w
			}
		}
		g.Rate, g.Latency = n.groups[name].Rate, n.groups[name].Latency
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b group) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// judge says how a resource is, and the gravest reason.
func judge(r *resource, it *item, endpoints []endpoint, seen bool) (health string, why *say.Sentence) {
	var bad, warn []say.Sentence
	for _, g := range r.Groups {
		if seen && g.Weight > 0 && g.Of > 0 && g.Sound == 0 {
			bad = append(bad, say.Of("group.down", say.With{"group": g.Name}))
		}
		if g.Protected {
			warn = append(warn, say.Of("group.held", say.With{"group": g.Name}))
		}
	}
	down := 0
	for _, e := range endpoints {
		if e.State == "down" || e.State == "ejected" || e.State == "fenced" {
			down++
			if len(warn) < 4 {
				warn = append(warn, endpointIs(&e))
			}
		}
	}
	if failed := 1 - r.Success; r.Rate.Calls > 0 && failed >= warnErrors {
		text := say.Of("calls.failed", say.With{"percent": fmt.Sprintf("%.1f", 100*failed)})
		if failed >= badErrors {
			bad = append(bad, text)
		} else {
			warn = append(warn, text)
		}
	}
	if r.Agents.Refused > 0 {
		warn = append(warn, say.Of("version.refused", say.With{"n": r.Agents.Refused, "of": r.Agents.Total}))
	}
	if it.differ {
		warn = append(warn, say.Of("files.differ", nil))
	}
	if it.problem != "" {
		bad = append(bad, say.Of("resource.said", say.With{"problem": it.problem}))
	}
	switch {
	case len(bad) > 0:
		return healthBad, &bad[0]
	case len(warn) > 0:
		return healthWarn, &warn[0]
	case r.Rate.Calls == 0:
		return healthIdle, nil
	}
	return healthOK, nil
}

func endpointIs(e *endpoint) say.Sentence {
	w := say.With{"address": e.Address, "group": e.Group, "state": e.State}
	if e.Detail == "" {
		return say.Of("endpoint.is", w)
	}
	w["detail"] = e.Detail
	return say.Of("endpoint.why", w)
}

// getResources lists all resources; with ?brief, what a table of hundreds shows of them, which is half as much to send and to read.
func (s *Server) getResources(w http.ResponseWriter, r *http.Request) error {
	q, err := httpapi.Query(r, "brief")
	if err != nil {
		return err
	}
	brief, err := httpapi.Flag(q, "brief")
	if err != nil {
		return err
	}
	all := s.catalogue()
	if !brief {
		httpapi.Reply(w, http.StatusOK, map[string]any{"resources": all, "away": s.away()})
		return nil
	}
	lines := make([]line, len(all))
	for i := range all {
		lines[i] = lineOf(&all[i])
	}
	httpapi.Reply(w, http.StatusOK, map[string]any{"resources": lines, "away": s.away()})
	return nil
}

// everything is the inventory, and what is known of it. Items have definitions if there is a command that may be about them.
func (s *Server) everything() (map[string]*item, known) {
	all, now := s.inventory(), s.known()
	if len(now.ordered) > 0 {
		s.define(all)
	}
	return all, now
}

// catalogue is every resource, by name.
func (s *Server) catalogue() []resource {
	all, now := s.everything()
	out := make([]resource, 0, len(all))
	for _, it := range all {
		out = append(out, s.describe(it, now))
	}
	slices.SortFunc(out, func(a, b resource) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (s *Server) getResource(w http.ResponseWriter, r *http.Request) error {
	it, err := s.item(r.PathValue("name"))
	if err != nil {
		return err
	}
	now := s.known()
	out := struct {
		resource
		Config    json.RawMessage `json:"config,omitempty"`
		Endpoints []endpoint      `json:"endpoints"`
		Active    []commandView   `json:"commandsActive"`
		Origins   []origin        `json:"origins"`
		Applied   *fleet.Applied  `json:"applied,omitempty"`
		Owners    []string        `json:"owners,omitempty"`
		Away      []absent        `json:"away"`
	}{resource: s.describe(it, now), Away: s.away(), Config: it.spec, Endpoints: s.endpoints(it), Active: s.commandsOn(it, now), Owners: it.owners}
	if it.doc != nil {
		applied := s.Fleet.Applied(it.name)
		applied.Refused, applied.Behind, applied.Away = nonNil(applied.Refused), nonNil(applied.Behind), nonNil(applied.Away)
		out.Applied = &applied
	}
	out.Origins = origins(it, out.Active)
	if out.ETag != "" {
		w.Header().Set("ETag", out.ETag)
	}
	httpapi.Reply(w, http.StatusOK, out)
	return nil
}

func (s *Server) getEndpoints(w http.ResponseWriter, r *http.Request) error {
	it, err := s.item(r.PathValue("name"))
	if err != nil {
		return err
	}
	httpapi.Reply(w, http.StatusOK, map[string]any{"endpoints": s.endpoints(it)})
	return nil
}

func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// expected reads If-Match and If-None-Match: the revision that the author has seen; nil: whatever it is by now.
func expected(r *http.Request) (*int64, error) {
	match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	switch {
	case none == "*":
		return new(int64), nil
	case none != "":
		return nil, httpapi.Invalid("If-None-Match", "use If-None-Match: * for a resource that must be new")
	case match == "" || match == "*":
		return nil, nil
	}
	n, err := strconv.ParseInt(strings.Trim(match, `"`), 10, 64)
	if err != nil {
		return nil, httpapi.Changed("the ETag %s is none of this centre: read the resource again", httpapi.Quoted(match))
	}
	return &n, nil
}
