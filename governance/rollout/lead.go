package rollout

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

// office is what the centres elect the one for that carries out plans and releases.
const office = "rollouts"

// forever is longer than anything waits: somebody wakes the leader first.
const forever = time.Hour

// lead carries out plans and releases whenever this process leads.
func (r *Rollouts) lead(ctx context.Context) {
	store.Reign(ctx, r.opt.Store, office, r.opt.Me, "carrying out plans and releases", r.opt.Log, r.reign)
}

// errReplaced ends a leader's work: another one leads.
var errReplaced = errors.New("another centre leads")

// reign does the leader's work until the leadership is lost.
func (r *Rollouts) reign(ctx context.Context, l store.Leadership) error {
	r.since.Store(r.opt.Now().UnixNano())
	next := time.NewTimer(0)
	defer next.Stop()
	tidied := time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.Lost():
			return nil
		case <-r.wake:
		case <-next.C:
		}
		if now := r.opt.Now(); now.Sub(tidied) >= tidyEvery {
			tidied = now
			if err := r.tidy(ctx, l); err != nil {
				r.opt.Log.Warn("plans that are over could not be forgotten", "error", err, "retry", tidyEvery)
			}
		}
		wait := forever
		for _, key := range r.keys() {
			d, err := r.advance(ctx, l, key)
			switch {
			case err == nil:
			case errors.Is(err, errReplaced), errors.Is(err, store.ErrClosed), ctx.Err() != nil:
				return nil
			default:
				r.opt.Log.Warn("a plan or release does not go on for now", "key", key, "error", err, "retry", r.opt.Poll)
				d = r.opt.Poll
			}
			wait = min(wait, d)
		}
		next.Reset(wait)
	}
}

// advance moves a plan or release on until it has to wait, and returns for how long at most.
func (r *Rollouts) advance(ctx context.Context, l store.Leadership, key string) (time.Duration, error) {
	for ctx.Err() == nil {
		w := r.current(key)
		if w == nil {
			return forever, nil
		}
		m, err := r.next(ctx, w)
		if err != nil {
			return 0, err
		}
		if m == nil || !m.commit {
			if m == nil {
				return forever, nil
			}
			return m.wait, nil
		}
		if err := r.commit(ctx, l, w, m); err != nil {
			return 0, err
		}
	}
	return 0, ctx.Err()
}

// commit makes a move, unless the record or the leadership is another one by now.
func (r *Rollouts) commit(ctx context.Context, l store.Leadership, w work, m *move) error {
	c := w.course()
	m.txn.If = append(m.txn.If, l.Guard(), store.Cond{Key: w.key(), Revision: c.Revision})
	as := r.opt.Actor(ctx, "center "+r.opt.Me, m.what, c.ID, c.Reason)
	err := r.write(as, w, m.txn)
	if err == nil {
		r.opt.Log.Info("rollout", "id", c.ID, "what", m.what, "state", string(c.State), "reason", c.Reason)
		return nil
	}
	if isKey(err, l.Guard().Key) {
		return errReplaced
	}
	// Somebody else was first, or it is not known whether it was kept: what is in the store counts.
	if _, lost := r.fresh(ctx, c.ID); lost != nil {
		if errors.Is(lost, store.ErrNotFound) {
			return nil // removed; the watch says so too
		}
		return errors.Join(err, lost)
	}
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}
