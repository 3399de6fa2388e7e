package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/resources"
)

// Doc is a document as it stands, or one of its versions. What it holds is shared and must not be changed.
type Doc struct {
	Name     string
	Kind     string
	Labels   map[string]string
	Text     []byte          // as it was written: YAML or JSON; empty for a resource that is only exported, and for a deletion
	Spec     json.RawMessage // with all defaults, secrets as references, without listen unless it is written; nil if Problem
	Version  int             // from 1; 0 for a resource that is only exported
	Revision int64           // of the store, when the document last changed: what Edit.If is compared with; 0 if only exported
	Author   string
	Why      string
	Changed  time.Time
	Deleted  bool   // this version is a deletion
	Exported bool   // there is no document: agents export the resource
	Problem  string // why this centre cannot use it: it was written for another version of the program
}

// document is a Doc with what was parsed of it.
type document struct {
	Doc
	parsed *config.Resource // nil if Problem
	// since is when each endpoint came, by group and address, as far as this process has seen.
	since map[slotKey]time.Time
}

// record is what the store keeps of a version.
type record struct {
	Version int       `json:"version"`
	Text    string    `json:"text,omitempty"`
	Author  string    `json:"author"`
	Why     string    `json:"why,omitempty"`
	Changed time.Time `json:"changed"`
	Deleted bool      `json:"deleted,omitempty"`
}

// Keys in the store.
const (
	docPrefix     = "resources/"
	versionPrefix = "versions/"
	draftPrefix   = "drafts/"
)

func versionKey(name string, version int) string {
	return fmt.Sprintf("%s%s/%08d", versionPrefix, name, version)
}

func decodeRecord(value []byte) (record, error) {
	var rec record
	if err := json.Unmarshal(value, &rec); err != nil {
		return rec, fmt.Errorf("the record is damaged: %w", err)
	}
	return rec, nil
}

