package motan

import (
	"encoding/json"
	"fmt"
)

// value is an argument or a result on its way to or from a driver, with its type, which JSON alone does not tell:
// {"int64": 5}. null is null. List names the Go types that it may hold.
type value struct{ v any }

// codecs are the names of types that JSON holds as they are.
var codecs = map[string]func(raw json.RawMessage) (any, error){
	"string":  as[string],
	"bool":    as[bool],
	"byte":    as[byte],
	"int16":   as[int16],
	"int32":   as[int32],
	"int64":   as[int64],
	"float32": as[float32],
	"float64": as[float64],
	"bytes":   as[[]byte],
	"strings": as[[]string],
	"map":     as[map[string]string],
	"list":    list,
	"dict":    dict,
	"proto":   as[Proto],
}

// Proto is a message of Protocol Buffers as it is on the wire, for clients of motan-go with protobuf or grpc-pb.
type Proto []byte

func as[T any](raw json.RawMessage) (any, error) {
	var t T
	err := json.Unmarshal(raw, &t)
	return t, err
}

func list(raw json.RawMessage) (any, error) {
	var in []value
	err := json.Unmarshal(raw, &in)
	out := make([]any, len(in))
	for i, v := range in {
		out[i] = v.v
	}
	return out, err
}

func dict(raw json.RawMessage) (any, error) {
	var pairs [][2]value
	err := json.Unmarshal(raw, &pairs)
	out := make(map[any]any, len(pairs))
	for _, p := range pairs {
		out[p[0].v] = p[1].v
	}
	return out, err
}

func (v *value) UnmarshalJSON(b []byte) error {
	v.v = nil
	var one map[string]json.RawMessage
	if err := json.Unmarshal(b, &one); err != nil || one == nil {
		return err
	}
	for name, raw := range one {
		decode := codecs[name]
		if decode == nil || len(one) != 1 {
			break
		}
		var err error
		v.v, err = decode(raw)
		return err
	}
	return fmt.Errorf("%.100s is no value with its type", b)
}

func (v value) MarshalJSON() ([]byte, error) {
	to := v.v
	var name string
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
		in := make([]value, len(x))
		for i, e := range x {
			in[i] = value{e}
		}
		name, to = "list", in
	case map[any]any:
		pairs := make([][2]value, 0, len(x))
		for k, e := range x {
			pairs = append(pairs, [2]value{{k}, {e}})
		}
		name, to = "dict", pairs
	case Proto:
		name = "proto"
	default:
		return nil, fmt.Errorf("%T is no type that Motan's peers know", v.v)
	}
	return json.Marshal(map[string]any{name: to})
}
