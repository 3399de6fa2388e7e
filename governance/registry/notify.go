package registry

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
)

// OnChange calls f after each change of what Effective gives, with the resources that changed, sorted, and the revision of
// the documents. Changes within 20 ms are told at once. f is called from one goroutine, with no lock held, and must not wait:
// the time of grace does not go on meanwhile. The function that is returned ends it.
func (r *Registry) OnChange(f func(names []string, revision int64)) (cancel func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := r.nextSub
	r.nextSub++
	r.subs[id] = f
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.subs, id)
	}
}

// signal wakes keep.
func (r *Registry) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// keep has the clock: it ends times of grace, rebuilds what exports changed, and tells what changed.
func (r *Registry) keep(ctx context.Context) {
	complete := time.NewTimer(r.opt.Grace)
	defer complete.Stop()
	next := time.NewTimer(r.opt.Grace)
	defer next.Stop()
	var told time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-complete.C:
			r.recall(ctx)
			close(r.complete)
			if r.tell() {
				told = r.now()
			}
			continue
		case <-next.C:
			r.endGrace()
		case <-r.wake:
		}
		if wait := coalesce - r.now().Sub(told); wait > 0 && !told.IsZero() && !clock.Sleep(ctx, min(wait, coalesce)) {
			return
		}
		if r.tell() {
			told = r.now()
		}
		next.Reset(r.untilNextLeave())
	}
}

// tell rebuilds what is dirty and calls the subscribers, if anything changed.
func (r *Registry) tell() bool {
	r.mu.Lock()
	r.flush()
	names := slices.Sorted(maps.Keys(r.pending))
	clear(r.pending)
	revision := r.revision.Load()
	var subs []func([]string, int64)
	for _, id := range slices.Sorted(maps.Keys(r.subs)) {
		subs = append(subs, r.subs[id])
	}
	r.mu.Unlock()
	if len(names) == 0 {
		return false
	}
	for _, f := range subs {
		f(slices.Clone(names), revision)
	}
	return true
}

// flush makes the views of dirty resources anew. mu is held.
func (r *Registry) flush() {
	if len(r.dirty) == 0 {
		return
	}
	added := make(map[string]*view)
	for name := range r.dirty {
		old := r.view(name)
		if old == nil {
			added[name] = r.rebuild(name, nil, nil, nil)
		} else {
			r.put(name, r.rebuild(name, old, old.doc, old.mark))
		}
	}
	if len(added) > 0 {
		r.putAll(added)
	}
	clear(r.dirty)
}