// encode writes a value for the store, without making <, > and & three times as long.
func encode(what string, v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if b.Len() > store.MaxValue {
		return nil, fmt.Errorf("%s takes %d bytes in the store: the limit is %d", what, b.Len(), store.MaxValue)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// doc returns the record without what is parsed of its text.
func (rec *record) doc(name string, revision int64) *Doc {
	return &Doc{Name: name, Text: []byte(rec.Text), Version: rec.Version, Revision: revision,
		Author: rec.Author, Why: rec.Why, Changed: rec.Changed, Deleted: rec.Deleted}
}

// parseRecord reads a text that is in the store already: what is wrong with it is noted, not refused.
func (r *Registry) parseRecord(name string, rec record, revision int64) *document {
	d := &document{Doc: *rec.doc(name, revision)}
	if rec.Deleted {
		return d
	}
	if err := r.parse(d); err != nil {
		d.Problem = err.Error()
	}
	return d
}

// parse fills in what follows from d.Text. The error is a *config.Errors with line and column, if the text is to blame.
func (r *Registry) parse(d *document) error {
	switch {
	case len(d.Text) > maxText:
		return fmt.Errorf("the document has %d bytes: the limit is %d", len(d.Text), maxText)
	case !utf8.Valid(d.Text):
		return errors.New("the document is not UTF-8")
	}
	parsed, err := parseDocument(r.opt.Parse, d.Name, d.Text)
	if err != nil {
		return err
	}
	spec, err := specJSON(parsed)
	if err != nil {
		return err
	}
	d.parsed, d.Spec, d.Kind, d.Labels = parsed, spec, parsed.Spec.Kind, parsed.Spec.Labels
	return nil
}

// Stand-ins for endpoints, which a document may leave to agents and config wants, while it is parsed.
const (
	anyGroup    = "none"
	anyEndpoint = "127.0.0.1:1"
)

// parseDocument is config's ParseResource for a document of the centre, which may leave out listen and endpoints. If config
// finds nothing wrong with the text but endpoints that are missing, it is parsed again with stand-ins in their places, which
// are taken out of the result.
func parseDocument(opt config.Options, name string, text []byte) (*config.Resource, error) {
	opt.ListenOptional = true
	parsed, err := opt.ParseResource(name, text)
	if err == nil {
		return parsed, nil
	}
	var all *config.Errors
	if !errors.As(err, &all) {
		return nil, err
	}
	others := &config.Errors{}
	for _, p := range all.Problems {
		if !leftOut(p) {
			others.Problems = append(others.Problems, p)
		}
	}
	if len(others.Problems) > 0 {
		return nil, others
	}
	t, err := openText(text) // it was within the bounds of config
	if err != nil {
		return nil, err
	}
	filled, empty := standIns(t.tree)
	js, err := encodeJSON(filled)
	if err != nil {
		return nil, err
	}
	if parsed, err = opt.ParseResource(name, js); err != nil {
		return nil, err
	}
	for _, g := range empty {
		group := parsed.Spec.Groups[g]
		group.Endpoints = []resources.EndpointSpec{}
		parsed.Spec.Groups[g] = group
	}
	if groups, _ := t.tree.get("groups"); len(asMapping(groups)) == 0 {
		parsed.Spec.Groups = map[string]resources.Group{}
	}
	return parsed, nil
}

// leftOut reports that a problem is only about what a document may leave out.
func leftOut(p config.Problem) bool {
	switch {
	case p.Path == "":
		return strings.HasPrefix(p.Message, "groups is missing:")
	case p.Path == "groups":
		return strings.HasPrefix(p.Message, "empty:")
	case strings.HasPrefix(p.Path, "groups."):
		return strings.HasPrefix(p.Message, "endpoints is missing:") ||
			strings.HasSuffix(p.Path, ".endpoints") && strings.HasPrefix(p.Message, "empty:")
	}
	return false
}

// standIns returns a copy of a document with stand-ins, and the groups that have no endpoint of their own.
func standIns(doc mapping) (filled mapping, empty []string) {
	given, _ := doc.get("groups")
	groups := asMapping(given).clone()
	for _, item := range groups {
		name := keyText(item.Key)
		group := asMapping(item.Value)
		list, _ := group.get("endpoints")
		if l, isList := list.([]any); list == nil || isList && len(l) == 0 {
			empty = append(empty, name)
			groups = groups.set(name, group.clone().set("endpoints", []any{anyEndpoint}))
		}
	}
	if len(groups) == 0 {
		groups = mapping{{Key: anyGroup, Value: mapping{{Key: "endpoints", Value: []any{anyEndpoint}}}}}
	}
	return doc.clone().set("groups", groups), empty
}

// specJSON is the resource as JSON in one line; a listen that nobody wrote is left out.
func specJSON(parsed *config.Resource) (json.RawMessage, error) {
	js, err := parsed.JSON()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Compact(&b, js); err != nil {
		return nil, fmt.Errorf("resource %s: %w", parsed.Spec.Name, err)
	}
	if len(parsed.Spec.Listen) > 0 {
		return b.Bytes(), nil
	}
	out := b.Bytes()
	at, length := -1, 0
	for _, none := range []string{`"listen":null,`, `"listen":[],`} {
		// Only name, kind and labels stand before it: texts, in which quotes are escaped. Settings, after it, may look alike.
		if i := bytes.Index(out, []byte(none)); i >= 0 && (at < 0 || i < at) {
			at, length = i, len(none)
		}
	}
	if at < 0 {
		return out, nil
	}
	return slices.Delete(out, at, at+length), nil
}

// note carries over since when each endpoint is there.
func (d *document) note(old *view, now time.Time) {
	d.since = make(map[slotKey]time.Time)
	if d.parsed == nil {
		return
	}
	for g, group := range d.parsed.Spec.Groups {
		for _, e := range group.Endpoints {
			key := slotKey{g, e.Address}
			at := d.Changed
			if old != nil && old.doc != nil {
				if before, ok := old.doc.since[key]; ok {
					at = before
				}
			}
			if at.After(now) { // another centre's clock is ahead
				at = now
			}
			d.since[key] = at
		}
	}
}

// lists reports whether the document names an endpoint itself.
func (d *document) lists(key slotKey) bool {
	if d == nil {
		return false
	}
	_, ok := d.since[key]
	return ok
}

// checkName refuses what cannot be a resource's or a group's name, by the rule of config.
func checkName(what, name string) error {
	ok := len(name) > 0 && len(name) <= 63 && name != "." && name != ".."
	for i, c := range name {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		ok = ok && (letter || i > 0 && strings.ContainsRune("._-", c))
	}
	if !ok {
		return fmt.Errorf("%q is no name for a %s: use letters, digits, and . _ - after the first, at most 63", name, what)
	}
	return nil
}
