package registry

import (
	"context"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

// listed returns the keys of all documents, and the revision at which they were.
func (r *Registry) listed() (keys []string, after int64) {
	for _, name := range r.table.Load().names {
		if v := r.view(name); v.doc != nil || v.mark != nil {
			keys = append(keys, docPrefix+name)
		}
	}
	return keys, r.revision.Load()
}

// apply takes over what changed at one revision.
func (r *Registry) apply(b store.Batch) {
	type parsed struct {
		name string
		doc  *document
		mark *Doc
	}
	var all []parsed
	for _, c := range b.Changes {
		p := parsed{name: strings.TrimPrefix(c.Key, docPrefix)}
		if !c.Deleted {
			rec, err := decodeRecord(c.Value)
			switch {
			case err != nil:
				r.log.Error("a resource in the store cannot be read", "resource", p.name, "error", err)
				p.doc = &document{Doc: Doc{Name: p.name, Revision: c.Revision, Problem: err.Error()}}
			case rec.Deleted:
				p.mark = rec.doc(p.name, c.Revision)
			default:
				p.doc = r.parseRecord(p.name, rec, c.Revision)
				if p.doc.Problem != "" {
					r.log.Error("a resource in the store is not valid for this centre: what it served before stays",
						"resource", p.name, "version", rec.Version, "error", p.doc.Problem)
				}
			}
		}
		all = append(all, p)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.Revision > r.revision.Load() {
		r.revision.Store(b.Revision)
	}
	next := make(map[string]*view, len(all))
	now := r.now()
	for _, p := range all {
		old := r.view(p.name)
		if old != nil && p.doc != nil && old.doc != nil && p.doc.Revision <= old.doc.Revision {
			continue // read again, and not changed
		}
		if p.doc != nil {
			p.doc.note(old, now)
		}
		r.settle(p.name, p.doc, now)
		next[p.name] = r.rebuild(p.name, old, p.doc, p.mark)
	}
	r.putAll(next)
	close(r.seen)
	r.seen = make(chan struct{})
	r.signal()
}

// await waits until what changed at a revision is served, or for long enough.
func (r *Registry) await(ctx context.Context, revision int64) {
	t := time.NewTimer(seenTimeout)
	defer t.Stop()
	for {
		r.mu.Lock()
		seen := r.seen
		r.mu.Unlock()
		if r.revision.Load() >= revision {
			return
		}
		select {
		case <-seen:
		case <-r.closed:
			return
		case <-ctx.Done():
			return
		case <-t.C:
			return
		}
	}
}
