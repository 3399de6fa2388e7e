package registry

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/sluice-mesh/sluice/config"
)

// text is a document that is being edited. It is written back in the form in which it was read: JSON, or YAML with its
// comments.
type text struct {
	tree     mapping
	json     bool
	comments yaml.CommentMap
}

func openText(b []byte) (*text, error) {
	t := &text{json: isJSON(b), comments: yaml.CommentMap{}}
	var tree any
	var err error
	if t.json {
		tree, err = decodeJSON(b)
	} else {
		tree, err = decodeYAML(b, t.comments)
	}
	if err != nil {
		return nil, err
	}
	m, ok := tree.(mapping)
	if !ok {
		return nil, errors.New("the document is not a map")
	}
	t.tree = m
	return t, nil
}

// faithful checks that the text, which was before, would be written back with the meaning that config finds in it. YAML has
// corners in which config and the library that writes it may differ; there a document can only be replaced whole.
func (t *text) faithful(opt config.Options, name string, before []byte) error {
	if t.json {
		return nil
	}
	meant, err := parseDocument(opt, name, before)
	if err != nil {
		return nil // it is no valid document now; what it becomes is checked as any other
	}
	out, err := t.bytes()
	if err != nil {
		return err
	}
	written, err := parseDocument(opt, name, out)
	if err == nil {
		var a, b json.RawMessage
		if a, err = specJSON(meant); err == nil {
			if b, err = specJSON(written); err == nil && bytes.Equal(a, b) {
				return nil
			}
		}
	}
	return fmt.Errorf("the document uses a form of YAML that cannot be changed in place: write it as a whole (%w)",
		cmp.Or(err, errors.New("it would come back with another meaning")))
}

// bytes writes the text. What the YAML library would write is read again before it is taken: a comment that has no place
// any more is left out, and a value that would come back as another one makes the text JSON.
func (t *text) bytes() ([]byte, error) {
	js, err := encodeJSON(t.tree)
	if err != nil {
		return nil, fmt.Errorf("the document: %w", err)
	}
	if !t.json {
		if out, ok := t.yaml(js); ok {
			return out, nil
		}
	}
	var b bytes.Buffer
	if err := json.Indent(&b, js, "", "  "); err != nil {
		return nil, fmt.Errorf("the document: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

func (t *text) yaml(js []byte) ([]byte, bool) {
	plain := forYAML(t.tree)
	try := func(comments yaml.CommentMap) ([]byte, bool) {
		out, err := encodeYAML(plain, comments)
		if err != nil {
			return nil, false
		}
		back, err := decodeYAML(out, nil)
		if err != nil {
			return nil, false
		}
		again, err := encodeJSON(back)
		return out, err == nil && bytes.Equal(again, js)
	}
	if out, ok := try(t.comments); ok {
		return out, true
	}
	placed := yaml.CommentMap{}
	for path, c := range t.comments {
		if _, ok := try(yaml.CommentMap{path: c}); ok {
			placed[path] = c
		}
	}
	if out, ok := try(placed); ok {
		return out, true
	}
	return try(nil)
}

func encodeYAML(v any, comments yaml.CommentMap) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil { // see decodeYAML
			err = fmt.Errorf("the YAML library gave up (%v)", p)
		}
	}()
	options := []yaml.EncodeOption{yaml.Indent(2), yaml.IndentSequence(true)}
	if len(comments) > 0 {
		options = append(options, yaml.WithComment(comments))
	}
	return yaml.MarshalWithOptions(v, options...)
}

// forYAML gives the library the types that it knows.
func forYAML(v any) any {
	switch v := v.(type) {
	case mapping:
		m := make(yaml.MapSlice, len(v))
		for i, item := range v {
			m[i] = yaml.MapItem{Key: item.Key, Value: forYAML(item.Value)}
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i := range v {
			l[i] = forYAML(v[i])
		}
		return l
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
		return v.String()
	}
	return v
}

// removed tells the comments that the list at a path, such as groups.yf.endpoints, lost an item: those of the item go, and
// those of the items after it move up.
func (t *text) removed(i int, path ...string) {
	prefix := "$"
	for _, p := range path {
		if strings.ContainsAny(p, ".[]'*$ ") {
			p = "'" + p + "'"
		}
		prefix += "." + p
	}
	prefix += "["
	moved := make(yaml.CommentMap, len(t.comments))
	for at, c := range t.comments {
		rest, ok := strings.CutPrefix(at, prefix)
		digits, tail, closed := strings.Cut(rest, "]")
		n, err := strconv.Atoi(digits)
		switch {
		case !ok || !closed || err != nil || n < i:
			moved[at] = c
		case n > i:
			moved[prefix+strconv.Itoa(n-1)+"]"+tail] = c
		}
	}
	t.comments = moved
}

// mergePatch applies a JSON merge patch (RFC 7396).
func mergePatch(target, patch any) any {
	p, ok := patch.(mapping)
	if !ok {
		return patch
	}
	out := asMapping(target).clone()
	for _, item := range p {
		key := keyText(item.Key)
		if item.Value == nil {
			out = out.without(key)
			continue
		}
		old, _ := out.get(key)
		out = out.set(key, mergePatch(old, item.Value))
	}
	if out == nil {
		out = mapping{}
	}
	return out
}

// sameTree reports whether two trees say the same, whatever the order of their keys.
func sameTree(a, b any) bool { return reflect.DeepEqual(plainValue(a), plainValue(b)) }
