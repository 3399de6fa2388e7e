package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/resources"
)

// decoder fills Go values from a tree and collects every problem instead of stopping at the first.
type decoder struct {
	file     string
	src      *source
	problems []Problem
	secrets  map[*node]resources.Secret // what was decoded as a secret
	options  Options
	remote   bool // from HTTP: secrets must be references
	anywhere bool // listen may be left out
	visited  int
	spent    bool // MaxNodes was reached and reported
}

// Optional methods of a value that is decoded; see resources.Spec.
type (
	setDefaulter    interface{ SetDefaults() }
	configValidator interface{ ValidateConfig() error }
	yamlUnmarshaler interface {
		UnmarshalYAML(func(any) error) error
	}
)

var (
	secretType = reflect.TypeFor[resources.Secret]()
	specType   = reflect.TypeFor[resources.Spec]()
)

func (d *decoder) report(n *node, path, format string, args ...any) {
	d.problems = append(d.problems, Problem{File: d.file, Line: n.line, Column: n.column, Path: path,
		Message: fmt.Sprintf(format, args...)})
}

// place is where a value stands: its path and the bounds of the field that holds it.
type place struct {
	path   string
	bounds string
}

func (p place) child(key string) place { return place{path: join(p.path, key)} }

func (p place) index(i int) place {
	return place{path: fmt.Sprintf("%s[%d]", p.path, i), bounds: p.bounds}
}

// value decodes n into v, which is addressable.
func (d *decoder) value(n *node, v reflect.Value, at place) {
	if d.visited++; d.visited > MaxNodes {
		if !d.spent {
			d.spent = true
			d.report(n, at.path, "too much: a config has at most %d values, with aliases counted each time", MaxNodes)
		}
		return
	}
	if v.Type() == secretType {
		d.secret(n, v, at)
		return
	}
	if v.Kind() != reflect.Pointer {
		switch u := v.Addr().Interface().(type) {
		case yamlUnmarshaler:
			d.unmarshaler(n, u, at)
			return
		case encoding.TextUnmarshaler:
			d.text(n, v, u, at)
			return
		}
	}
	before := len(d.problems)
	switch v.Kind() {
	case reflect.Pointer:
		d.pointer(n, v, at)
		return
	case reflect.Struct:
		d.structure(n, v, at)
	case reflect.Map:
		d.mapping(n, v, at)
	case reflect.Slice:
		d.list(n, v, at)
	case reflect.Interface:
		if g := d.generic(n); g != nil {
			v.Set(reflect.ValueOf(g))
		}
	default:
		d.scalar(n, v, at)
	}
	if cv, ok := v.Addr().Interface().(configValidator); ok && len(d.problems) == before {
		d.refused(n, at.path, cv.ValidateConfig())
	}
}

// refused reports an error that a method or a driver returned, at the fields that it names.
func (d *decoder) refused(n *node, path string, err error) {
	var own *Errors
	var field *resources.FieldError
	switch joined := err.(type) {
	case nil:
	case interface{ Unwrap() []error }:
		for _, e := range joined.Unwrap() {
			d.refused(n, path, e)
		}
	default:
		switch {
		case errors.As(err, &own): // reported where it was found
		case errors.As(err, &field):
			at, full := find(n, path, field.Path)
			d.refused(at, full, field.Err)
		default:
			d.report(n, path, "%s", err)
		}
	}
}

// find follows a path such as `users[0].name` as far as it is written in the file.
func find(n *node, base, path string) (*node, string) {
	full := base
	for _, part := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' }) {
		var next *node
		if digits, isIndex := strings.CutSuffix(part, "]"); isIndex {
			full += "[" + part
			var i int
			if _, err := fmt.Sscanf(digits, "%d", &i); err == nil && n.kind == listNode && i >= 0 && i < len(n.items) {
				next = n.items[i]
			}
		} else {
			full = join(full, part)
			next = n.get(part)
		}
		if next != nil {
			n = next
		}
	}
	return n, full
}

// unmarshaler runs a type's own UnmarshalYAML. What its attempts report counts only if it returns them as its error.
func (d *decoder) unmarshaler(n *node, u yamlUnmarshaler, at place) {
	err := u.UnmarshalYAML(func(into any) error { return d.attempt(n, into, at) })
	var own *Errors
	if errors.As(err, &own) {
		d.problems = append(d.problems, own.Problems...)
		return
	}
	d.refused(n, at.path, err)
}

// attempt decodes n into a pointer and returns the problems as an error instead of keeping them.
func (d *decoder) attempt(n *node, into any, at place) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("config decodes into a pointer, not into %T", into)
	}
	before := len(d.problems)
	d.value(n, v.Elem(), at)
	if len(d.problems) == before {
		return nil
	}
	found := append([]Problem(nil), d.problems[before:]...)
	d.problems = d.problems[:before]
	return &Errors{Problems: found}
}

func (d *decoder) pointer(n *node, v reflect.Value, at place) {
	target := v.Type().Elem()
	if n.kind == nullNode && target.Kind() == reflect.Struct {
		d.report(n, at.path, "empty: write {} to switch it on with its defaults, or remove it")
		return
	}
	if v.IsNil() {
		v.Set(made(target))
	}
	d.value(n, v.Elem(), at)
}

