package rollout

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/sluice-mesh/sluice/governance/store"
)

func TestVersionAllocatesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
		if _, err := r.AddRelease(t.Context(), newRelease()); err != nil {
			t.Fatal(err)
		}
		n := testing.AllocsPerRun(1000, func() {
			r.Version("feed-cache", "web-1")
			r.Version("feed-db", "web-1")
		})
		if n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// What is over is kept up to a bound; what can still be undone, and drafts, always.
func TestOldOnesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newMesh()
		for i := range kept + 20 {
			p := moving()
			p.ID, p.State, p.Created = fmt.Sprintf("p-%08x", i), Undone, p.Created.AddDate(0, 0, i)
			switch i {
			case 0:
				p.State = Draft
			case 1:
				p.State, p.Steps[0].State, p.Steps[0].Given = Done, StepDone, "g"
			}
			value, err := encode(&p)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := z.m.Commit(t.Context(), store.Txn{Then: []store.Op{{Key: p.key(), Value: value}}}); err != nil {
				t.Fatal(err)
			}
		}
		r := z.open(t, z.m)
		defer r.Close()
		synctest.Wait()
		got := r.Plans()
		if len(got) != kept+2 || got[len(got)-1].ID != "p-00000000" || got[len(got)-2].ID != "p-00000001" {
			t.Errorf("%d are left", len(got))
		}
	})
}
