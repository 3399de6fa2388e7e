package serial

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ParseJSON makes a value of a JSON text, as [AppendJSON] writes it or as a person does: an integer is an int64 if nothing
// says otherwise, any other number a float64, and an object whose first key begins with $ is a hint, which must be known
// and the only key. Order is kept. An error wraps ErrMalformed or ErrLimit.
func ParseJSON(text []byte, l Limits) (any, error) {
	p, err := newJSONParser(text, l)
	if err != nil {
		return nil, err
	}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	return v, nil
}

// ParseJSONArgs makes the arguments of a call out of a JSON array. With kinds there must be as many arguments as kinds,
// and each is made one of its kind (see [Convert]), so that [5, "AQI="] fits the parameters (int, byte[]). An error wraps
// ErrMalformed, ErrLimit or ErrType.
func ParseJSONArgs(text []byte, l Limits, kinds ...Kind) ([]any, error) {
	p, err := newJSONParser(text, l)
	if err != nil {
		return nil, err
	}
	if err := p.delim('['); err != nil {
		return nil, err
	}
	args, err := p.list()
	if err != nil {
		return nil, err
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	if len(kinds) == 0 {
		return args, nil
	}
	if len(args) != len(kinds) {
		return nil, unsupported("%d arguments for %d parameters", len(args), len(kinds))
	}
	for i, k := range kinds {
		if args[i], err = Convert(args[i], k); err != nil {
			return nil, err
		}
	}
	return args, nil
}

// jsonParser reads a text token by token, so that the order of keys is kept.
type jsonParser struct {
	dec    *json.Decoder
	depth  int // levels that are left
	values int // values that are left
	limits Limits
}

func newJSONParser(text []byte, l Limits) (*jsonParser, error) {
	if !utf8.Valid(text) {
		return nil, malformed("JSON that is not UTF-8")
	}
	p := &jsonParser{dec: json.NewDecoder(bytes.NewReader(text)), depth: l.depth(), values: l.values(), limits: l}
	p.dec.UseNumber()
	return p, nil
}

// token reads a token.
func (p *jsonParser) token() (json.Token, error) {
	t, err := p.dec.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, malformed("JSON at byte %d: %w", p.dec.InputOffset(), err)
	}
	return t, nil
}

// end checks that nothing follows.
func (p *jsonParser) end() error {
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return malformed("JSON goes on at byte %d, behind its value", p.dec.InputOffset())
	}
	return nil
}

func (p *jsonParser) delim(want json.Delim) error {
	t, err := p.token()
	if err == nil && t != want {
		err = malformed("JSON at byte %d: want %s", p.dec.InputOffset(), want)
	}
	return err
}

// text reads a string.
func (p *jsonParser) text() (string, error) {
	t, err := p.token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", malformed("JSON at byte %d: want a string", p.dec.InputOffset())
	}
	return s, nil
}

func (p *jsonParser) value() (any, error) {
	if p.values--; p.values < 0 {
		return nil, overLimit("more than %d values", p.limits.values())
	}
	t, err := p.token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		return p.number(string(t))
	case json.Delim:
		if p.depth--; p.depth < 0 {
			return nil, tooDeep(p.limits.depth())
		}
		defer func() { p.depth++ }()
		if t == '[' {
			return p.array()
		}
		return p.object()
	}
	return t, nil // nil, bool, string
}

func (p *jsonParser) number(text string) (any, error) {
	if strings.ContainsAny(text, ".eE") {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, malformed("JSON at byte %d: %s is no float64", p.dec.InputOffset(), text)
		}
		return f, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, malformed("JSON at byte %d: %s is no int64", p.dec.InputOffset(), text)
	}
	return n, nil
}

