package config

import (
	"cmp"
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/resources"
)

// bounds is a parsed `bounds` tag; its grammar stands at resources.Spec.
type bounds struct {
	low, high string   // a range
	words     []string // or one of these
	any       bool     // some of the words, separated by commas, with *
	extra     string   // one more value that is allowed
}

// parseBounds reads a tag. ok is false for a tag that is prose, which is shown in the reference and not checked here.
func parseBounds(tag string) (b bounds, ok bool) {
	main, note, _ := strings.Cut(tag, ";")
	if value, _, means := strings.Cut(strings.TrimSpace(note), " means "); means {
		b.extra = value
	}
	main = strings.TrimSpace(main)
	if low, high, isRange := strings.Cut(main, " to "); isRange {
		b.low, b.high = strings.TrimSpace(low), strings.TrimSpace(high)
		return b, !strings.ContainsAny(b.low+b.high, " ,")
	}
	main, b.any = strings.CutPrefix(main, "any of ")
	for _, w := range strings.Split(main, ",") {
		w = strings.TrimSpace(w)
		if w == "" || strings.Contains(w, " ") {
			return b, false
		}
		b.words = append(b.words, w)
	}
	return b, true
}

// bounds checks a scalar against the bounds of its field.
func (d *decoder) bounds(n *node, v reflect.Value, at place) {
	if at.bounds == "" {
		return
	}
	b, ok := parseBounds(at.bounds)
	switch {
	case !ok:
	case b.words != nil:
		d.words(n, v, b, at)
	case !b.inRange(v, n.text):
		d.report(n, at.path, "%s is out of bounds: use %s", quote(n.text), at.bounds)
	}
}

func (d *decoder) words(n *node, v reflect.Value, b bounds, at place) {
	if v.Kind() != reflect.String {
		return
	}
	for end, more := range d.options.Words {
		if at.path == end || strings.HasSuffix(at.path, "."+end) {
			b.words = slices.Compact(slices.Sorted(slices.Values(append(b.words, more...))))
		}
	}
	written := []string{v.String()}
	if b.any {
		written = strings.Split(v.String(), ",")
	}
	for _, w := range written {
		found := v.String() == b.extra && b.extra != ""
		for _, have := range b.words {
			w := strings.TrimSpace(w)
			found = found || have == w || b.any && resources.Glob(w, have)
		}
		if !found {
			d.report(n, at.path, "%s is not known: %s", quote(w), orNear(w, b.words))
		}
	}
}

// inRange compares v with the bounds, each read in the notation of v's own type.
func (b bounds) inRange(v reflect.Value, text string) bool {
	if b.extra != "" {
		if e, ok := like(v, b.extra); ok && compare(v, e) == 0 {
			return true
		}
	}
	low, okLow := like(v, b.low)
	high, okHigh := like(v, b.high)
	return !okLow || !okHigh || compare(v, low) >= 0 && compare(v, high) <= 0
}

// like reads text as a value of v's type.
func like(v reflect.Value, text string) (reflect.Value, bool) {
	out := reflect.New(v.Type()).Elem()
	if u, ok := out.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return out, u.UnmarshalText([]byte(text)) == nil
	}
	switch {
	case out.CanInt():
		i, err := strconv.ParseInt(text, 10, 64)
		out.SetInt(i)
		return out, err == nil
	case out.CanUint():
		u, err := strconv.ParseUint(text, 10, 64)
		out.SetUint(u)
		return out, err == nil
	case out.CanFloat():
		f, err := strconv.ParseFloat(text, 64)
		out.SetFloat(f)
		return out, err == nil
	}
	return out, false
}

func compare(a, b reflect.Value) int {
	switch {
	case a.CanInt():
		return cmp.Compare(a.Int(), b.Int())
	case a.CanUint():
		return cmp.Compare(a.Uint(), b.Uint())
	}
	return cmp.Compare(a.Float(), b.Float())
}

// checkTag says what is wrong with a bounds tag for a type, so that a test can hold every tag to the grammar.
func checkTag(tag string, t reflect.Type) error {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	b, ok := parseBounds(tag)
	if !ok {
		return fmt.Errorf("bounds %q is neither a range nor a list of words", tag)
	}
	if b.words != nil {
		if t.Kind() != reflect.String {
			return fmt.Errorf("bounds %q lists words for a %s", tag, t)
		}
		return nil
	}
	v := reflect.New(t).Elem()
	for _, end := range []string{b.low, b.high, b.extra} {
		if _, ok := like(v, end); end != "" && !ok {
			return fmt.Errorf("bounds %q: %q is no %s", tag, end, t)
		}
	}
	return nil
}
