package registry

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
)

// Change is one difference between two specs.
type Change struct {
	// Path names the field: policy.timeout, groups.yf.weight, groups.yf.endpoints[10.0.0.1:6379].role, settings.users[app].
	Path   string          `json:"path"`
	Before json.RawMessage `json:"before,omitempty"` // nil: it was not there
	After  json.RawMessage `json:"after,omitempty"`  // nil: it is gone
}

// Diff says what differs between two specs or documents, YAML or JSON, by path. It compares what they say, not how: groups
// are told apart by name, endpoints by address, the items of other lists by their name if all have one, else by place; the
// order of keys and of named items does not count. A text that cannot be read differs as a whole, under the path "".
//
// Documents are compared as they are written; to see defaults and one notation ("1000ms" and "1s"), compare Doc.Spec.
func Diff(a, b []byte) []Change {
	before, errA := readValue(a)
	after, errB := readValue(b)
	if errA != nil || errB != nil {
		if string(a) == string(b) {
			return nil
		}
		return []Change{{Before: quoted(a), After: quoted(b)}}
	}
	var out []Change
	compare(&out, "", before, after)
	return out
}

// quoted is a text that is not understood, as JSON; nil for none.
func quoted(text []byte) json.RawMessage {
	if len(text) == 0 {
		return nil
	}
	js, err := json.Marshal(string(text))
	if err != nil {
		return nil // a string always has a JSON form
	}
	return js
}

// readValue reads a text as what Diff compares. An empty text is nothing.
func readValue(text []byte) (any, error) {
	if len(text) == 0 {
		return nil, nil
	}
	tree, err := decodeText(text)
	if err != nil {
		return nil, err
	}
	return plainValue(tree), nil
}

// plainValue turns a tree into nil, bool, number, string, []any and map[string]any, with one form for what has several.
func plainValue(v any) any {
	switch v := v.(type) {
	case mapping:
		out := make(map[string]any, len(v))
		for _, item := range v {
			key := keyText(item.Key)
			out[key] = oneForm(key, plainValue(item.Value))
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plainValue(v[i])
		}
		return out
	case json.Number:
		return number(v.String())
	case int, int64, uint64, float64:
		return number(fmt.Sprint(v))
	}
	return v
}

// oneForm writes out what may be shortened: a single address for a list of them, an address for an endpoint.
func oneForm(key string, v any) any {
	text, isText := v.(string)
	list, isList := v.([]any)
	switch {
	case key == "listen" && isText:
		return []any{text}
	case key == "endpoints" && isList:
		for i, item := range list {
			if address, ok := item.(string); ok {
				list[i] = map[string]any{"address": address}
			}
		}
	}
	return v
}

// keyed returns a list as a map by the address or the name of its items; ok is false unless each has its own.
func keyed(list []any) (byKey map[string]any, ok bool) {
	byKey = make(map[string]any, len(list))
	for _, item := range list {
		m, _ := item.(map[string]any)
		key, has := m["address"].(string)
		if !has {
			key, has = m["name"].(string)
		}
		if _, dup := byKey[key]; !has || dup {
			return nil, false
		}
		byKey[key] = item
	}
	return byKey, true
}

// number gives equal numbers one form: 1, 1.0 and 1e0 are the same.
func number(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return json.Number(strconv.FormatInt(n, 10))
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		if n := int64(f); float64(n) == f && n > -1<<53 && n < 1<<53 {
			return json.Number(strconv.FormatInt(n, 10))
		}
		if js, err := json.Marshal(f); err == nil {
			return json.Number(js)
		}
	}
	return text
}

func compare(out *[]Change, path string, a, b any) {
	if reflect.DeepEqual(a, b) {
		return
	}
	ma, mapA := a.(map[string]any)
	mb, mapB := b.(map[string]any)
	if mapA && mapB {
		compareMaps(out, ma, mb, func(key string) string {
			if path == "" {
				return key
			}
			return path + "." + key
		})
		return
	}
	la, listA := a.([]any)
	lb, listB := b.([]any)
	if listA && listB {
		ka, okA := keyed(la)
		kb, okB := keyed(lb)
		if okA && okB {
			compareMaps(out, ka, kb, func(key string) string { return path + "[" + key + "]" })
			return
		}
		for i := range max(len(la), len(lb)) {
			at := path + "[" + strconv.Itoa(i) + "]"
			switch {
			case i >= len(la):
				*out = append(*out, Change{Path: at, After: asJSON(lb[i])})
			case i >= len(lb):
				*out = append(*out, Change{Path: at, Before: asJSON(la[i])})
			default:
				compare(out, at, la[i], lb[i])
			}
		}
		return
	}
	*out = append(*out, Change{Path: path, Before: asJSON(a), After: asJSON(b)})
}

func compareMaps(out *[]Change, a, b map[string]any, at func(key string) string) {
	keys := sortedKeys(a)
	for _, k := range sortedKeys(b) {
		if _, both := a[k]; !both {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		va, inA := a[k]
		vb, inB := b[k]
		switch {
		case !inA:
			*out = append(*out, Change{Path: at(k), After: present(vb)})
		case !inB:
			*out = append(*out, Change{Path: at(k), Before: present(va)})
		default:
			compare(out, at(k), va, vb)
		}
	}
}

// asJSON is nil for nothing.
func asJSON(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	return present(v)
}

func present(v any) json.RawMessage {
	js, err := encodeJSON(v)
	if err != nil {
		return quoted([]byte(fmt.Sprint(v))) // .inf and .nan, which no spec has
	}
	return js
}
