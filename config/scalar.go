package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/resources"
)

// text decodes a type that reads itself from text: durations, sizes, rates, percentages.
func (d *decoder) text(n *node, v reflect.Value, u encoding.TextUnmarshaler, at place) {
	what, example := nameOf(v.Type())
	switch n.kind {
	case textNode, numberNode:
	default:
		d.report(n, at.path, "%s stands where %s is expected: write %s", n.describe(), what, example)
		return
	}
	if d.isReference(n, at) {
		return
	}
	if err := u.UnmarshalText([]byte(n.text)); err != nil {
		d.refused(n, at.path, err)
		return
	}
	d.bounds(n, v, at)
}

// secret decodes a resources.Secret. Nothing of its text gets into a message or an excerpt.
func (d *decoder) secret(n *node, v reflect.Value, at place) {
	d.src.mask(n)
	switch n.kind {
	case textNode:
		s, err := resources.NewSecret(n.text)
		if err == nil && d.remote && !s.IsZero() && !s.IsReference() {
			err = errors.New("over HTTP a secret must be a reference, since resources are kept on disk: write ${env:NAME} or ${file:/path}")
		}
		if name, ok := s.Name(); err == nil && ok {
			s, err = d.sent(s, name)
		}
		d.refused(n, at.path, err)
		d.secrets[n] = s
		v.Set(reflect.ValueOf(s))
	case numberNode, boolNode:
		d.report(n, at.path, "a secret must be text: put it in quotes, or better write a reference, ${env:NAME} or ${file:/path}")
	default:
		d.report(n, at.path, "%s stands where a secret is expected: write a reference, ${env:NAME} or ${file:/path}", n.kind)
	}
}

// sent gives a secret of the centre its value.
func (d *decoder) sent(s resources.Secret, name string) (resources.Secret, error) {
	if d.options.Secrets == nil {
		return s, errors.New("${secret:NAME} works in resources that a governance centre defines: write ${env:NAME} or ${file:/path} here")
	}
	value, ok := d.options.Secrets(name)
	if !ok {
		return s, fmt.Errorf("there is no secret %s: set it at the centre first", name)
	}
	return s.Sent(value), nil
}

// isReference reports a reference to a secret in a field that is none.
func (d *decoder) isReference(n *node, at place) bool {
	if !strings.Contains(n.text, "${env:") && !strings.Contains(n.text, "${file:") && !strings.Contains(n.text, "${secret:") {
		return false
	}
	d.report(n, at.path, "%s: references work only in fields that hold a secret: write the value itself", quote(n.text))
	return true
}

// scalar decodes the basic kinds.
func (d *decoder) scalar(n *node, v reflect.Value, at place) {
	what, example := nameOf(v.Type())
	wrong := func() {
		d.report(n, at.path, "%s stands where %s is expected: write %s", n.describe(), what, example)
	}
	switch v.Kind() {
	case reflect.String:
		switch n.kind {
		case textNode:
			if d.isReference(n, at) {
				return
			}
			v.SetString(n.text)
		case numberNode, boolNode:
			d.report(n, at.path, "%s stands where text is expected: put it in quotes, %q", n.describe(), n.text)
			return
		default:
			wrong()
			return
		}
	case reflect.Bool:
		if n.kind != boolNode {
			wrong()
			return
		}
		v.SetBool(strings.EqualFold(n.text, "true"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(n.text, 10, 64)
		if n.kind != numberNode || err != nil || v.OverflowInt(i) {
			wrong()
			return
		}
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, err := strconv.ParseUint(n.text, 10, 64)
		if n.kind != numberNode || err != nil || v.OverflowUint(u) {
			wrong()
			return
		}
		v.SetUint(u)
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(n.text, 64)
		if n.kind != numberNode || err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			wrong()
			return
		}
		v.SetFloat(f)
	default:
		d.report(n, at.path, "values of type %s cannot be written in a config", v.Type())
		return
	}
	d.bounds(n, v, at)
}

// generic decodes into the types of encoding/json: nil, bool, float64, int64, string, []any, map[string]any.
func (d *decoder) generic(n *node) any {
	if d.visited++; d.visited > MaxNodes {
		return nil
	}
	switch n.kind {
	case boolNode:
		return strings.EqualFold(n.text, "true")
	case numberNode:
		if i, err := strconv.ParseInt(n.text, 10, 64); err == nil {
			return i
		}
		if f, err := strconv.ParseFloat(n.text, 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return f
		}
		return n.text
	case textNode:
		if s, ok := d.secrets[n]; ok {
			return s
		}
		return n.text
	case listNode:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = d.generic(item)
		}
		return out
	case mapNode:
		out := make(map[string]any, len(n.pairs))
		for _, p := range n.pairs {
			out[p.key.text] = d.generic(p.value)
		}
		return out
	}
	return nil
}

// nameOf says what a field holds, in the words of the reference, and gives an example.
func nameOf(t reflect.Type) (what, example string) {
	switch t {
	case reflect.TypeFor[resources.Duration]():
		return "a duration", "a number with a unit, such as 500ms, 1s or 5m"
	case reflect.TypeFor[resources.Size]():
		return "a size", "bytes, or a number with KiB, MiB or GiB, such as 64KiB"
	case reflect.TypeFor[resources.Percent](), reflect.TypeFor[resources.Multiple]():
		return "a percentage", "a number with a percent sign, such as 15%"
	case reflect.TypeFor[resources.Rate]():
		return "a rate", "a number per second, minute or hour, such as 5000/s"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false", "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number", "digits, such as 20"
	case reflect.Float32, reflect.Float64:
		return "a number", "digits, such as 0.5"
	}
	return "text", "one word, or text in quotes"
}
