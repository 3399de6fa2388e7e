package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/sluice-mesh/sluice/governance/store"
)

// Edit is a change of a document.
type Edit struct {
	Name   string
	Data   []byte // the document as YAML or JSON; for Patch a JSON merge patch
	Author string // who makes the change; required
	Why    string // what for
	// If is the Doc.Revision that the author has seen: another one makes the error store.ErrConflict. 0 means that there is
	// no document yet. With nil the change holds for the document as it is by now.
	If *int64
	// Base is, for SaveDraft, the Doc.Revision that the text was begun from. With nil it is that of the draft before, or the
	// newest.
	Base *int64
}

// maxNote bounds an author and a reason, in bytes.
const maxNote = 4 << 10

// attempts bounds how often a change without Edit.If is made again because another one came before it.
const attempts = 20

// current is a document in the store, at the beginning of a change.
type current struct {
	name     string
	rec      record
	revision int64 // of its key; 0: there never was one
}

func (c *current) exists() bool { return c.revision > 0 && !c.rec.Deleted }

// errSame ends a change that changes nothing.
var errSame = errors.New("nothing changes")

// change makes a new version of a document. build gets the document as it is and fills in the next one: its text, or that
// it is deleted. also is part of the same transaction.
func (r *Registry) change(ctx context.Context, e Edit, also store.Txn, build func(cur *current, next *record) error) (Doc, error) {
	doc, err := r.tryChange(ctx, e, also, build)
	if err != nil {
		return Doc{}, fmt.Errorf("resource %s: %w", e.Name, err)
	}
	r.await(ctx, doc.Revision)
	return doc, nil
}

func (r *Registry) tryChange(ctx context.Context, e Edit, also store.Txn, build func(*current, *record) error) (Doc, error) {
	for attempt := 1; ; attempt++ {
		cur, err := r.begin(ctx, e)
		if err != nil {
			return Doc{}, err
		}
		next := record{Version: cur.rec.Version + 1, Author: e.Author, Why: e.Why, Changed: r.now().UTC()}
		switch err := build(cur, &next); {
		case errors.Is(err, errSame):
			return r.parseRecord(e.Name, cur.rec, cur.revision).Doc, nil
		case err != nil:
			return Doc{}, err
		}
		doc := &document{Doc: *next.doc(e.Name, 0)}
		if !next.Deleted {
			if err := r.parse(doc); err != nil {
				return Doc{}, err
			}
			if r.opt.Allow != nil {
				if err := r.opt.Allow(ctx, e.Name, doc.Spec); err != nil {
					return Doc{}, err
				}
			}
		}
		doc.Revision, err = r.commit(ctx, cur, next, also)
		if err == nil {
			return doc.Doc, nil
		}
		if !errors.Is(err, store.ErrConflict) || e.If != nil || attempt == attempts {
			return Doc{}, err
		}
	}
}

// read gets a document from the store, where it may be newer than what the watch has brought.
func (r *Registry) read(ctx context.Context, name string) (*current, error) {
	cur := &current{name: name}
	entry, err := r.opt.Store.Get(ctx, docPrefix+name)
	if errors.Is(err, store.ErrNotFound) {
		return cur, nil
	}
	if err != nil {
		return nil, err
	}
	cur.revision = entry.Revision
	cur.rec, err = decodeRecord(entry.Value)
	return cur, err
}

// check compares the document with what the author has seen.
func (c *current) check(seen *int64) error {
	have := c.revision
	if !c.exists() {
		have = 0
	}
	if seen == nil || *seen == have {
		return nil
	}
	return &store.ConflictError{Key: docPrefix + c.name, Want: *seen, Have: have}
}

// commit writes a version, and forgets the one that is too old by now.
func (r *Registry) commit(ctx context.Context, cur *current, next record, also store.Txn) (int64, error) {
	value, err := encode("the document", &next)
	if err != nil {
		return 0, err
	}
	t := store.Txn{
		If: append([]store.Cond{{Key: docPrefix + cur.name, Revision: cur.revision}}, also.If...),
		Then: append([]store.Op{
			{Key: docPrefix + cur.name, Value: value},
			{Key: versionKey(cur.name, next.Version), Value: value},
		}, also.Then...),
	}
	if old := next.Version - keptOf; old > 0 {
		t.Then = append(t.Then, store.Op{Key: versionKey(cur.name, old), Delete: true})
	}
	return r.opt.Store.Commit(ctx, t)
}

