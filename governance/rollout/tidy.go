package rollout

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

const (
	kept      = 500 // plans that are over, and releases likewise
	tidyEvery = time.Hour
)

// tidy forgets the oldest plans and releases that are over beyond the bound. Drafts stay.
func (r *Rollouts) tidy(ctx context.Context, l store.Leadership) error {
	var old []work
	plans := slices.DeleteFunc(r.Plans(), func(p Plan) bool {
		return p.State != Failed && p.State != Undone && (p.State != Done || p.Given() && !p.Expired)
	})
	for i := kept; i < len(plans); i++ {
		old = append(old, &plans[i])
	}
	releases := slices.DeleteFunc(r.Releases(), func(rel Release) bool { return !rel.over() })
	for i := kept; i < len(releases); i++ {
		old = append(old, &releases[i])
	}
	as := r.opt.Actor(ctx, "center "+r.opt.Me, "forget", "rollouts that are over", "")
	for _, w := range old {
		revision, err := r.opt.Store.Commit(as, store.Txn{
			If:   []store.Cond{l.Guard(), {Key: w.key(), Revision: w.course().Revision}},
			Then: []store.Op{{Key: w.key(), Delete: true}},
		})
		switch {
		case err == nil:
			r.put(w.key(), nil, revision)
		case isKey(err, l.Guard().Key):
			return errReplaced
		case !errors.Is(err, store.ErrConflict):
			return err
		}
	}
	return nil
}
