package rollout

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/resources"
)

func newRelease(change ...func(*Release)) Release {
	rel := Release{Resource: "feed-cache", From: 1, To: 2}
	rel.Author, rel.Why = "ana", "longer timeout"
	rel.Stages = []Stage{
		{Name: "canary", Agents: []string{"web-1"}, Bake: resources.Duration(time.Minute)},
		{Share: 100, Bake: resources.Duration(time.Minute)},
	}
	rel.Guards = Guards{Errors: 1}
	for _, f := range change {
		f(&rel)
	}
	return rel
}

func untilReleased(t *testing.T, r *Rollouts, id string, state State) Release {
	t.Helper()
	for range 24 * 3600 {
		if rel, _ := r.Release(id); rel.State == state {
			return rel
		}
		time.Sleep(time.Second)
	}
	rel, err := r.Release(id)
	t.Fatalf("never %s: %v %+v", state, err, rel)
	return rel
}

// versions counts the agents that get each version, "newest" being 0.
func (z *mesh) versions(r *Rollouts) map[int]int {
	out := make(map[int]int)
	for _, a := range z.Agents() {
		v, _ := r.Version("feed-cache", a.Name)
		out[v]++
	}
	return out
}

func release2(t *testing.T, z *mesh, r *Rollouts, rel Release) Release {
	t.Helper()
	z.change(func() { z.newest = 1 })
	rel, err := r.AddRelease(t.Context(), rel)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.RunRelease(t.Context(), rel.ID, "ana"); !errors.Is(err, ErrState) {
		t.Fatalf("run before it was published: %v", err)
	}
	z.change(func() { z.newest = 2 })
	if got := z.versions(r); got[1] != 10 {
		t.Fatalf("published, and not run: agents get %v", got)
	}
	if rel, err = r.RunRelease(t.Context(), rel.ID, "ana"); err != nil {
		t.Fatal(err)
	}
	return rel
}

func TestRelease(t *testing.T) {
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
		told := 0
		defer func() {
			if told < 4 { // pinned and canary, which may be told at once; all, over, back
				t.Errorf("told %d times", told)
			}
		}()
		defer r.OnServed(func(names []string, revision int64) {
			z.change(func() { told++ })
			if !slices.Equal(names, []string{"feed-cache"}) || revision > r.Revision() {
				t.Errorf("told of %v at %d", names, revision)
			}
		})()
		rel := release2(t, z, r, newRelease())
		if _, err := r.AddRelease(t.Context(), newRelease(func(rel *Release) { rel.To = 3 })); !errors.Is(err, store.ErrConflict) {
			t.Errorf("another one at once: %v", err)
		}
		time.Sleep(20 * time.Second)
		if got := z.versions(r); got[2] != 1 || got[1] != 9 {
			t.Errorf("canary: %v", got)
		}
		time.Sleep(70 * time.Second)
		if got := z.versions(r); got[2] != 10 {
			t.Errorf("all: %v", got)
		}
		rel = untilReleased(t, r, rel.ID, Done)
		if got := z.versions(r); got[0] != 10 {
			t.Errorf("after it: %v", got)
		}
		if err := r.Undo(t.Context(), rel.ID, "bo", "slower"); err != nil {
			t.Fatal(err)
		}
		if got := z.versions(r); got[1] != 10 {
			t.Errorf("back: %v", got)
		}
		untilReleased(t, r, rel.ID, Undone)
		if got := z.versions(r); got[0] != 10 || z.backs != 1 || z.newest != 3 {
			t.Errorf("after it went back: %v, %d times", got, z.backs)
		}
		if _, err := z.m.Get(t.Context(), pinPrefix+"feed-cache"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("pin: %v", err)
		}
	})
}

func TestOneRefusalStopsARelease(t *testing.T) {
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
		z.refuses["web-1"] = "policy.timeout: too long"
		rel := release2(t, z, r, newRelease())
		rel = untilReleased(t, r, rel.ID, Failed)
		if !strings.Contains(rel.Reason, "stage canary: refused: web-1 says of feed-cache: policy.timeout") || z.backs != 1 {
			t.Errorf("%s; back %d times", rel.Reason, z.backs)
		}
	})
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) { // a guard
		failing(z, time.Now(), func(w Window) bool { return len(w.Agents) > 0 })
		time.Sleep(time.Second)
		rel := release2(t, z, r, newRelease())
		rel = untilReleased(t, r, rel.ID, Failed)
		if !strings.Contains(rel.Reason, "guard errors") {
			t.Error(rel.Reason)
		}
	})
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) { // published over meanwhile: cannot go back behind it
		rel := release2(t, z, r, newRelease())
		untilReleased(t, r, rel.ID, Done)
		z.change(func() { z.newest = 3 })
		if err := r.Undo(t.Context(), rel.ID, "bo", ""); !errors.Is(err, ErrState) {
			t.Error(err)
		}
	})
}

func TestDraftOfAReleaseIsRemoved(t *testing.T) {
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
		rel, err := r.AddRelease(t.Context(), newRelease())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Remove(t.Context(), rel.ID); err != nil {
			t.Fatal(err)
		}
		if got := z.versions(r); got[0] != 10 {
			t.Errorf("after it: %v", got)
		}
		if _, err := r.AddRelease(t.Context(), newRelease()); err != nil {
			t.Errorf("once more: %v", err)
		}
	})
}
