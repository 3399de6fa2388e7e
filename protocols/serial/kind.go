package serial

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kind is the type of a value.
type Kind byte

// The kinds, with their Go types. Any stands for a type that is not known.
const (
	KindAny       Kind = iota
	KindNull           // nil
	KindBool           // bool
	KindByte           // byte
	KindInt16          // int16
	KindInt32          // int32
	KindInt64          // int64
	KindFloat32        // float32
	KindFloat64        // float64
	KindString         // string
	KindBytes          // []byte
	KindStrings        // []string
	KindList           // []any
	KindStringMap      // StringMap
	KindMap            // Map
	KindMessage        // Message
	KindProto          // Proto
)

var kindNames = [...]string{
	"any", "null", "bool", "byte", "int16", "int32", "int64", "float32", "float64", "string", "bytes", "strings", "list",
	"stringmap", "map", "message", "proto",
}

// String returns the name of the kind, "int32".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", byte(k))
}

// KindOf returns the kind of a value; KindAny for what is no value.
func KindOf(v any) Kind {
	switch v.(type) {
	case nil:
		return KindNull
	case bool:
		return KindBool
	case byte:
		return KindByte
	case int16:
		return KindInt16
	case int32:
		return KindInt32
	case int64:
		return KindInt64
	case float32:
		return KindFloat32
	case float64:
		return KindFloat64
	case string:
		return KindString
	case []byte:
		return KindBytes
	case []string:
		return KindStrings
	case []any:
		return KindList
	case StringMap, map[string]string:
		return KindStringMap
	case Map, map[string]any:
		return KindMap
	case Message:
		return KindMessage
	case Proto:
		return KindProto
	}
	return KindAny
}

// javaKinds are the kinds of the types that Java has for them, and the names of Kind themselves. A collection of Java
// may be anything that is one: it stays KindAny.
var javaKinds = map[string]Kind{
	"boolean": KindBool, "java.lang.Boolean": KindBool,
	"byte": KindByte, "java.lang.Byte": KindByte,
	"short": KindInt16, "java.lang.Short": KindInt16,
	"int": KindInt32, "java.lang.Integer": KindInt32,
	"long": KindInt64, "java.lang.Long": KindInt64,
	"float": KindFloat32, "java.lang.Float": KindFloat32,
	"double": KindFloat64, "java.lang.Double": KindFloat64,
	"java.lang.String": KindString, "String": KindString,
	"byte[]":             KindBytes,
	"java.lang.String[]": KindStrings, "String[]": KindStrings,
	"java.lang.Object[]": KindList, "Object[]": KindList,
}

// ParseKind returns the kind of a type as Java writes it in a method's descriptor ("java.lang.Integer", "byte[]"), or
// of a name that Kind.String gives; KindAny if it knows none.
func ParseKind(name string) Kind {
	if k, ok := javaKinds[name]; ok {
		return k
	}
	if i := slices.Index(kindNames[:], name); i >= 0 {
		return Kind(i)
	}
	return KindAny
}

// ParseKinds returns the kinds of the parameters in a method's descriptor as Motan has it on the wire: Java's names of
// their types with commas between; "void" or nothing for none.
func ParseKinds(desc string) []Kind {
	if desc == "" || desc == "void" {
		return nil
	}
	var kinds []Kind
	for name := range strings.SplitSeq(desc, ",") {
		kinds = append(kinds, ParseKind(strings.TrimSpace(name)))
	}
	return kinds
}

// describe names the type of v for an error.
func describe(v any) string {
	if k := KindOf(v); k != KindAny {
		return k.String()
	}
	return fmt.Sprintf("the Go type %T", v)
}

// ordered turns Go's maps, which have no order, into ours, by key.
func ordered(v any) any {
	switch m := v.(type) {
	case map[string]string:
		out := make(StringMap, 0, len(m))
		for _, k := range slices.Sorted(maps.Keys(m)) {
			out = append(out, StringPair{k, m[k]})
		}
		return out
	case map[string]any:
		out := make(Map, 0, len(m))
		for _, k := range slices.Sorted(maps.Keys(m)) {
			out = append(out, Pair{k, m[k]})
		}
		return out
	}
	return v
}

// stringsOnly returns a Map whose keys and values are all strings as what it is.
func stringsOnly(m Map) (StringMap, bool) {
	out := make(StringMap, 0, len(m))
	for _, p := range m {
		k, ok1 := p.Key.(string)
		v, ok2 := p.Value.(string)
		if !ok1 || !ok2 {
			return nil, false
		}
		out = append(out, StringPair{k, v})
	}
	return out, true
}
