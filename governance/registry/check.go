package registry

import (
	"fmt"

	"github.com/sluice-mesh/sluice/governance/store"
)

// Check parses a document without writing it. The Doc has what follows from the text: kind, labels, spec. An invalid text gives a
// *config.Errors with line and column of each problem.
func (r *Registry) Check(name string, data []byte) (Doc, error) {
	if err := checkName("resource", name); err != nil {
		return Doc{}, err
	}
	d := &document{Doc: Doc{Name: name, Text: data}}
	err := r.parse(d)
	return d.Doc, err
}

// CheckEdit is Check for a change that Put would refuse for another reason too: its notes, or a revision that is not the newest, as
// far as this centre knows, which gives a *store.ConflictError.
func (r *Registry) CheckEdit(e Edit) (Doc, error) {
	if err := checkNotes(e.Author, e.Why); err != nil {
		return Doc{}, err
	}
	if e.If != nil {
		have := int64(0)
		if d, err := r.Get(e.Name); err == nil && !d.Deleted {
			have = d.Revision
		}
		if have != *e.If {
			return Doc{}, fmt.Errorf("resource %s: %w", e.Name, &store.ConflictError{Key: docPrefix + e.Name, Want: *e.If, Have: have})
		}
	}
	return r.Check(e.Name, e.Data)
}
