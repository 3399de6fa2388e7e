package rollout_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/governance/audit"
	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/governance/registry"
	"github.com/sluice-mesh/sluice/governance/rollout"
	"github.com/sluice-mesh/sluice/governance/series"
	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/governance/store/bolt"
	"github.com/sluice-mesh/sluice/resources"
	_ "github.com/sluice-mesh/sluice/resources/redis" // the kind of the document
)

// agents makes rollout.Fleet of a fleet.
type agents struct{ f *fleet.Fleet }

func (a agents) Agents() []rollout.Agent {
	var out []rollout.Agent
	for _, v := range a.f.Agents() {
		one := rollout.Agent{Wants: v.Wants, Connected: v.Connected, Behind: v.Behind,
			AgentInfo: command.AgentInfo{Name: v.Name, IDC: v.IDC, Application: v.Application, Labels: v.Labels}}
		for _, o := range v.Owns {
			one.Owns = append(one.Owns, o.Name)
		}
		out = append(out, one)
	}
	return out
}

func (a agents) Ordered(id string) rollout.Acks       { return acksOf(a.f.Ordered(id)) }
func (a agents) Applied(resource string) rollout.Acks { return acksOf(a.f.Applied(resource)) }

func acksOf(v fleet.Applied) rollout.Acks {
	out := rollout.Acks{Applied: v.Applied, Behind: v.Behind}
	for _, l := range v.Refused {
		out.Refused = append(out.Refused, rollout.Refusal{Agent: l.Agent, Resource: l.Resource, Message: l.Message})
	}
	return out
}

func (a agents) Endpoints(resource string) []rollout.Endpoint {
	var out []rollout.Endpoint
	for _, s := range a.f.States(resource) {
		if !s.Connected {
			continue
		}
		for _, e := range s.Endpoints {
			out = append(out, rollout.Endpoint{Agent: s.Agent, Group: e.Group, Address: e.Address, Role: e.Role, State: e.State,
				Detail: e.Detail, Lag: time.Duration(e.Lag)})
		}
	}
	return out
}

// numbers makes rollout.Series of a series.Store.
type numbers struct{ s *series.Store }

func (n numbers) Window(w rollout.Window) (rollout.Numbers, error) {
	p, err := n.s.Window(series.Query{Resource: w.Resource, Group: w.Group, Agents: w.Agents, NotAgents: w.NotAgents, From: w.From, To: w.To})
	if err != nil {
		return rollout.Numbers{}, err
	}
	return rollout.Numbers{Calls: p.Calls, Failed: p.Errors - p.Refused, P99: time.Duration(p.P99)}, nil
}

func (n numbers) Peak(resource, group string, from, to time.Time) (float64, error) {
	points, err := n.s.Query(series.Query{Resource: resource, Group: group, From: from, To: to, Step: time.Minute})
	most := 0.0
	for i := range points {
		most = max(most, points[i].Rate())
	}
	return most, err
}

// documents makes rollout.Documents of a registry.
type documents struct{ r *registry.Registry }

func (d documents) Newest(resource string) (int, bool) {
	doc, err := d.r.Get(resource)
	return doc.Version, err == nil && !doc.Exported
}

