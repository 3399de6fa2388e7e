package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/protocols/control"
)

// version is what agents get of a resource while a release leaves them with a document that is not the newest one.
type version struct {
	doc  *document
	made *effective
}

const (
	// keptMade is how many versions of a resource are kept up to date beside the newest: a release needs one.
	keptMade = 2
	// versionTimeout bounds how long a version is waited for that was not read before.
	versionTimeout = time.Second
)

// EffectiveAt is Effective with a version of the document in place of the newest one: what agents export is in it as well, and is
// kept up to date. It waits for the store, for up to a second, when the version was not asked for lately.
func (r *Registry) EffectiveAt(name string, number int) (spec json.RawMessage, hash string, err error) {
	v := r.view(name)
	if v == nil || v.doc == nil {
		return nil, "", fmt.Errorf("resource %s has no document: %w", name, store.ErrNotFound)
	}
	if made := v.at(number); made != nil {
		return made.spec, made.hash, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), versionTimeout)
	defer cancel()
	doc, err := r.at(ctx, name, number)
	if err != nil {
		return nil, "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	made, err := r.render(name, doc)
	if err != nil {
		return nil, "", fmt.Errorf("version %d of resource %s: %w", number, name, err)
	}
	if now := r.view(name); now != nil && now.doc != nil && now.at(number) == nil {
		next := *now
		next.versions = append(slices.Clone(now.versions[max(0, len(now.versions)+1-keptMade):]), version{doc, made})
		r.put(name, &next)
	}
	return made.spec, made.hash, nil
}

// at returns what is made of a version, if that is known.
func (v *view) at(number int) *effective {
	if v.doc.Version == number && v.problem == "" {
		return v.made
	}
	for i := range v.versions {
		if v.versions[i].doc.Version == number {
			return v.versions[i].made
		}
	}
	return nil
}

// render puts a version together with what agents export now. mu is held.
func (r *Registry) render(name string, doc *document) (*effective, error) {
	spec, err := r.merge(name, doc, &Outline{})
	if err != nil {
		return nil, err
	}
	return &effective{spec: spec, hash: control.Hash(spec), revision: r.revision.Load()}, nil
}

// remake brings the versions of a view up to date, and reports whether one is another than before. What cannot be made stays. mu is held.
func (r *Registry) remake(name string, old []version) (all []version, changed bool) {
	for _, v := range old {
		if made, err := r.render(name, v.doc); err == nil && made.hash != v.made.hash {
			v.made, changed = made, true
		}
		all = append(all, v)
	}
	return all, changed
}