// list reads an array behind its '['.
func (p *jsonParser) list() ([]any, error) {
	list := []any{}
	for p.dec.More() {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, p.delim(']')
}

// array reads an array behind its '['.
func (p *jsonParser) array() (any, error) {
	list, err := p.list()
	if err != nil {
		return nil, err
	}
	if allStrings(len(list), func(i int) any { return list[i] }) {
		strs, _ := convertMany(list, KindStrings)
		return strs, nil
	}
	return list, nil
}

// object reads an object behind its '{'.
func (p *jsonParser) object() (any, error) {
	m, strs := Map{}, true
	for p.dec.More() {
		key, err := p.text()
		if err != nil {
			return nil, err
		}
		if len(m) == 0 && isHint(key) {
			v, err := p.hint(key)
			if err == nil {
				err = p.delim('}')
			}
			if err != nil {
				return nil, err
			}
			return v, nil
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		_, isText := v.(string)
		strs = strs && isText
		m = append(m, Pair{key, v})
	}
	if err := p.delim('}'); err != nil {
		return nil, err
	}
	if strs && len(m) > 0 {
		sm, _ := stringsOnly(m)
		return sm, nil
	}
	return m, nil
}

var intHints = map[string]Kind{hintByte: KindByte, hintInt16: KindInt16, hintInt32: KindInt32, hintInt64: KindInt64}

// hint reads the value of the only key of an object.
func (p *jsonParser) hint(name string) (any, error) {
	switch name {
	case hintByte, hintInt16, hintInt32, hintInt64:
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		n, ok := v.(int64)
		out, fits := sizedInt(n, intHints[name])
		if !ok || !fits {
			return nil, malformed("JSON at byte %d: no %s", p.dec.InputOffset(), name[1:])
		}
		return out, nil
	case hintFloat32, hintFloat64:
		return p.float(name)
	case hintBytes, hintProto, hintText:
		s, err := p.text()
		if err != nil {
			return nil, err
		}
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return nil, malformed("JSON at byte %d: %w", p.dec.InputOffset(), err)
		}
		switch name {
		case hintProto:
			return Proto(b), nil
		case hintText:
			return string(b), nil
		}
		return b, nil
	case hintStrings, hintList:
		if err := p.delim('['); err != nil {
			return nil, err
		}
		list, err := p.list()
		if err != nil || name == hintList {
			return list, err
		}
		return p.must(convertMany(list, KindStrings))
	case hintStringMap, hintMap:
		m, err := p.pairs()
		if err != nil || name == hintMap {
			return m, err
		}
		return p.must(convertMany(m, KindStringMap))
	case hintMessage:
		return p.message()
	}
	return nil, malformed("JSON at byte %d: there is no %q", p.dec.InputOffset(), name)
}

func (p *jsonParser) must(v any, ok bool) (any, error) {
	if !ok {
		return nil, malformed("JSON before byte %d: want strings", p.dec.InputOffset())
	}
	return v, nil
}

func (p *jsonParser) float(name string) (any, error) {
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	var f float64
	switch n := v.(type) {
	case float64:
		f = n
	case int64:
		f = float64(n)
	case string:
		switch n {
		case "NaN":
			f = math.NaN()
		case "Infinity":
			f = math.Inf(1)
		case "-Infinity":
			f = math.Inf(-1)
		default:
			return nil, malformed("JSON at byte %d: no %s", p.dec.InputOffset(), name[1:])
		}
	default:
		return nil, malformed("JSON at byte %d: no %s", p.dec.InputOffset(), name[1:])
	}
	if name == hintFloat64 {
		return f, nil
	}
	out, ok := convertFloat(f, KindFloat32)
	if !ok {
		return nil, malformed("JSON at byte %d: no float32", p.dec.InputOffset())
	}
	return out, nil
}

// pairs reads an array of arrays of a key and a value.
func (p *jsonParser) pairs() (Map, error) {
	m := Map{}
	if err := p.delim('['); err != nil {
		return nil, err
	}
	for p.dec.More() {
		if err := p.delim('['); err != nil {
			return nil, err
		}
		key, err := p.value()
		if err != nil {
			return nil, err
		}
		value, err := p.value()
		if err != nil {
			return nil, err
		}
		if err := p.delim(']'); err != nil {
			return nil, err
		}
		m = append(m, Pair{key, value})
	}
	return m, p.delim(']')
}

// message reads {"name": ..., "fields": {...}}.
func (p *jsonParser) message() (any, error) {
	m := Message{Fields: []Field{}}
	if err := p.delim('{'); err != nil {
		return nil, err
	}
	for p.dec.More() {
		key, err := p.text()
		if err != nil {
			return nil, err
		}
		switch key {
		case "name":
			err = p.messageName(&m)
		case "fields":
			err = p.messageFields(&m)
		default:
			err = malformed("JSON at byte %d: a message has a name and fields, no %q", p.dec.InputOffset(), key)
		}
		if err != nil {
			return nil, err
		}
	}
	return m, p.delim('}')
}

// messageName reads a name: a string, or a hint of one that is not UTF-8.
func (p *jsonParser) messageName(m *Message) error {
	v, err := p.value()
	if err != nil {
		return err
	}
	var ok bool
	if m.Name, ok = v.(string); !ok {
		return malformed("JSON before byte %d: want the name of a message", p.dec.InputOffset())
	}
	return nil
}

func (p *jsonParser) messageFields(m *Message) error {
	if err := p.delim('{'); err != nil {
		return err
	}
	for p.dec.More() {
		key, err := p.text()
		if err != nil {
			return err
		}
		index, err := strconv.ParseUint(key, 10, 31)
		if err != nil {
			return malformed("JSON at byte %d: %q is no field of a message", p.dec.InputOffset(), key)
		}
		v, err := p.value()
		if err != nil {
			return err
		}
		m.Fields = append(m.Fields, Field{uint32(index), v})
	}
	return p.delim('}')
}
