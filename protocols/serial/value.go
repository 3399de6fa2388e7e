package serial

// The Go types that are values: nil, bool, byte, int16, int32, int64, float32, float64, string, []byte, []string,
// []any, StringMap, Map, Message and Proto. Decode gives only these, Append takes these and, for convenience,
// map[string]string and map[string]any, which it writes in the order of their keys. It does not take int: whether a
// number has 32 or 64 bits decides which Java method takes it.

// Map is a map of any keys and values in the order in which they are or were written. Keys may be anything that a value
// may be, also what Go could not hash, and nobody checks that they differ.
type Map []Pair

// Pair is an entry of a Map.
type Pair struct{ Key, Value any }

// StringMap is a map of strings in the order in which they are or were written. Nobody checks that keys differ.
type StringMap []StringPair

// StringPair is an entry of a StringMap.
type StringPair struct{ Key, Value string }

// Get returns the value of the first entry with this key.
func (m StringMap) Get(key string) (string, bool) {
	for _, p := range m {
		if p.Key == key {
			return p.Value, true
		}
	}
	return "", false
}

// Get returns the value of the first entry whose key is this string.
func (m Map) Get(key string) (any, bool) {
	for _, p := range m {
		if k, ok := p.Key.(string); ok && k == key {
			return p.Value, true
		}
	}
	return nil, false
}

// Message is a message of Breeze: an object of a class that a schema describes. Only its name and its fields' numbers
// are on the wire; a field that is missing has its default.
type Message struct {
	Name   string // class or schema, "com.weibo.User"
	Fields []Field
}

// Field is a field of a Message.
type Field struct {
	Index uint32 // at most 2³¹-1; where there is no schema Java takes the hash of the field's name
	Value any
}

// Get returns the value of the first field with this index.
func (m Message) Get(index uint32) (any, bool) {
	for _, f := range m.Fields {
		if f.Index == index {
			return f.Value, true
		}
	}
	return nil, false
}

// Proto is a message of Protocol Buffers as it is on the wire, without a length. Its fields need a schema.
type Proto []byte

// What is empty is the same for all: an interface with an empty slice would cost 24 bytes for 1 byte of a body.
var (
	emptyBytes   any = []byte{}
	emptyStrings any = []string{}
	emptyList    any = []any{}
	emptyStrMap  any = StringMap{}
	emptyMap     any = Map{}
)