func (d documents) Back(ctx context.Context, resource string, from, to int, author, why string) error {
	now, err := d.r.Get(resource)
	if errors.Is(err, store.ErrNotFound) || err == nil && now.Version != to {
		return nil // somebody went on meanwhile
	}
	old, err := d.r.At(ctx, resource, from)
	if err != nil {
		return err
	}
	_, err = d.r.Put(ctx, registry.Edit{Name: resource, Data: old.Text, Author: author, Why: why, If: &now.Revision})
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// nothing is a fleet.Source of no resources.
type nothing struct{}

func (nothing) Revision() int64 { return 0 }
func (nothing) Resource(string, *fleet.Agent) (json.RawMessage, string, int64, bool) {
	return nil, "", 0, false
}
func (nothing) Commands(string, *fleet.Agent) []json.RawMessage { return nil }

// Plans and releases with the rooms that a centre puts them together with: the commands are those that package command has,
// and the documents go back.
func TestWithTheOtherRooms(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	db, err := bolt.Open(t.TempDir(), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	st := audit.Wrap(db, audit.Options{Center: "one", Log: log})
	docs, err := registry.Open(t.Context(), registry.Options{Store: st, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer docs.Close()
	infos := []rollout.Info{{Name: "feed-cache", Kind: "redis", Groups: []rollout.Group{{Name: "yf", Weight: 100}, {Name: "tc"}}}}
	commands, err := command.Open(t.Context(), command.Options{Store: st, Log: log, Resources: func() []command.ResourceInfo {
		return []command.ResourceInfo{{Name: "feed-cache", Kind: "redis", IDCs: []string{"yf", "tc"}, Groups: []string{"yf", "tc"}}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer commands.Close()
	calls, err := series.Open(series.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer calls.Close()
	f, err := fleet.New(fleet.Options{Source: nothing{}, Log: log, Name: "one", Cluster: st.Cluster()})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close(t.Context())
	r, err := rollout.Open(t.Context(), rollout.Options{Store: st, Commands: commands, Fleet: agents{f}, Series: numbers{calls}, Documents: documents{docs},
		Resources: func() []rollout.Info { return infos }, Log: log, Poll: time.Millisecond, Grace: time.Millisecond, Settle: 20 * time.Millisecond,
		Actor: func(ctx context.Context, who, what, target, why string) context.Context {
			return audit.By(ctx, audit.Actor{Who: who, What: what, Target: target, Why: why})
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	t.Run("plan", func(t *testing.T) { aPlan(t, r, commands) })
	t.Run("release", func(t *testing.T) { aRelease(t, r, docs) })
	if _, err := st.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

func aPlan(t *testing.T, r *rollout.Rollouts, commands *command.Commands) {
	steps, problems := rollout.Move("yf", "tc", command.Selector{Kind: "redis"}, []rollout.Info{
		{Name: "feed-cache", Kind: "redis", Groups: []rollout.Group{{Name: "yf", Weight: 100}, {Name: "tc"}}},
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	p := rollout.Plan{Name: "move", Steps: steps, For: resources.Duration(time.Hour)}
	p.Author = "ana"
	p, err := r.AddPlan(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.RunPlan(t.Context(), p.ID, rollout.Start{By: "ana"}); err == nil {
		t.Fatal("no agent says anything of the target, and it ran")
	}
	if _, err := r.RunPlan(t.Context(), p.ID, rollout.Start{By: "ana", Override: map[string]string{"targets": "nobody is there yet"}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { got, _ := r.Plan(p.ID); return got.State == rollout.Done })
	eventually(t, func() bool { return len(commands.List()) == 1 })
	c := commands.List()[0]
	if c.Plan != p.ID || c.Step != 1 || c.Author != "ana" || c.Weights["tc"] != 100 || c.Expires == nil || c.Percent != 100 {
		t.Errorf("%+v", c)
	}
	if err := r.Undo(t.Context(), p.ID, "bo", "repaired"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { got, _ := r.Plan(p.ID); return got.State == rollout.Undone && len(commands.List()) == 0 })
	history, err := commands.History(t.Context())
	if err != nil || len(history) != 1 || history[0].How != command.Undone || history[0].By != "bo" || history[0].Command.ID != c.ID {
		t.Errorf("history: %+v, %v", history, err)
	}
}

func aRelease(t *testing.T, r *rollout.Rollouts, docs *registry.Registry) {
	put := func(timeout string) registry.Doc {
		doc, err := docs.Put(t.Context(), registry.Edit{Name: "feed-cache", Author: "ana", Data: []byte(
			"kind: redis\npolicy: {timeout: " + timeout + "}\ngroups: {yf: {endpoints: ['127.0.0.1:6379']}}\n")})
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	first := put("1s")
	rel := rollout.Release{Resource: "feed-cache", From: first.Version, To: first.Version + 1}
	rel.Author, rel.Stages = "ana", []rollout.Stage{{Share: 10}, {Share: 100}}
	rel, err := r.AddRelease(t.Context(), rel)
	if err != nil {
		t.Fatal(err)
	}
	put("2s")
	if _, err := r.RunRelease(t.Context(), rel.ID, "ana"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { got, _ := r.Release(rel.ID); return got.State == rollout.Done })
	if err := r.Undo(t.Context(), rel.ID, "bo", ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { got, _ := r.Release(rel.ID); return got.State == rollout.Undone })
	if doc, err := docs.Get("feed-cache"); err != nil || doc.Version != first.Version+2 || string(doc.Text) != string(first.Text) {
		t.Errorf("%+v, %v", doc, err)
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("not within 20 s")
		}
		time.Sleep(time.Millisecond)
	}
}
