package governance

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/governance/audit"
	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/governance/registry"
	"github.com/sluice-mesh/sluice/governance/rollout"
	"github.com/sluice-mesh/sluice/governance/series"
	"github.com/sluice-mesh/sluice/governance/store"
)

// What plans and releases need of the other rooms.

func (z *Center) rolloutOptions() rollout.Options {
	return rollout.Options{
		Store: z.audit, Commands: z.commands, Fleet: rolloutFleet{z}, Series: rolloutSeries{z}, Resources: z.rolloutInfos,
		Documents: rolloutDocuments{z.registry}, Log: z.log, Me: z.config.Name,
		Actor: func(ctx context.Context, who, what, target, why string) context.Context {
			return audit.By(ctx, audit.Actor{Who: who, What: what, Target: target, Why: why})
		},
	}
}

// rolloutFleet implements rollout.Fleet.
type rolloutFleet struct{ z *Center }

func (r rolloutFleet) Agents() []rollout.Agent {
	var out []rollout.Agent
	for _, v := range r.z.fleet.Agents() {
		a := rollout.Agent{AgentInfo: command.AgentInfo{Name: v.Name, IDC: v.IDC, Application: v.Application, Labels: v.Labels},
			Wants: v.Wants, Connected: v.Connected, Behind: v.Behind}
		for _, o := range v.Owns {
			a.Owns = append(a.Owns, o.Name)
		}
		out = append(out, a)
	}
	return out
}

func (r rolloutFleet) Ordered(id string) rollout.Acks { return acksOf(r.z.fleet.Ordered(id)) }

func (r rolloutFleet) Applied(resource string) rollout.Acks {
	return acksOf(r.z.fleet.Applied(resource))
}

func acksOf(a fleet.Applied) rollout.Acks {
	out := rollout.Acks{Applied: a.Applied, Behind: a.Behind}
	for _, l := range a.Refused {
		out.Refused = append(out.Refused, rollout.Refusal{Agent: l.Agent, Resource: l.Resource, Message: l.Message})
	}
	return out
}

func (r rolloutFleet) Endpoints(resource string) []rollout.Endpoint {
	var out []rollout.Endpoint
	for _, v := range r.z.fleet.States(resource) {
		if !v.Connected {
			continue
		}
		for _, e := range v.Endpoints {
			out = append(out, rollout.Endpoint{Agent: v.Agent, Group: e.Group, Address: e.Address, Role: e.Role, State: e.State, Detail: e.Detail,
				Lag: time.Duration(e.Lag)})
		}
	}
	return out
}

func (r rolloutFleet) Whole() error { return r.z.whole() }

// rolloutSeries implements rollout.Series.
type rolloutSeries struct{ z *Center }

func (r rolloutSeries) Window(w rollout.Window) (rollout.Numbers, error) {
	if err := r.z.whole(); err != nil {
		return rollout.Numbers{}, err
	}
	p, err := r.z.window(series.Query{Resource: w.Resource, Group: w.Group, Agents: w.Agents, NotAgents: w.NotAgents, From: w.From, To: w.To})
	if err != nil {
		return rollout.Numbers{}, err
	}
	// What the server itself refused is among them: a replica that is written to answers, too.
	return rollout.Numbers{Calls: p.Calls, Failed: p.Errors - min(p.Errors, p.Refused), P99: time.Duration(p.P99)}, nil
}

func (r rolloutSeries) Peak(resource, group string, from, to time.Time) (most float64, err error) {
	points, err := r.z.history(context.Background(), series.Query{Resource: resource, Group: group, From: from, To: to, Step: time.Minute})
	for _, p := range points {
		most = max(most, p.Rate())
	}
	return most, err
}

// rolloutDocuments implements rollout.Documents.
type rolloutDocuments struct{ r *registry.Registry }

func (d rolloutDocuments) Newest(resource string) (int, bool) {
	doc, err := d.r.Get(resource)
	return doc.Version, err == nil && !doc.Exported
}

func (d rolloutDocuments) Back(ctx context.Context, resource string, from, to int, author, why string) error {
	doc, err := d.r.Get(resource)
	if errors.Is(err, store.ErrNotFound) || err == nil && doc.Version != to {
		return nil // somebody deleted it, or changed it since: theirs is the newest
	}
	if err != nil {
		return err
	}
	old, err := d.r.At(ctx, resource, from)
	if err != nil {
		return err
	}
	_, err = d.r.Put(ctx, registry.Edit{Name: resource, Data: old.Text, Author: author, Why: why, If: &doc.Revision})
	if errors.Is(err, store.ErrConflict) {
		return nil // as above
	}
	return err
}

// rolloutInfos are all resources with the weights that are in force.
func (z *Center) rolloutInfos() []rollout.Info {
	var out []rollout.Info
	for _, info := range z.source.infos() {
		i := rollout.Info{Name: info.Name, Kind: info.Kind, Labels: info.Labels}
		at := make(map[string]int)
		if o, ok := z.registry.Outline(info.Name); ok {
			for _, g := range o.Groups {
				at[g.Name] = len(i.Groups)
				i.Groups = append(i.Groups, rollout.Group{Name: g.Name, IDC: g.IDC, Weight: g.Weight})
			}
		}
		for _, v := range z.fleet.States(info.Name) {
			if !v.Connected {
				continue
			}
			for _, g := range v.Groups {
				n, known := at[g.Name]
				if !known {
					n = len(i.Groups)
					at[g.Name] = n
					i.Groups = append(i.Groups, rollout.Group{Name: g.Name, IDC: g.IDC})
				}
				i.Groups[n].Weight = g.Weight
			}
			break // the agents agree, but for those of a stage
		}
		slices.SortFunc(i.Groups, func(a, b rollout.Group) int {
			if a.Name < b.Name {
				return -1
			}
			return 1
		})
		out = append(out, i)
	}
	return out
}
