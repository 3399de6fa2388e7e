package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/governance/store"
)

// Draft is a text that is being worked on. There is one for each resource, which its authors share.
type Draft struct {
	Name     string
	Text     []byte
	Author   string // of the last change
	Why      string
	Changed  time.Time
	Base     int64          // Doc.Revision that it was begun from; 0: a new resource
	Revision int64          // of the draft itself, for Edit.If of SaveDraft
	Problems *config.Errors // why it could not be published as it is; nil when it could
}

type draftRecord struct {
	Text    string    `json:"text"`
	Author  string    `json:"author"`
	Why     string    `json:"why,omitempty"`
	Changed time.Time `json:"changed"`
	Base    int64     `json:"base,omitempty"`
}

// SaveDraft keeps a text without publishing it; it need not be valid. Edit.If is compared with Draft.Revision. A text that
// holds a password instead of a reference is refused: what is saved is on disk.
func (r *Registry) SaveDraft(ctx context.Context, e Edit) (Draft, error) {
	d, err := r.saveDraft(ctx, e)
	if err != nil {
		return Draft{}, fmt.Errorf("draft of resource %s: %w", e.Name, err)
	}
	return d, nil
}

func (r *Registry) saveDraft(ctx context.Context, e Edit) (Draft, error) {
	if err := checkName("resource", e.Name); err != nil {
		return Draft{}, err
	}
	if err := CheckNotes(e.Author, e.Why); err != nil {
		return Draft{}, err
	}
	if len(e.Data) > maxText || !utf8.Valid(e.Data) {
		return Draft{}, fmt.Errorf("a draft is UTF-8 of at most %d bytes", maxText)
	}
	problems := r.problems(e.Name, e.Data)
	if err := heldSecret(problems); err != nil {
		return Draft{}, err
	}
	cur, err := r.read(ctx, e.Name)
	if err != nil {
		return Draft{}, err
	}
	rec := draftRecord{Text: string(e.Data), Author: e.Author, Why: e.Why, Changed: r.now().UTC()}
	if cur.exists() {
		rec.Base = cur.revision
	}
	for attempt := 1; ; attempt++ {
		before, had, err := r.readDraft(ctx, e.Name)
		if err != nil {
			return Draft{}, err
		}
		if e.If != nil && *e.If != before.Revision {
			return Draft{}, &store.ConflictError{Key: draftPrefix + e.Name, Want: *e.If, Have: before.Revision}
		}
		switch {
		case e.Base != nil:
			rec.Base = *e.Base
		case had:
			rec.Base = before.Base
		}
		value, err := encode("the draft", &rec)
		if err != nil {
			return Draft{}, err
		}
		revision, err := r.opt.Store.Commit(ctx, store.Txn{
			If:   []store.Cond{{Key: draftPrefix + e.Name, Revision: before.Revision}},
			Then: []store.Op{{Key: draftPrefix + e.Name, Value: value}},
		})
		if err == nil {
			return rec.draft(e.Name, revision, problems), nil
		}
		if !errors.Is(err, store.ErrConflict) || e.If != nil || attempt == attempts {
			return Draft{}, err
		}
	}
}

func (rec *draftRecord) draft(name string, revision int64, problems *config.Errors) Draft {
	return Draft{Name: name, Text: []byte(rec.Text), Author: rec.Author, Why: rec.Why, Changed: rec.Changed,
		Base: rec.Base, Revision: revision, Problems: problems}
}

// problems says what is wrong with a text; nil when nothing is.
func (r *Registry) problems(name string, data []byte) *config.Errors {
	_, err := parseDocument(r.opt.Parse, name, data)
	if err == nil {
		return nil
	}
	var all *config.Errors
	if errors.As(err, &all) {
		return all
	}
	return &config.Errors{Problems: []config.Problem{{File: name, Line: 1, Column: 1, Message: err.Error()}}}
}

