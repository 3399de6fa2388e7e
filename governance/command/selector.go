package command

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-mesh/sluice/resources"
)

// Selector names resources. Every part that is set must hold. In a value `*` stands for any run of characters, and commas
// separate alternatives.
type Selector struct {
	Name   string            `json:"name,omitempty"`
	Kind   string            `json:"kind,omitempty"`
	Labels map[string]string `json:"labels,omitempty"` // the resource has each label with that value
	IDC    string            `json:"idc,omitempty"`    // the resource has a group there
}

// ResourceInfo is what selectors and commands need to know of a resource.
type ResourceInfo struct {
	Name   string
	Kind   string
	Labels map[string]string
	IDCs   []string // of its groups, in order
	Groups []string // in order; nil: not known, and then every group is taken for one of its
}

// AddGroup notes a group of the resource. Without an idc the group's name is that of its data centre.
func (r *ResourceInfo) AddGroup(name, idc string) {
	r.Groups = insert(r.Groups, name)
	r.IDCs = insert(r.IDCs, cmp.Or(idc, name))
}

// insert adds a text to a list in order, once.
func insert(list []string, s string) []string {
	at, there := slices.BinarySearch(list, s)
	if there {
		return list
	}
	return slices.Insert(list, at, s)
}

// Bounds of a selector.
const (
	maxValue  = 512 // bytes of a part
	maxLabels = 32
)

// IsZero reports whether nothing is set.
func (s Selector) IsZero() bool {
	return s.Name == "" && s.Kind == "" && s.IDC == "" && len(s.Labels) == 0
}

// Validate refuses a selector that names nothing, since it would select everything, and values that String could not write.
func (s Selector) Validate() error {
	if s.IsZero() {
		return errors.New("the selector is empty: write name=* if every resource is meant")
	}
	for _, p := range []struct{ key, value string }{{"name", s.Name}, {"kind", s.Kind}, {"idc", s.IDC}} {
		if p.value == "" {
			continue
		}
		if err := checkValue(p.key, p.value); err != nil {
			return err
		}
	}
	if len(s.Labels) > maxLabels {
		return fmt.Errorf("a selector has at most %d labels", maxLabels)
	}
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		if k == "" || strings.Contains(k, "=") {
			return fmt.Errorf("%q is no name of a label: write label.KEY=VALUE", k)
		}
		if err := checkValue("label."+k, s.Labels[k]); err != nil {
			return err
		}
		if err := checkValue("the label's name", k); err != nil {
			return err
		}
	}
	return nil
}

func checkValue(key, value string) error {
	switch {
	case value == "":
		return fmt.Errorf("%s has no value: * stands for anything", key)
	case len(value) > maxValue:
		return fmt.Errorf("%s has %d bytes: the limit is %d", key, len(value), maxValue)
	case !utf8.ValidString(value) || strings.ContainsFunc(value, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }):
		return fmt.Errorf("%s has spaces or control characters, or is not UTF-8", key)
	}
	return nil
}

// Match reports whether the selector names a resource.
func (s Selector) Match(r ResourceInfo) bool {
	return resources.GlobAny(s.Name, r.Name) && resources.GlobAny(s.Kind, r.Kind) && resources.GlobLabels(s.Labels, r.Labels) &&
		(s.IDC == "" || slices.ContainsFunc(r.IDCs, func(idc string) bool { return resources.GlobAny(s.IDC, idc) }))
}

// String writes the selector as ParseSelector reads it: name=feed-* kind=redis idc=yf label.team=feed.
func (s Selector) String() string {
	var out []string
	for _, p := range []struct{ key, value string }{{"name", s.Name}, {"kind", s.Kind}, {"idc", s.IDC}} {
		if p.value != "" {
			out = append(out, p.key+"="+p.value)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		out = append(out, "label."+k+"="+s.Labels[k])
	}
	return strings.Join(out, " ")
}

// ParseSelector reads KEY=VALUE pairs with spaces between them; the keys are name, kind, idc and label.KEY.
func ParseSelector(text string) (Selector, error) {
	var s Selector
	for _, pair := range strings.Fields(text) {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return s, fmt.Errorf("selector %q has no =: write KEY=VALUE, such as name=feed-*", pair)
		}
		at := map[string]*string{"name": &s.Name, "kind": &s.Kind, "idc": &s.IDC}[key]
		label, isLabel := strings.CutPrefix(key, "label.")
		switch {
		case isLabel:
			if _, twice := s.Labels[label]; twice {
				return s, fmt.Errorf("selector: %s is written twice", key)
			}
			if s.Labels == nil {
				s.Labels = make(map[string]string)
			}
			s.Labels[label] = value
		case at == nil:
			return s, fmt.Errorf("unknown selector key %q: use name, kind, idc or label.KEY", key)
		case *at != "":
			return s, fmt.Errorf("selector: %s is written twice: separate alternatives with commas", key)
		default:
			*at = value
		}
	}
	return s, s.Validate()
}
