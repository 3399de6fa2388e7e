package main

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// value is an argument or a result with its type, which JSON alone does not tell: {"int64": 5}. null is null.
type value struct{ v any }

func (v *value) UnmarshalJSON(b []byte) error {
	v.v = nil
	var one map[string]json.RawMessage
	if err := json.Unmarshal(b, &one); err != nil || one == nil {
		return err
	}
	if len(one) != 1 {
		return fmt.Errorf("%s is no value: it has %d types", b, len(one))
	}
	for name, raw := range one {
		return v.decode(name, raw)
	}
	return nil
}

func (v *value) decode(name string, raw json.RawMessage) error {
	switch name {
	case "string":
		return into[string](raw, &v.v)
	case "bool":
		return into[bool](raw, &v.v)
	case "byte":
		return into[byte](raw, &v.v)
	case "int16":
		return into[int16](raw, &v.v)
	case "int32":
		return into[int32](raw, &v.v)
	case "int64":
		return into[int64](raw, &v.v)
	case "float32":
		return into[float32](raw, &v.v)
	case "float64":
		return into[float64](raw, &v.v)
	case "bytes":
		return into[[]byte](raw, &v.v)
	case "strings":
		return into[[]string](raw, &v.v)
	case "map":
		return into[map[string]string](raw, &v.v)
	case "list":
		var list []value
		if err := json.Unmarshal(raw, &list); err != nil {
			return err
		}
		v.v = plain(list)
		return nil
	case "dict":
		var pairs [][2]value
		if err := json.Unmarshal(raw, &pairs); err != nil {
			return err
		}
		dict := map[any]any{}
		for _, p := range pairs {
			dict[p[0].v] = p[1].v
		}
		v.v = dict
		return nil
	case "proto":
		m := &message{}
		v.v = m
		return json.Unmarshal(raw, &m.bytes)
	}
	return fmt.Errorf("no type %q", name)
}

func into[T any](raw json.RawMessage, to *any) error {
	var t T
	err := json.Unmarshal(raw, &t)
	*to = t
	return err
}

func plain(list []value) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v.v
	}
	return out
}

func (v value) MarshalJSON() ([]byte, error) {
	name, to := "", v.v
	switch x := v.v.(type) {
	case nil:
		return []byte("null"), nil
	case string:
		name = "string"
	case bool:
		name = "bool"
	case byte:
		name = "byte"
	case int16:
		name = "int16"
	case int32:
		name = "int32"
	case int64:
		name = "int64"
	case float32:
		name = "float32"
	case float64:
		name = "float64"
	case []byte:
		name = "bytes"
	case []string:
		name = "strings"
	case map[string]string:
		name = "map"
	case []any:
		list := make([]value, len(x))
		for i, e := range x {
			list[i] = value{e}
		}
		name, to = "list", list
	case map[any]any:
		pairs := make([][2]value, 0, len(x))
		for k, e := range x {
			pairs = append(pairs, [2]value{{k}, {e}})
		}
		name, to = "dict", pairs
	case *message:
		name, to = "proto", x.bytes
	default:
		return nil, fmt.Errorf("no type for %T", v.v)
	}
	return json.Marshal(map[string]any{name: to})
}

// types are what the names of types stand for, as motan-go's serializations want to be told. Maps and lists of any values
// need none.
var types = map[string]reflect.Type{
	"string":  reflect.TypeFor[string](),
	"bool":    reflect.TypeFor[bool](),
	"byte":    reflect.TypeFor[byte](),
	"int16":   reflect.TypeFor[int16](),
	"int32":   reflect.TypeFor[int32](),
	"int64":   reflect.TypeFor[int64](),
	"float32": reflect.TypeFor[float32](),
	"float64": reflect.TypeFor[float64](),
	"bytes":   reflect.TypeFor[[]byte](),
	"strings": reflect.TypeFor[[]string](),
	"map":     reflect.TypeFor[map[string]string](),
	"proto":   reflect.TypeFor[*message](),
}

// message is any message of Protocol Buffers, as its bytes. It marshals itself, so that nobody needs its schema.
type message struct{ bytes []byte }

func (m *message) Reset()                   { m.bytes = nil }
func (m *message) String() string           { return fmt.Sprintf("%x", m.bytes) }
func (m *message) ProtoMessage()            {}
func (m *message) Marshal() ([]byte, error) { return m.bytes, nil }
func (m *message) Unmarshal(b []byte) error {
	m.bytes = append([]byte{}, b...)
	return nil
}

// typeOf is the type of a name for a serialization; nil: any.
func typeOf(name string) any {
	if t, ok := types[name]; ok {
		return t
	}
	return nil
}
