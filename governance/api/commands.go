package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/governance/auth"
	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

// commandView is a command with what is worth reading of it.
type commandView struct {
	command.Command
	Summary  string   `json:"summary"`            // what it does: "tc=100"
	Matching string   `json:"matching,omitempty"` // its match as K=V pairs
	Agents   spread   `json:"agents"`             // who has it
	On       []string `json:"resources"`          // that it is for now
	Origin   string   `json:"origin,omitempty"`   // where agents found it, of one that nobody gave here
	Problem  string   `json:"problem,omitempty"`  // why one that was found is in force nowhere
}

func (s *Server) view(c command.Command, all []command.ResourceInfo) commandView {
	v := commandView{Command: c, Summary: c.Summary(), Matching: c.Match.String(), Agents: spreadOf(s.Fleet.Ordered(c.ID)), On: []string{}}
	for _, r := range all {
		if c.Selects(r) {
			v.On = append(v.On, r.Name)
		}
	}
	slices.Sort(v.On)
	v.On = slices.Compact(v.On)
	return v
}

// commandViews are all commands in force, and after them those that agents found elsewhere.
func (s *Server) commandViews() []commandView {
	all := s.Resources()
	list := s.Commands.List()
	out := make([]commandView, 0, len(list))
	for _, c := range list {
		out = append(out, s.view(c, all))
	}
	for _, f := range s.Fleet.Found() {
		out = append(out, foundView(f))
	}
	return out
}

// foundView shows a command that agents found. Its author says where, since that is who can take it back.
func foundView(f fleet.Finding) commandView {
	v := commandView{Summary: f.Summary, Agents: spreadOf(f.Agents), On: []string{f.Resource}, Origin: f.Origin, Problem: f.Problem}
	v.ID, v.Type, v.Resource, v.Percent = f.ID, resources.CommandType(f.Type), f.Resource, resources.Percent(f.Percent)
	v.Author, v.Why, v.Created = f.Author+" ("+f.Origin+")", f.Why, time.UnixMilli(f.Created).UTC()
	if f.Problem != "" {
		v.Why = strings.TrimLeft(f.Why+"; not in force: "+f.Problem, "; ")
	}
	return v
}

// foundOn are the commands that agents found elsewhere, by the resource that each is for.
func (s *Server) foundOn() map[string][]commandView {
	out := make(map[string][]commandView)
	for _, f := range s.Fleet.Found() {
		out[f.Resource] = append(out[f.Resource], foundView(f))
	}
	return out
}

// commandsOn are those in force on one resource, and after them those that agents found for it.
func (s *Server) commandsOn(it *item, now known) []commandView {
	out := []commandView{}
	for _, c := range now.ordered {
		if slices.ContainsFunc(it.definitions, c.Selects) {
			out = append(out, s.view(c, it.definitions))
		}
	}
	return append(out, now.found[it.name]...)
}

func (s *Server) getCommands(w http.ResponseWriter, r *http.Request) error {
	httpapi.Reply(w, http.StatusOK, map[string]any{"commands": s.commandViews()})
	return nil
}

func (s *Server) getCommandHistory(w http.ResponseWriter, r *http.Request) error {
	list, err := s.Commands.History(r.Context())
	if err != nil {
		return err
	}
	type over struct {
		command.Command
		Summary  string    `json:"summary"`
		Matching string    `json:"matching,omitempty"`
		How      string    `json:"how"`
		By       string    `json:"by,omitempty"`
		Because  string    `json:"because,omitempty"`
		Ended    time.Time `json:"ended"`
	}
	out := make([]over, 0, len(list))
	for _, e := range list {
		out = append(out, over{e.Command, e.Command.Summary(), e.Command.Match.String(), e.How, e.By, e.Why, e.At})
	}
	httpapi.Reply(w, http.StatusOK, map[string]any{"commands": out})
	return nil
}

// order is a command as it is sent: its end may be given as a time from now, which needs no agreement of clocks.
type order struct {
	command.Command
	For resources.Duration `json:"for"`
}

func (s *Server) postCommand(w http.ResponseWriter, r *http.Request) error {
	q, err := httpapi.Query(r, "dry-run")
	if err != nil {
		return err
	}
	dry, err := httpapi.Flag(q, "dry-run")
	if err != nil {
		return err
	}
	var o order
	if err := decode(r, &o, "command", &o.Why); err != nil {
		return err
	}
	c, err := s.read(r, &o)
	if err != nil {
		return err
	}
	if err := s.mayCommand(r, &c); err != nil {
		return err
	}
	if dry {
		return s.preview(w, r, c)
	}
	added, err := s.Commands.Add(by(r, c.Does(), c.On(), c.Why), c)
	if err != nil {
		return invalid(err)
	}
	s.Log.Info("command", "id", added.ID, "does", added.Does(), "on", added.On(), "by", added.Author, "why", added.Why)
	w.Header().Set("Location", "/v1/commands/"+added.ID)
	httpapi.Reply(w, http.StatusCreated, s.view(added, s.Resources()))
	return nil
}

