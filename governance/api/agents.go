package api

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/governance/peers"
	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

// agent is a line of the list of agents. The keys that `sluice get agents` shows have an agent's own names.
type agent struct {
	fleet.AgentView
	Uptime    resources.Duration `json:"uptime"`
	Resources int                `json:"resources"`
	Rate      rate               `json:"rate"`
}

func (s *Server) agents() []agent {
	views := s.Fleet.Agents()
	rates := s.agentRates()
	now := s.Now()
	out := make([]agent, 0, len(views))
	for _, v := range views {
		v.Wants, v.Owns, v.Refused = nonNil(v.Wants), nonNil(v.Owns), nonNil(v.Refused)
		a := agent{AgentView: v, Resources: len(v.Wants) + len(v.Owns), Rate: rates[v.Name]}
		if v.Connected {
			a.Uptime = resources.Duration(now.Sub(v.Started).Round(time.Second))
		}
		out = append(out, a)
	}
	return out
}

func (s *Server) getAgents(w http.ResponseWriter, r *http.Request) error {
	httpapi.Reply(w, http.StatusOK, map[string]any{"agents": s.agents(), "revision": s.Registry.Revision(), "center": s.Name, "centers": s.centers(),
		"away": s.away()})
	return nil
}

// centers are the other centres.
func (s *Server) centers() []peers.Center {
	if s.Peers == nil {
		return []peers.Center{}
	}
	return nonNil(s.Peers.Centers())
}

func (s *Server) getAgent(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	for _, a := range s.agents() {
		if a.Name == name {
			httpapi.Reply(w, http.StatusOK, struct {
				agent
				States []control.ResourceState `json:"states"`
			}{a, nonNil(s.Fleet.AgentStates(name))})
			return nil
		}
	}
	return refuse(httpapi.NotFound, say.Of("no.agent", say.With{"agent": httpapi.Quoted(name)}))
}

// getAgentConfig shows what an agent runs, as it says itself.
func (s *Server) getAgentConfig(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	out := make(map[string]json.RawMessage)
	for _, st := range s.Fleet.AgentStates(name) {
		a, err := s.Fleet.Ask(r.Context(), name, control.Ask{Method: http.MethodGet, Path: "/v1/resources/" + escape(st.Name) + "/config"})
		if err != nil {
			return away(err)
		}
		if a.Status == http.StatusOK {
			out[st.Name] = a.Body
		}
	}
	httpapi.Reply(w, http.StatusOK, map[string]any{"resources": out})
	return nil
}

func away(err error) error { return httpapi.Unavailable("%v", err) }

// serving lists the connected agents that carry a resource.
func (s *Server) serving(name string) []string {
	var out []string
	for _, v := range s.Fleet.States(name) {
		if v.Connected {
			out = append(out, v.Agent)
		}
	}
	return out
}

// askTimeout bounds a question to all agents of a resource.
const askTimeout = 5 * time.Second

// gather asks all agents of a resource for one of its lists and joins what they answer; those that do not answer are named.
func (s *Server) gather(ctx context.Context, name, what string, each func(agent string, items []json.RawMessage)) (silent []string) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	ask := control.Ask{Method: http.MethodGet, Path: "/v1/resources/" + escape(name) + "/" + what}
	s.Fleet.AskAll(ctx, s.serving(name), ask, func(agent string, a control.Answer, err error) {
		var list map[string][]json.RawMessage
		if err != nil || a.Status != http.StatusOK || json.Unmarshal(a.Body, &list) != nil {
			silent = append(silent, agent)
			return
		}
		each(agent, list[what])
	})
	slices.Sort(silent)
	return silent
}

func escape(name string) string { return strings.ReplaceAll(name, "/", "%2F") }

func (s *Server) getSessions(w http.ResponseWriter, r *http.Request) error {
	it, err := s.item(r.PathValue("name"))
	if err != nil {
		return err
	}
	out := []json.RawMessage{}
	silent := s.gather(r.Context(), it.name, "sessions", func(agent string, items []json.RawMessage) {
		quoted, _ := json.Marshal(agent) // a text
		for _, item := range items {
			if rest, ok := strings.CutPrefix(string(item), "{"); ok {
				out = append(out, json.RawMessage(`{"agent":`+string(quoted)+`,`+rest))
			}
		}
	})
	httpapi.Reply(w, http.StatusOK, map[string]any{"sessions": out, "silent": nonNil(silent)})
	return nil
}

func (s *Server) blockAgent(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	var body struct {
		Why string `json:"why"`
	}
	if err := decode(r, &body, "block", &body.Why); err != nil {
		return err
	}
	if err := s.Auth.Block(by(r, "block agent", name, body.Why), name, who(r).Name, body.Why); err != nil {
		return invalid(err)
	}
	s.hub.changed("agents", "audit")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) unblockAgent(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	return s.gone(w, s.Auth.Unblock(by(r, "let agent in", name, r.URL.Query().Get("why")), name))
}

// getStatus is what `sluice top` draws: the shape of an agent's, over all agents.
func (s *Server) getStatus(w http.ResponseWriter, r *http.Request) error {
	type withEndpoints struct {
		resource
		Endpoints []endpoint `json:"endpoints"`
	}
	list := []withEndpoints{}
	all, now := s.everything()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, withEndpoints{s.describe(all[name], now), s.endpoints(all[name])})
	}
	commands := s.commandViews()
	httpapi.Reply(w, http.StatusOK, map[string]any{
		"name": s.Name, "application": "center", "idc": "", "version": s.Version, "revision": s.Registry.Revision(), "ready": true, "draining": false,
		"resources": list, "commands": commands, "agents": len(s.Fleet.Agents()),
	})
	return nil
}
