package serial

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"
)

// What stands for a value that JSON has no form of its own for: an object with this one key.
const (
	hintByte      = "$byte"
	hintInt16     = "$int16"
	hintInt32     = "$int32"
	hintInt64     = "$int64" // read, never written
	hintFloat32   = "$float32"
	hintFloat64   = "$float64"
	hintBytes     = "$bytes"
	hintProto     = "$proto"
	hintText      = "$text"
	hintStrings   = "$strings"
	hintList      = "$list"
	hintStringMap = "$stringmap"
	hintMap       = "$map"
	hintMessage   = "$message"
)

// AppendJSON appends v as JSON that [ParseJSON] makes the same value of. Where JSON has a form of its own for a value,
// that is taken; all others are objects with one key that names the type:
//
//	nil  true  "text"  5  5.0      null, bool, string, int64, float64
//	["a", "b"]                     []string if all are strings and there is one, else []any
//	{"a": "b"}                     StringMap if all values are strings and there is one, else Map with keys of strings
//	{"$int32": 5}                  also $byte, $int16, $float32
//	{"$float64": "NaN"}            also "Infinity" and "-Infinity", and with $float32
//	{"$bytes": "AQI="}             base64; also $proto, and $text for a string that is not UTF-8
//	{"$list": ["a"]}               []any of strings alone; $strings: a []string with nothing in it
//	{"$map": [[1, "a"]]}           a Map with other keys, with keys that are twice there, with a first key that begins
//	                               with $, or with strings alone; $stringmap likewise
//	{"$message": {"name": "a.B", "fields": {"1": "x"}}}
//
// A key of a message that is twice there is so in the JSON as well. An error wraps ErrType or ErrLimit.
func AppendJSON(dst []byte, v any) ([]byte, error) {
	out, err := appendJSON(dst, v, DefaultDepth)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func appendJSON(dst []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case byte:
		return hinted(dst, hintByte, strconv.Itoa(int(v))), nil
	case int16:
		return hinted(dst, hintInt16, strconv.Itoa(int(v))), nil
	case int32:
		return hinted(dst, hintInt32, strconv.Itoa(int(v))), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case float32:
		return hinted(dst, hintFloat32, floatText(float64(v), 32)), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return hinted(dst, hintFloat64, floatText(v, 64)), nil
		}
		return append(dst, floatText(v, 64)...), nil
	case string:
		return appendText(dst, v), nil
	case []byte:
		return hinted(dst, hintBytes, base64Text(v)), nil
	case Proto:
		return hinted(dst, hintProto, base64Text(v)), nil
	}
	if depth == 0 {
		return nil, tooDeep(DefaultDepth)
	}
	return appendJSONMany(dst, ordered(v), depth-1)
}

// appendJSONMany appends what has elements; depth is the levels that are left for them.
func appendJSONMany(dst []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case []string:
		if len(v) == 0 {
			return hinted(dst, hintStrings, "[]"), nil
		}
		return appendElements(dst, len(v), func(dst []byte, i int) ([]byte, error) { return appendText(dst, v[i]), nil })
	case []any:
		list := func(dst []byte) ([]byte, error) {
			return appendElements(dst, len(v), func(dst []byte, i int) ([]byte, error) { return appendJSON(dst, v[i], depth) })
		}
		if allStrings(len(v), func(i int) any { return v[i] }) {
			return hintedBy(dst, hintList, list)
		}
		return list(dst)
	case StringMap:
		m := make(Map, len(v))
		for i, p := range v {
			m[i] = Pair{p.Key, p.Value}
		}
		if len(m) > 0 && plainKeys(m) {
			return appendObject(dst, m, depth)
		}
		return appendPairs(dst, hintStringMap, m, depth)
	case Map:
		if plainKeys(v) && !allStrings(len(v), func(i int) any { return v[i].Value }) {
			return appendObject(dst, v, depth)
		}
		return appendPairs(dst, hintMap, v, depth)
	case Message:
		return appendJSONMessage(dst, v, depth)
	}
	return nil, unsupported("%s in JSON", describe(v))
}