// heldSecret finds a secret that is written out. Where config cannot tell what is a secret, the draft is taken: the words
// are config's own.
func heldSecret(problems *config.Errors) error {
	if problems == nil {
		return nil
	}
	for _, p := range problems.Problems {
		if strings.Contains(p.Message, "a secret must be") {
			return fmt.Errorf("line %d, %s: %s", p.Line, p.Path, p.Message)
		}
	}
	return nil
}

// Draft returns the draft of a resource, or store.ErrNotFound.
func (r *Registry) Draft(ctx context.Context, name string) (Draft, error) {
	if err := checkName("resource", name); err != nil {
		return Draft{}, err
	}
	d, had, err := r.readDraft(ctx, name)
	if err == nil && !had {
		err = store.ErrNotFound
	}
	if err != nil {
		return Draft{}, fmt.Errorf("draft of resource %s: %w", name, err)
	}
	d.Problems = r.problems(name, d.Text)
	return d, nil
}

func (r *Registry) readDraft(ctx context.Context, name string) (d Draft, had bool, err error) {
	e, err := r.opt.Store.Get(ctx, draftPrefix+name)
	if errors.Is(err, store.ErrNotFound) {
		return Draft{}, false, nil
	}
	if err != nil {
		return Draft{}, false, err
	}
	var rec draftRecord
	if err := json.Unmarshal(e.Value, &rec); err != nil {
		return Draft{}, false, fmt.Errorf("the record is damaged: %w", err)
	}
	return rec.draft(name, e.Revision, nil), true, nil
}

// Drafts returns all drafts by name, without looking for their problems.
func (r *Registry) Drafts(ctx context.Context) ([]Draft, error) {
	entries, _, err := r.opt.Store.List(ctx, draftPrefix)
	if err != nil {
		return nil, fmt.Errorf("drafts: %w", err)
	}
	out := make([]Draft, 0, len(entries))
	for _, e := range entries {
		var rec draftRecord
		if err := json.Unmarshal(e.Value, &rec); err != nil {
			return nil, fmt.Errorf("drafts: %s: the record is damaged: %w", e.Key, err)
		}
		out = append(out, rec.draft(strings.TrimPrefix(e.Key, draftPrefix), e.Revision, nil))
	}
	return out, nil
}

// DiscardDraft removes a draft; store.ErrNotFound if there is none.
func (r *Registry) DiscardDraft(ctx context.Context, name string) error {
	d, err := r.Draft(ctx, name)
	if err != nil {
		return err
	}
	_, err = r.opt.Store.Commit(ctx, store.Txn{
		If:   []store.Cond{{Key: draftPrefix + name, Revision: d.Revision}},
		Then: []store.Op{{Key: draftPrefix + name, Delete: true}},
	})
	if err != nil {
		return fmt.Errorf("draft of resource %s: %w", name, err)
	}
	return nil
}

// Publish makes the draft the newest version of its document and removes it, in one. The error is store.ErrConflict if the
// document or the draft changed since: the document compared with Draft.Base, the draft with seen, unless that is nil. An
// empty why is the draft's.
func (r *Registry) Publish(ctx context.Context, name, author, why string, seen *int64) (Doc, error) {
	d, err := r.Draft(ctx, name)
	if err != nil {
		return Doc{}, err
	}
	if seen != nil && *seen != d.Revision {
		return Doc{}, fmt.Errorf("draft of resource %s: %w", name,
			&store.ConflictError{Key: draftPrefix + name, Want: *seen, Have: d.Revision})
	}
	if why == "" {
		why = d.Why
	}
	e := Edit{Name: name, Author: author, Why: why, If: &d.Base}
	return r.publish(ctx, e, d)
}

func (r *Registry) publish(ctx context.Context, e Edit, d Draft) (Doc, error) {
	with := store.Txn{
		If:   []store.Cond{{Key: draftPrefix + e.Name, Revision: d.Revision}},
		Then: []store.Op{{Key: draftPrefix + e.Name, Delete: true}},
	}
	doc, err := r.change(ctx, e, with, func(cur *current, next *record) error { return cur.become(next, d.Text) })
	if err == nil && doc.Revision == d.Base { // it says what the document says: nothing was committed
		err = r.DiscardDraft(ctx, e.Name)
	}
	return doc, err
}