// made returns a pointer to a new value with its defaults.
func made(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if s, ok := v.Interface().(setDefaulter); ok {
		s.SetDefaults()
	}
	return v
}

func (d *decoder) list(n *node, v reflect.Value, at place) {
	switch n.kind {
	case nullNode:
		return
	case listNode:
	default:
		d.misfit(n, v.Type(), at, "a list is expected: write [a, b], or one line with - for each")
		return
	}
	out := reflect.MakeSlice(v.Type(), 0, len(n.items))
	for i, item := range n.items {
		e := made(v.Type().Elem()).Elem()
		d.value(item, e, at.index(i))
		out = reflect.Append(out, e)
	}
	v.Set(out)
}

// misfit reports a value of the wrong kind. It is not decoded, so what is a secret in it stays unknown: it is masked, and
// its text is told only where no secret may stand.
func (d *decoder) misfit(n *node, t reflect.Type, at place, expected string) {
	d.src.mask(n)
	what := n.describe()
	if holdsSecret(t, nil) {
		what = n.kind.String()
	}
	d.report(n, at.path, "%s stands where %s", what, expected)
}

// holdsSecret reports whether a value of type t may hold a secret. within are the structs that it stands in.
func holdsSecret(t reflect.Type, within []reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return holdsSecret(t.Elem(), within)
	case reflect.Interface:
		return true
	case reflect.Struct:
		if t == secretType || slices.Contains(within, t) {
			return t == secretType
		}
		for _, f := range fieldsOf(t) {
			if holdsSecret(f.typ, append(within, t)) {
				return true
			}
		}
	}
	return false
}

func (d *decoder) mapping(n *node, v reflect.Value, at place) {
	switch n.kind {
	case nullNode:
		return
	case mapNode:
	default:
		d.misfit(n, v.Type(), at, "a map is expected: write NAME: VALUE")
		return
	}
	if v.Type().Key().Kind() != reflect.String {
		d.report(n, at.path, "maps with keys of type %s cannot be written in a config", v.Type().Key())
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.pairs))
	for _, p := range n.pairs {
		e := made(v.Type().Elem()).Elem()
		d.value(p.value, e, at.child(p.key.text))
		out.SetMapIndex(reflect.ValueOf(p.key.text).Convert(v.Type().Key()), e)
	}
	v.Set(out)
}

// field is one key of a struct.
type field struct {
	key   string
	index []int
	tag   reflect.StructTag
	typ   reflect.Type
}

// fieldsOf lists the keys of a struct in their order, those of inlined structs included.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		key, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case key == "-" || !f.IsExported() && !f.Anonymous:
			continue
		case f.Anonymous && key == "" || opts == "inline":
			if f.Type.Kind() == reflect.Struct {
				for _, in := range fieldsOf(f.Type) {
					in.index = append([]int{i}, in.index...)
					out = append(out, in)
				}
			}
			continue
		case key == "":
			key = strings.ToLower(f.Name)
		}
		out = append(out, field{key: key, index: []int{i}, tag: f.Tag, typ: f.Type})
	}
	return out
}

func (d *decoder) structure(n *node, v reflect.Value, at place) {
	fields := fieldsOf(v.Type())
	switch n.kind {
	case nullNode:
		n = &node{kind: mapNode, line: n.line, column: n.column}
	case mapNode:
	default:
		d.misfit(n, v.Type(), at, "a map with the keys "+strings.Join(keysOf(fields), ", ")+" is expected")
		return
	}
	written := make(map[string]bool, len(n.pairs))
	for _, p := range n.pairs {
		written[p.key.text] = true
		f := lookup(fields, p.key.text)
		if f == nil {
			d.unknown(p, fields, at)
			continue
		}
		in := at.child(f.key)
		in.bounds = f.tag.Get("bounds")
		d.value(p.value, v.FieldByIndex(f.index), in)
	}
	for _, f := range fields {
		if f.tag.Get("required") == "true" && !written[f.key] && !(d.anywhere && v.Type() == specType && f.key == "listen") {
			d.report(n, at.path, "%s is missing: %s", f.key, f.tag.Get("doc"))
		}
	}
}

func lookup(fields []field, key string) *field {
	for i := range fields {
		if fields[i].key == key {
			return &fields[i]
		}
	}
	return nil
}

// unknown reports a key that a struct does not have. Its value may be a secret under a misspelt name, so it is masked.
func (d *decoder) unknown(p pair, fields []field, at place) {
	d.src.mask(p.value)
	hint := ""
	if near(p.key.text, keysOf(fields)) == "" {
		// The right key in the wrong place: `timeout` beside `policy` instead of in it.
		for _, f := range fields {
			if t := structOf(f.typ); t != nil && lookup(fieldsOf(t), p.key.text) != nil {
				hint = fmt.Sprintf("it belongs under %s", f.key)
				break
			}
		}
	}
	if hint == "" {
		hint = orNear(p.key.text, keysOf(fields))
	}
	d.report(p.key, at.path, "unknown key %s: %s", quote(p.key.text), hint)
}

// structOf returns the struct that a section's type is or points to, or nil.
func structOf(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Struct {
		return t
	}
	return nil
}

func keysOf(fields []field) []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	return keys
}