// allStrings tells whether there are elements and all of them are strings.
func allStrings(n int, at func(int) any) bool {
	for i := range n {
		if _, ok := at(i).(string); !ok {
			return false
		}
	}
	return n > 0
}

// plainKeys tells whether an object can have the keys of m.
func plainKeys(m Map) bool {
	seen := make(map[string]bool, len(m))
	for i, p := range m {
		k, ok := p.Key.(string)
		if !ok || seen[k] || !utf8.ValidString(k) || (i == 0 && isHint(k)) {
			return false
		}
		seen[k] = true
	}
	return true
}

func isHint(key string) bool { return len(key) > 0 && key[0] == '$' }

func appendObject(dst []byte, m Map, depth int) (_ []byte, err error) {
	dst = append(dst, '{')
	for i, p := range m {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, p.Key.(string)), ':')
		if dst, err = appendJSON(dst, p.Value, depth); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

func appendPairs(dst []byte, hint string, m Map, depth int) ([]byte, error) {
	return hintedBy(dst, hint, func(dst []byte) ([]byte, error) {
		return appendElements(dst, len(m), func(dst []byte, i int) (_ []byte, err error) {
			if dst, err = appendJSON(append(dst, '['), m[i].Key, depth); err != nil {
				return nil, err
			}
			if dst, err = appendJSON(append(dst, ','), m[i].Value, depth); err != nil {
				return nil, err
			}
			return append(dst, ']'), nil
		})
	})
}

func appendJSONMessage(dst []byte, m Message, depth int) ([]byte, error) {
	return hintedBy(dst, hintMessage, func(dst []byte) (_ []byte, err error) {
		dst = append(appendText(append(dst, `{"name":`...), m.Name), `,"fields":{`...)
		for i, f := range m.Fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(strconv.AppendUint(append(dst, '"'), uint64(f.Index), 10), `":`...)
			if dst, err = appendJSON(dst, f.Value, depth); err != nil {
				return nil, err
			}
		}
		return append(dst, "}}"...), nil
	})
}

// appendElements appends an array of n elements.
func appendElements(dst []byte, n int, element func([]byte, int) ([]byte, error)) (_ []byte, err error) {
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = element(dst, i); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

// hinted appends an object whose only key is a hint, with JSON in it.
func hinted(dst []byte, hint, json string) []byte {
	dst = append(append(append(dst, `{"`...), hint...), `":`...)
	return append(append(dst, json...), '}')
}

func hintedBy(dst []byte, hint string, value func([]byte) ([]byte, error)) ([]byte, error) {
	dst, err := value(append(append(append(dst, `{"`...), hint...), `":`...))
	if err != nil {
		return nil, err
	}
	return append(dst, '}'), nil
}

func base64Text(b []byte) string { return `"` + base64.StdEncoding.EncodeToString(b) + `"` }

// floatText returns the shortest text that is f; it shows that it is no integer.
func floatText(f float64, bits int) string {
	switch {
	case math.IsNaN(f):
		return `"NaN"`
	case math.IsInf(f, 1):
		return `"Infinity"`
	case math.IsInf(f, -1):
		return `"-Infinity"`
	}
	s := strconv.FormatFloat(f, 'g', -1, bits)
	for _, c := range s {
		if c == '.' || c == 'e' {
			return s
		}
	}
	return s + ".0"
}

// appendText appends a string; one that is not UTF-8 as a hint.
func appendText(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		return hinted(dst, hintText, base64Text([]byte(s)))
	}
	return appendQuoted(dst, s)
}

const hexDigits = "0123456789abcdef"

// appendQuoted appends a string that is UTF-8 as JSON.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c < ' ':
			dst = append(dst, `\u00`...)
			dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
