package httpapi

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Body reads a request's body, which must not be empty.
func Body(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, Invalid("", "the body is empty: send JSON or YAML")
	}
	return body, nil
}

// Query returns the query. A parameter that is not in the list is refused: it may be a mistyped one.
func Query(r *http.Request, known ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, Invalid("", "the query cannot be read: %v", err)
	}
	for k := range q {
		if !slices.Contains(known, k) {
			hint := "none is known here"
			if len(known) > 0 {
				hint = "use " + strings.Join(known, ", ")
			}
			return nil, Invalid(k, "unknown query parameter %s: %s", Quoted(k), hint)
		}
	}
	return q, nil
}

// Flag reads a boolean parameter; one without a value is true.
func Flag(q url.Values, name string) (bool, error) {
	if !q.Has(name) || q.Get(name) == "" {
		return q.Has(name), nil
	}
	b, err := strconv.ParseBool(q.Get(name))
	if err != nil {
		return false, Invalid(name, "%s is neither true nor false", Quoted(q.Get(name)))
	}
	return b, nil
}

// Number reads a whole number from low to high; def when it is not given.
func Number(q url.Values, name string, def, low, high int64) (int64, error) {
	if !q.Has(name) {
		return def, nil
	}
	n, err := strconv.ParseInt(q.Get(name), 10, 64)
	if err != nil || n < low || n > high {
		return 0, Invalid(name, "%s is out of range: use a number from %d to %d", Quoted(q.Get(name)), low, high)
	}
	return n, nil
}

// Decode reads one JSON value into a struct, strictly. what names it in errors.
func Decode(r *http.Request, into any, what string) error {
	body, err := Body(r)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return explain(err, into, what)
	}
	if dec.More() {
		return Invalid("", "more than one JSON value: send one %s at a time", what)
	}
	return nil
}

var textual = reflect.TypeFor[encoding.TextUnmarshaler]()

// explain names the field where the decoder knows it.
func explain(err error, into any, what string) *Error {
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) && typ.Field == "" {
		return Invalid("", "the body is a JSON %s: send a %s as {...}, with %s", typ.Value, what, strings.Join(keysOf(reflect.TypeOf(into)), ", "))
	}
	if errors.As(err, &typ) {
		hint := ""
		if typ.Value == "number" && reflect.PointerTo(typ.Type).Implements(textual) {
			hint = `: write a text with its unit, such as "50%", "200ms" or "100/s"`
		}
		field := typ.Field
		if i := strings.LastIndex(field, "."); i >= 0 && strings.ToUpper(field[:1]) == field[:1] {
			field = field[i+1:] // of a struct that is embedded
		}
		return Invalid(field, "%s cannot be a JSON %s%s", Quoted(field), typ.Value, hint)
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return Invalid(strings.Trim(field, `"`), "unknown key %s: a %s has %s", field, what, strings.Join(keysOf(reflect.TypeOf(into)), ", "))
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return Invalid("", "the body is no %s: %s", what, strings.TrimPrefix(line, "json: "))
}

// keysOf lists the JSON keys of a struct, those of embedded ones among them.
func keysOf(t reflect.Type) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var keys []string
	for _, f := range reflect.VisibleFields(t) {
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && !f.Anonymous && key != "-" && key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// MatchTag reports whether a list of entity tags names one. Weak tags never match, since ours are strong (RFC 9110, section 13).
func MatchTag(list, tag string) bool {
	for t := range strings.SplitSeq(list, ",") {
		if t = strings.TrimSpace(t); t == "*" || t == tag {
			return true
		}
	}
	return false
}
