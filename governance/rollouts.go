package governance

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/governance/audit"
	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/governance/registry"
	"github.com/sluice-mesh/sluice/governance/rollout"
	"github.com/sluice-mesh/sluice/governance/series"
	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/protocols/control"
)

// What plans and releases need of the other rooms.

func (z *Center) rolloutOptions() rollout.Options {
	return rollout.Options{
		Store: z.audit, Commands: z.commands, Fleet: rolloutFleet{z.fleet}, Series: rolloutSeries{z.series}, Resources: z.rolloutInfos,
		Documents: rolloutDocuments{z.registry}, Log: z.log, Me: z.config.Name,
		Actor: func(ctx context.Context, who, what, target, why string) context.Context {
			return audit.By(ctx, audit.Actor{Who: who, What: what, Target: target, Why: why})
		},
	}
}

// rolloutFleet implements rollout.Fleet.
type rolloutFleet struct{ f *fleet.Fleet }

func (r rolloutFleet) Agents() []rollout.Agent {
	var out []rollout.Agent
	for _, v := range r.f.Agents() {
		a := rollout.Agent{AgentInfo: command.AgentInfo{Name: v.Name, IDC: v.IDC, Application: v.Application, Labels: v.Labels},
			Wants: v.Wants, Connected: v.Connected, Behind: v.Behind}
		for _, o := range v.Owns {
			a.Owns = append(a.Owns, o.Name)
		}
		out = append(out, a)
	}
	return out
}

func (r rolloutFleet) Ordered(id string) rollout.Acks { return acksOf(r.f.Ordered(id)) }

func (r rolloutFleet) Applied(resource string) rollout.Acks { return acksOf(r.f.Applied(resource)) }

func acksOf(a fleet.Applied) rollout.Acks {
	out := rollout.Acks{Applied: a.Applied, Behind: a.Behind}
	for _, l := range a.Refused {
		out.Refused = append(out.Refused, rollout.Refusal{Agent: l.Agent, Resource: l.Resource, Message: l.Message})
	}
	return out
}

func (r rolloutFleet) Endpoints(resource string) []rollout.Endpoint {
	var out []rollout.Endpoint
	for _, v := range r.f.States(resource) {
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

// rolloutSeries implements rollout.Series.
type rolloutSeries struct{ s *series.Store }

func (r rolloutSeries) Window(w rollout.Window) (rollout.Numbers, error) {
	p, err := r.s.Window(series.Query{Resource: w.Resource, Group: w.Group, Agents: w.Agents, NotAgents: w.NotAgents, From: w.From, To: w.To})
	if err != nil {
		return rollout.Numbers{}, err
	}
	// What the server itself refused is among them: a replica that is written to answers, too.
	return rollout.Numbers{Calls: p.Calls, Failed: p.Errors - min(p.Errors, p.Refused), P99: time.Duration(p.P99)}, nil
}

func (r rolloutSeries) Peak(resource, group string, from, to time.Time) (most float64, err error) {
	points, err := r.s.Query(series.Query{Resource: resource, Group: group, From: from, To: to, Step: time.Minute})
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

// versions are the specs of the versions that releases serve. A version never changes, so each is read from the store once.
type versions struct {
	registry *registry.Registry

	mu sync.RWMutex
	by map[versionKey]versionSpec
}

type versionKey struct {
	name    string
	version int
}

type versionSpec struct {
	spec json.RawMessage
	hash string
}

// mostVersions bounds what is kept: more than releases that are on their way at once.
const mostVersions = 256

// readTime bounds how long serving an agent waits for a version that was not read before.
const readTime = time.Second

// get returns a version of a resource. Endpoints that agents export are not in it: a release is of what operators wrote.
func (v *versions) get(name string, version int) (versionSpec, error) {
	key := versionKey{name, version}
	v.mu.RLock()
	s, ok := v.by[key]
	v.mu.RUnlock()
	if ok {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTime)
	defer cancel()
	doc, err := v.registry.At(ctx, name, version)
	if err != nil {
		return s, err
	}
	s = versionSpec{doc.Spec, control.Hash(doc.Spec)}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.by == nil || len(v.by) >= mostVersions {
		v.by = make(map[versionKey]versionSpec)
	}
	v.by[key] = s
	return s, nil
}