// Seen says what would refuse a change before its text is looked at: its name, its notes, and a document that is another one than
// Edit.If by now, as store.ErrConflict. The errors are those that the change itself would have.
func (r *Registry) Seen(ctx context.Context, e Edit) error {
	if _, err := r.begin(ctx, e); err != nil {
		return fmt.Errorf("resource %s: %w", e.Name, err)
	}
	return nil
}

// begin reads the document that is to be changed, if it is the one that the author has seen.
func (r *Registry) begin(ctx context.Context, e Edit) (*current, error) {
	if err := checkName("resource", e.Name); err != nil {
		return nil, err
	}
	if err := CheckNotes(e.Author, e.Why); err != nil {
		return nil, err
	}
	cur, err := r.read(ctx, e.Name)
	if err != nil {
		return nil, err
	}
	return cur, cur.check(e.If)
}

// CheckNotes says whether an author and a reason can be kept with a change, of whatever kind.
func CheckNotes(author, why string) error {
	switch {
	case author == "":
		return errors.New("a change needs an author")
	case len(author) > maxNote || len(why) > maxNote:
		return fmt.Errorf("author and reason have at most %d bytes each", maxNote)
	}
	return nil
}

// Put writes a document, new or changed. A text that is the same as before makes no new version. An invalid one gives a
// *config.Errors with line and column of each problem.
func (r *Registry) Put(ctx context.Context, e Edit) (Doc, error) {
	return r.change(ctx, e, store.Txn{}, func(cur *current, next *record) error {
		return cur.become(next, e.Data)
	})
}

// become puts a text into the next version, unless it is there already.
func (c *current) become(next *record, data []byte) error {
	if c.exists() && c.rec.Text == string(data) {
		return errSame
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return errors.New("the document is empty: write at least kind and groups; to remove a resource delete it")
	}
	next.Text = string(data)
	return nil
}

// missing is the error for a document that should be there.
func (c *current) missing() error {
	if c.rec.Deleted {
		return fmt.Errorf("it was deleted by %s (version %d): %w", c.rec.Author, c.rec.Version, store.ErrNotFound)
	}
	return fmt.Errorf("it has no document: %w", store.ErrNotFound)
}

// Patch changes a document by a JSON merge patch (RFC 7396): keys that are null are removed, lists are replaced whole. What
// the patch does not name stays as it was written, comments included.
func (r *Registry) Patch(ctx context.Context, e Edit) (Doc, error) {
	if len(e.Data) > maxText {
		return Doc{}, fmt.Errorf("resource %s: the patch has %d bytes: the limit is %d", e.Name, len(e.Data), maxText)
	}
	patch, err := decodeJSON(e.Data)
	if err != nil {
		return Doc{}, fmt.Errorf("resource %s: the patch: %w", e.Name, err)
	}
	if _, ok := patch.(mapping); !ok {
		return Doc{}, fmt.Errorf(`resource %s: the patch is not a map: write what changes, such as {"policy": {"timeout": "2s"}}`, e.Name)
	}
	return r.edit(ctx, e, func(t *text) error {
		t.tree = asMapping(mergePatch(t.tree, patch))
		return nil
	})
}

// edit changes the tree of a document.
func (r *Registry) edit(ctx context.Context, e Edit, f func(*text) error) (Doc, error) {
	return r.change(ctx, e, store.Txn{}, func(cur *current, next *record) error {
		if !cur.exists() {
			return cur.missing()
		}
		return r.editText(cur, next, []byte(cur.rec.Text), f)
	})
}

// editText changes a text by its tree, if that makes a difference.
func (r *Registry) editText(cur *current, next *record, before []byte, f func(*text) error) error {
	t, err := openText(before)
	if err != nil {
		return err
	}
	if err := t.faithful(r.opt.Parse, cur.name, before); err != nil {
		return err
	}
	if err := f(t); err != nil {
		return err
	}
	if old, err := openText(before); err == nil && cur.exists() && sameTree(old.tree, t.tree) {
		return errSame
	}
	after, err := t.bytes()
	if err != nil {
		return err
	}
	return cur.become(next, after)
}

// Delete removes a document. Its versions stay, and Revert brings it back. What agents export of the resource stays too.
func (r *Registry) Delete(ctx context.Context, name, author, why string, seen *int64) (Doc, error) {
	return r.change(ctx, Edit{Name: name, Author: author, Why: why, If: seen}, store.Txn{}, func(cur *current, next *record) error {
		if !cur.exists() {
			return cur.missing()
		}
		next.Deleted = true
		return nil
	})
}
