package registry

import (
	"context"
	"time"
)

// recallTimeout bounds how long one resource's versions are looked for.
const recallTimeout = 5 * time.Second

// recall finds the last good version of documents from which nothing can be made, as when a centre starts that did not see it
// in force. It waits for the exports, since a document may leave its endpoints to agents.
func (r *Registry) recall(ctx context.Context) {
	for _, d := range r.List() {
		v := r.view(d.Name)
		if v == nil || v.doc == nil || v.made != nil {
			continue
		}
		good, err := r.lastGood(ctx, d.Name, d.Version)
		if err != nil {
			r.log.Error("nothing can be made of the newest version of a resource, and those before it cannot be read", "resource", d.Name, "error", err)
			continue
		}
		if good != nil && r.adopt(d, good) {
			r.log.Warn("nothing can be made of the newest version of a resource: the last good one stays", "resource", d.Name,
				"version", d.Version, "good", good.Version, "why", v.problem)
		}
	}
}

// lastGood returns the newest version before another one from which a spec can be made; nil when there is none. What came
// before a deletion does not count.
func (r *Registry) lastGood(ctx context.Context, name string, before int) (*document, error) {
	ctx, cancel := context.WithTimeout(ctx, recallTimeout)
	defer cancel()
	entries, _, err := r.opt.Store.List(ctx, versionPrefix+name+"/")
	if err != nil {
		return nil, err
	}
	for i := len(entries) - 1; i >= 0; i-- {
		rec, err := decodeRecord(entries[i].Value)
		switch {
		case err != nil:
			return nil, err
		case rec.Version >= before:
			continue
		case rec.Deleted:
			return nil, nil
		}
		doc := r.parseRecord(name, rec, entries[i].Revision)
		r.mu.Lock()
		spec, err := r.merge(name, doc, &Outline{})
		r.mu.Unlock()
		if err == nil && spec != nil {
			return doc, nil
		}
	}
	return nil, nil
}

// adopt makes a spec from a good version and keeps it as if the newest had come after it, unless that changed meanwhile.
func (r *Registry) adopt(newest Doc, good *document) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.view(newest.Name)
	if v == nil || v.doc == nil || v.doc.Revision != newest.Revision || v.made != nil {
		return false
	}
	before := r.rebuild(newest.Name, nil, good, nil)
	if before.made == nil {
		return false
	}
	r.putAll(map[string]*view{newest.Name: r.rebuild(newest.Name, before, v.doc, v.mark)})
	r.pending[newest.Name] = struct{}{}
	return true
}
