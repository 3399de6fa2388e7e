package rollout

import (
	"context"
	"fmt"
	"slices"

	"github.com/sluice-mesh/sluice/governance/store"
)

// steer changes a record as f says, whoever else changes it meanwhile.
func (r *Rollouts) steer(ctx context.Context, id string, f func(work) error) (work, error) {
	var err error
	for range attempts {
		var w work
		if w, err = r.fresh(ctx, id); err != nil {
			return nil, err
		}
		c := w.course()
		before := c.State
		if err = f(w); err != nil {
			return nil, err
		}
		if before == Undoing && c.State == Undoing {
			return w, nil
		}
		t := store.Txn{If: []store.Cond{{Key: w.key(), Revision: c.Revision}}}
		if rel, ok := w.(*Release); ok && before == Done { // it is on its way again
			pin := pinPrefix + rel.Resource
			t.If = append(t.If, store.Cond{Key: pin})
			t.Then = append(t.Then, store.Op{Key: pin, Value: []byte(rel.ID)})
		}
		if err = r.write(ctx, w, t); err == nil {
			return w, nil
		}
		if !isKey(err, w.key()) {
			return nil, err
		}
	}
	return nil, err
}

// fresh reads a plan or release from the store.
func (r *Rollouts) fresh(ctx context.Context, id string) (work, error) {
	key, what := planPrefix+id, "plan "
	if isRelease(id) {
		key, what = releasePrefix+id, "release "
	}
	e, err := r.opt.Store.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", what, id, err)
	}
	r.put(key, e.Value, e.Revision)
	w, err := open(key, record{value: e.Value, revision: e.Revision})
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", what, id, err)
	}
	return w, nil
}

// write commits a record, with what else the transaction holds.
func (r *Rollouts) write(ctx context.Context, w work, t store.Txn) error {
	value, err := encode(w)
	if err != nil {
		return fmt.Errorf("%s: %w", w.key(), err)
	}
	t.Then = append(t.Then, store.Op{Key: w.key(), Value: value})
	revision, err := r.opt.Store.Commit(ctx, t)
	if err != nil {
		return fmt.Errorf("%s could not be kept: %w", w.key(), err)
	}
	w.course().Revision = revision
	r.put(w.key(), value, revision)
	return nil
}

// keys returns the keys of what the leader may have something to do with.
func (r *Rollouts) keys() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for key, rec := range r.records {
		if !rec.idle {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// current decodes a record of the cache; nil if it is gone or damaged.
func (r *Rollouts) current(key string) work {
	r.mu.Lock()
	rec := r.records[key]
	r.mu.Unlock()
	if rec.value == nil {
		return nil
	}
	w, err := open(key, rec)
	if err != nil {
		r.opt.Log.Error("a plan or release in the store cannot be read", "key", key, "error", err)
		return nil
	}
	return w
}