// read turns what was sent into a command of who sent it.
func (s *Server) read(r *http.Request, o *order) (command.Command, error) {
	c := o.Command
	if o.For > 0 && c.Expires != nil {
		return c, wrong("for", say.Of("order.both.ends", nil))
	}
	if o.For < 0 {
		return c, wrong("for", say.Of("order.past", say.With{"for": o.For.String()}))
	}
	given := c.Author
	c.Author = who(r).Name
	if given != "" && given != c.Author { // the command line names the person behind a token
		c.Author = given + " by " + c.Author
	}
	c.ID, c.Plan, c.Step, c.Revision, c.Created = "", "", 0, 0, s.Now().UTC()
	if o.For > 0 {
		end := c.Created.Add(o.For.D())
		c.Expires = &end
	}
	return c, nil
}

// mayCommand asks for the right on everything that a command selects, and, if it is for resources that come later, everywhere.
func (s *Server) mayCommand(r *http.Request, c *command.Command) error {
	id := who(r)
	if id.Everywhere(auth.Command) {
		return nil
	}
	if c.Later {
		return refuse(httpapi.Forbidden, say.Of("may.not.later", say.With{"who": id.Name}))
	}
	selected := slices.DeleteFunc(s.Resources(), func(info command.ResourceInfo) bool { return !c.Selects(info) })
	if len(selected) == 0 {
		return refuse(httpapi.Forbidden, say.Of("may.none.selected", say.With{"who": id.Name}))
	}
	return mayAll(id, "give commands on", selected)
}

// mayAll asks for the right command on every definition.
func mayAll(id *auth.Identity, what string, definitions []command.ResourceInfo) error {
	for _, d := range definitions {
		if !id.Can(auth.Command, auth.Target{Name: d.Name, Kind: d.Kind, Labels: d.Labels}) {
			return refuse(httpapi.Forbidden, say.Of("may.not.command", say.With{"who": id.Name, "does": what, "resource": d.Name}))
		}
	}
	return nil
}

func (s *Server) deleteCommand(w http.ResponseWriter, r *http.Request) error {
	q, err := httpapi.Query(r, "why", "by")
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	for _, f := range s.Fleet.Found() {
		if f.ID == id {
			return httpapi.Conflict("command %s is not the centre's: take it back where agents found it, at %s", id, f.Origin)
		}
	}
	c, err := s.Commands.Get(id)
	if err != nil {
		return err
	}
	if err := s.mayCommand(r, &c); err != nil {
		return err
	}
	author := who(r).Name
	if given := q.Get("by"); given != "" && given != author {
		author = given + " by " + author
	}
	over, err := s.Commands.Undo(by(r, "undo "+c.Does(), c.On(), q.Get("why")), id, author, q.Get("why"))
	if err != nil {
		return err
	}
	s.Log.Info("command undone", "id", id, "does", c.Does(), "on", c.On(), "by", author)
	httpapi.Reply(w, http.StatusOK, commandView{Command: over.Command, Summary: over.Command.Summary(), Matching: over.Command.Match.String(), On: []string{}})
	return nil
}

// effect is what a command would do to one resource, summed over its agents.
type effect struct {
	Name   string             `json:"name"`
	Calls  float64            `json:"calls"` // per second, that match
	Before map[string]float64 `json:"before"`
	After  map[string]float64 `json:"after"`
	Pinned int                `json:"pinned"` // sessions that move when their pin ends
	Agents []string           `json:"agents"`
	Silent []string           `json:"silent,omitempty"` // agents that did not answer
}

// agentPreview is what an agent answers to a dry run.
type agentPreview struct {
	Effect struct {
		Calls  float64 `json:"calls_per_second"`
		Groups []struct {
			Name   string  `json:"name"`
			Before float64 `json:"before"`
			After  float64 `json:"after"`
		} `json:"groups"`
		Pinned int `json:"pinned_sessions"`
	} `json:"effect"`
	Text  []string `json:"text"`
	Error struct {
		Message string `json:"message"`
	} `json:"error"`
}

