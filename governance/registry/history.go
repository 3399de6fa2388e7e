package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

// Version is one version of a document, without its text.
type Version struct {
	Version  int
	Revision int64 // of the store
	Author   string
	Why      string
	Changed  time.Time
	Deleted  bool // it is a deletion
}

// History returns the versions of a document that are kept, the newest first. That of a deleted document is kept too.
func (r *Registry) History(ctx context.Context, name string) ([]Version, error) {
	if err := checkName("resource", name); err != nil {
		return nil, err
	}
	entries, _, err := r.opt.Store.List(ctx, versionPrefix+name+"/")
	if err != nil {
		return nil, fmt.Errorf("history of resource %s: %w", name, err)
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("resource %s has no versions: %w", name, store.ErrNotFound)
	}
	out := make([]Version, 0, len(entries))
	for _, e := range entries {
		rec, err := decodeRecord(e.Value)
		if err != nil {
			return nil, fmt.Errorf("history of resource %s: %s: %w", name, e.Key, err)
		}
		out = append(out, Version{Version: rec.Version, Revision: e.Revision,
			Author: rec.Author, Why: rec.Why, Changed: rec.Changed, Deleted: rec.Deleted})
	}
	slices.Reverse(out)
	return out, nil
}

// At returns one version of a document.
func (r *Registry) At(ctx context.Context, name string, version int) (Doc, error) {
	d, err := r.at(ctx, name, version)
	if err != nil {
		return Doc{}, err
	}
	return d.Doc, nil
}

func (r *Registry) at(ctx context.Context, name string, version int) (*document, error) {
	if err := checkName("resource", name); err != nil {
		return nil, err
	}
	e, err := r.opt.Store.Get(ctx, versionKey(name, version))
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("resource %s has no version %d, or no longer (the last %d are kept): %w", name, version, keptOf, store.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("version %d of resource %s: %w", version, name, err)
	}
	rec, err := decodeRecord(e.Value)
	if err != nil {
		return nil, fmt.Errorf("version %d of resource %s: %w", version, name, err)
	}
	return r.parseRecord(name, rec, e.Revision), nil
}

// Revert makes an old version the newest one, as a new version; it brings a deleted document back. The text must be valid
// today. An empty why says which version it was.
func (r *Registry) Revert(ctx context.Context, name string, version int, author, why string) (Doc, error) {
	old, err := r.At(ctx, name, version)
	if err != nil {
		return Doc{}, err
	}
	if old.Deleted {
		return Doc{}, fmt.Errorf("version %d of resource %s is a deletion: choose a version with a text, or delete the resource", version, name)
	}
	if why == "" {
		why = fmt.Sprintf("back to version %d", version)
	}
	return r.Put(ctx, Edit{Name: name, Data: old.Text, Author: author, Why: why})
}
