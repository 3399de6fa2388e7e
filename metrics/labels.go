package metrics

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Label is one label of a series.
type Label struct{ Key, Value string }

// maxValueLen bounds a label value in bytes: statements and keys of any length can become operation names.
const maxValueLen = 256

// cleanValue makes any text a legal label value: valid UTF-8 of bounded length.
func cleanValue(v string) string {
	if len(v) > maxValueLen {
		cut := maxValueLen
		for cut > maxValueLen-utf8.UTFMax && !utf8.RuneStart(v[cut]) {
			cut--
		}
		v = v[:cut]
	}
	return strings.ToValidUTF8(v, "\uFFFD")
}

// checkName panics when a name is not one that Prometheus accepts: names are written in code, never by users.
func checkName(what, name string) {
	for i := 0; i < len(name); i++ {
		c := name[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			panic(fmt.Sprintf("metrics: %q is not a %s name: use letters, digits and underscores", name, what))
		}
	}
	if name == "" {
		panic("metrics: empty " + what + " name")
	}
}

// values holds the distinct values of each label key within a scope, with the number of series that carry each.
type values map[string]map[string]int

// admit returns the value that a new series gets for a key: v itself, or Overflow when max others are there already. It
// does not count the series; see hold.
func (vs values) admit(key, v string, max int) string {
	set := vs[key]
	if set[v] > 0 || v == Overflow {
		return v
	}
	n := len(set)
	if set[Overflow] > 0 {
		n--
	}
	if n >= max {
		return Overflow
	}
	return v
}

func (vs values) hold(labels []Label) {
	for _, l := range labels {
		set := vs[l.Key]
		if set == nil {
			set = map[string]int{}
			vs[l.Key] = set
		}
		set[l.Value]++
	}
}

func (vs values) release(labels []Label) {
	for _, l := range labels {
		set := vs[l.Key]
		if set[l.Value]--; set[l.Value] <= 0 {
			delete(set, l.Value)
		}
	}
}

// has reports whether a label is among labels.
func has(labels []Label, key, value string) bool {
	for _, l := range labels {
		if l.Key == key && l.Value == value {
			return true
		}
	}
	return false
}