func (s *Server) preview(w http.ResponseWriter, r *http.Request, c command.Command) error {
	c, _, err := s.Commands.Check(c)
	if err != nil {
		return invalid(err)
	}
	warnings := s.Commands.Conflicts(c)
	view := s.view(c, s.Resources())
	var effects []effect
	agents := make(map[string]struct{})
	for _, name := range view.On {
		e, notes := s.effectOn(r.Context(), c, name)
		effects = append(effects, e)
		warnings = append(warnings, notes...)
		for _, a := range e.Agents {
			agents[a] = struct{}{}
		}
	}
	text := previewText(c, effects)
	httpapi.Reply(w, http.StatusOK, map[string]any{
		"command": view, "warnings": say.Texts(warnings), "warningsSay": nonNil(warnings), "text": say.Texts(text), "textSay": text,
		"effect": map[string]any{"agents": nonNil(slices.Sorted(maps.Keys(agents))), "resources": nonNil(effects)},
	})
	return nil
}

// effectOn asks the agents of a resource what a command would do there.
func (s *Server) effectOn(ctx context.Context, c command.Command, name string) (effect, []say.Sentence) {
	e := effect{Name: name, Before: map[string]float64{}, After: map[string]float64{}, Agents: []string{}}
	var names []string
	for _, v := range s.Fleet.Agents() {
		if v.Connected && c.Concerns(command.AgentInfo{Name: v.Name, IDC: v.IDC, Application: v.Application, Labels: v.Labels}) && carries(v, name) {
			names = append(names, v.Name)
		}
	}
	one := c.Command
	one.Resource, one.ID = name, ""
	body, err := json.Marshal(one)
	if err != nil {
		return e, []say.Sentence{say.Of("resource.said", say.With{"problem": err.Error()})}
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	notes := make(map[string]say.Sentence)
	s.Fleet.AskAll(ctx, names, control.Ask{Method: http.MethodPost, Path: "/v1/commands?dry-run", Body: body}, func(agent string, a control.Answer, err error) {
		var p agentPreview
		if err != nil || json.Unmarshal(a.Body, &p) != nil {
			e.Silent = append(e.Silent, agent)
			return
		}
		if a.Status != http.StatusOK {
			note := say.Of("order.refused", say.With{"agent": agent, "problem": p.Error.Message})
			notes[note.Text] = note
			return
		}
		e.Agents = append(e.Agents, agent)
		e.Calls += p.Effect.Calls
		e.Pinned += p.Effect.Pinned
		for _, g := range p.Effect.Groups {
			e.Before[g.Name] = round(e.Before[g.Name] + g.Before)
			e.After[g.Name] = round(e.After[g.Name] + g.After)
		}
	})
	e.Calls = round(e.Calls)
	slices.Sort(e.Agents)
	slices.Sort(e.Silent)
	list := slices.Collect(maps.Values(notes))
	slices.SortFunc(list, func(a, b say.Sentence) int { return strings.Compare(a.Text, b.Text) })
	return e, list
}

// carries reports whether an agent has a resource, from the centre or from its file.
func carries(v fleet.AgentView, name string) bool {
	return slices.Contains(v.Wants, name) || slices.ContainsFunc(v.Owns, func(o fleet.Owned) bool { return o.Name == name })
}

// previewText says in sentences what a command would do.
func previewText(c command.Command, effects []effect) []say.Sentence {
	out := []say.Sentence{}
	for _, e := range effects {
		n := len(e.Agents)
		switch {
		case n == 0:
			out = append(out, say.Of("order.waits", say.With{"resource": e.Name}))
			continue
		case c.Type != resources.CommandSwitch:
			out = append(out, say.Of("order.holds", say.With{"resource": e.Name, "type": c.Type, "does": c.Summary(), "calls": whole(e.Calls), "n": n}))
			continue
		}
		for _, g := range slices.Sorted(maps.Keys(e.After)) {
			if e.Before[g] != e.After[g] {
				out = append(out, say.Of("order.moves", say.With{"resource": e.Name, "group": g, "before": whole(e.Before[g]), "after": whole(e.After[g]), "n": n}))
			}
		}
		if e.Pinned > 0 {
			out = append(out, say.Of("order.pinned", say.With{"resource": e.Name, "n": e.Pinned}))
		}
	}
	if len(effects) > 0 && len(out) == 0 {
		out = append(out, say.Of("order.nothing", nil))
	}
	return out
}

// whole is a number without a fraction.
func whole(v float64) string { return fmt.Sprintf("%.0f", v) }
