package governance

import (
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/governance/registry"
	"github.com/sluice-mesh/sluice/governance/rollout"
	"github.com/sluice-mesh/sluice/resources"
	_ "github.com/sluice-mesh/sluice/resources/redis" // the kind of the document
)

// Plans and releases with the rooms that a centre puts them together with: the commands are those that package command has, and the
// documents go back.
func TestRolloutsWithTheOtherRooms(t *testing.T) {
	z := opened(t)
	z.rollouts.Close()
	o := z.rolloutOptions()
	o.Poll, o.Grace, o.Settle = time.Millisecond, time.Millisecond, 20*time.Millisecond
	r, err := rollout.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	z.put(t, "feed-cache", cacheYAML)
	t.Run("plan", func(t *testing.T) { aPlan(t, r, z) })
	t.Run("release", func(t *testing.T) { aRelease(t, r, z.registry) })
	if _, err := z.audit.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

func aPlan(t *testing.T, r *rollout.Rollouts, z *Center) {
	commands := z.commands
	steps, problems := rollout.Move("yf", "tc", command.Selector{Kind: "redis"}, z.rolloutInfos())
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
