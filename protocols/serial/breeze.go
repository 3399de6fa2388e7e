package serial

import (
	"encoding/binary"
	"math"
)

// The type bytes of Breeze. Small values are in the type byte itself.
const (
	breezeString      = 0x3f // below: a string of that many bytes; varint length, bytes
	breezeInt32       = 0x7f // 0x40 to 0x7e: the byte less 0x50; zigzag varint
	breezeInt64       = 0x98 // 0x80 to 0x97: the byte less 0x88; zigzag varint
	breezeNull        = 0x99
	breezeTrue        = 0x9a
	breezeFalse       = 0x9b
	breezeByte        = 0x9c
	breezeBytes       = 0x9d // u32 length, bytes
	breezeInt16       = 0x9e
	breezeFloat32     = 0x9f
	breezeFloat64     = 0xa0
	breezeMap         = 0xd9 // varint count, typed keys and values
	breezeList        = 0xda // varint count, typed values
	breezePackedMap   = 0xdb // varint count, if not 0 the types of all keys and of all values, keys and values
	breezePackedList  = 0xdc // varint count, if not 0 the type of all values, values
	breezeMessage     = 0xde // varint length and name, u32 size in bytes, varint index and typed value for each field
	breezeMessageRef  = 0xdf // the name is that of an earlier message: varint number; above: the byte less 0xdf
	breezeInt32Direct = 0x40
	breezeInt32Zero   = 0x50
	breezeInt64Direct = 0x80
	breezeInt64Zero   = 0x88
)

// breezeMaxCount is how many elements of a list readers take. The limit of maps is Go's alone.
const breezeMaxCount = 100_000

// Breeze is the serialization of weibreeze (id 8), which motan-go and Java have. Numbers of fixed length are big endian.
//
// []string is written packed, and so is StringMap; []any and Map, whose elements may differ, are not. Packed lists and
// maps of any other type are read as []any and Map. Java packs whatever has no null and takes either form, motan-go too.
// A packed list with nothing in it does not say what it has nothing of: it is read as []string, and a map as StringMap.
//
// The name of a message stands in a body once; further ones refer to it by the order in which names came. That is
// across the arguments of a request, so they must be appended and decoded together.
//
// What motan-go does differently where it does not know the type that is wanted: it takes an empty list or map for nil,
// panics on one of them or a null in a list that is not packed, and reads bools in a packed list as true. Schemas (0xdd) have no format yet. Proto cannot be written, nor a list or
// a map of more than 100,000 elements, which readers refuse.
type Breeze struct {
	Limits Limits
}

// ID is IDBreeze.
func (Breeze) ID() ID { return IDBreeze }

// Append appends values, each with its type.
func (z Breeze) Append(dst []byte, values ...any) ([]byte, error) {
	w := breezeWriter{out: dst, limits: z.Limits}
	for _, v := range values {
		if err := w.value(v, z.Limits.depth()); err != nil {
			return dst, err
		}
	}
	return w.out, nil
}

// breezeWriter writes the values of one body.
type breezeWriter struct {
	out    []byte
	names  map[string]int // messages that were named, from 1; nil as long as there is none
	limits Limits
}

func (w *breezeWriter) value(v any, depth int) error {
	switch v := v.(type) {
	case nil:
		w.out = append(w.out, breezeNull)
	case bool:
		w.out = append(w.out, breezeFalse-bit(v))
	case byte:
		w.out = append(w.out, breezeByte, v)
	case int16:
		w.out = binary.BigEndian.AppendUint16(append(w.out, breezeInt16), uint16(v))
	case int32:
		if d := int64(v) + breezeInt32Zero; d >= breezeInt32Direct && d < breezeInt32 {
			w.out = append(w.out, byte(d))
		} else {
			w.out = appendZigzag(append(w.out, breezeInt32), int64(v))
		}
	case int64:
		if v >= breezeInt64Direct-breezeInt64Zero && v < breezeInt64-breezeInt64Zero {
			w.out = append(w.out, byte(v+breezeInt64Zero))
		} else {
			w.out = appendZigzag(append(w.out, breezeInt64), v)
		}
	case float32:
		w.out = binary.BigEndian.AppendUint32(append(w.out, breezeFloat32), math.Float32bits(v))
	case float64:
		w.out = binary.BigEndian.AppendUint64(append(w.out, breezeFloat64), math.Float64bits(v))
	case string:
		if len(v) < breezeString {
			w.out = append(append(w.out, byte(len(v))), v...)
			return nil
		}
		w.out = append(w.out, breezeString)
		return w.text(v)
	case []byte:
		out, err := appendSized(append(w.out, breezeBytes), v)
		w.out = out
		return err
	default:
		if depth == 0 {
			return tooDeep(w.limits.depth())
		}
		return w.many(ordered(v), depth-1)
	}
	return nil
}

// many writes what has elements; depth is the levels that are left for them.
func (w *breezeWriter) many(v any, depth int) error {
	switch v := v.(type) {
	case []string:
		if err := w.count(breezePackedList, len(v), breezeString); err != nil {
			return err
		}
		for _, e := range v {
			if err := w.text(e); err != nil {
				return err
			}
		}
	case StringMap:
		if err := w.count(breezePackedMap, len(v), breezeString, breezeString); err != nil {
			return err
		}
		for _, p := range v {
			if err := w.text(p.Key); err != nil {
				return err
			}
			if err := w.text(p.Value); err != nil {
				return err
			}
		}
	case []any:
		if err := w.count(breezeList, len(v)); err != nil {
			return err
		}
		for _, e := range v {
			if err := w.value(e, depth); err != nil {
				return err
			}
		}
	case Map:
		if err := w.count(breezeMap, len(v)); err != nil {
			return err
		}
		for _, p := range v {
			if err := w.value(p.Key, depth); err != nil {
				return err
			}
			if err := w.value(p.Value, depth); err != nil {
				return err
			}
		}
	case Message:
		return w.message(v, depth)
	default:
		return unsupported("%s in Breeze", describe(v))
	}
	return nil
}

// count writes a type, a count, and the types of elements if there are any.
func (w *breezeWriter) count(kind byte, n int, types ...byte) error {
	if n > breezeMaxCount {
		return unsupported("%d elements in Breeze, readers take at most %d", n, breezeMaxCount)
	}
	w.out = binary.AppendUvarint(append(w.out, kind), uint64(n))
	if n > 0 {
		w.out = append(w.out, types...)
	}
	return nil
}

// text writes a string without its type.
func (w *breezeWriter) text(s string) error {
	if len(s) > math.MaxInt32 {
		return unsupported("%d bytes in one value, most are %d", len(s), math.MaxInt32)
	}
	w.out = append(binary.AppendUvarint(w.out, uint64(len(s))), s...)
	return nil
}

func (w *breezeWriter) message(m Message, depth int) error {
	switch n := w.names[m.Name]; {
	case n == 0:
		w.out = append(w.out, breezeMessage)
		if err := w.text(m.Name); err != nil {
			return err
		}
		if w.names == nil {
			w.names = make(map[string]int)
		}
		w.names[m.Name] = len(w.names) + 1
	case n <= math.MaxUint8-breezeMessageRef:
		w.out = append(w.out, byte(breezeMessageRef+n))
	default:
		w.out = binary.AppendUvarint(append(w.out, breezeMessageRef), uint64(n))
	}
	var at int
	w.out, at = openSize(w.out)
	for _, f := range m.Fields {
		if f.Index > math.MaxInt32 {
			return unsupported("field %d of %s, indexes end at %d", f.Index, m.Name, math.MaxInt32)
		}
		w.out = binary.AppendUvarint(w.out, uint64(f.Index))
		if err := w.value(f.Value, depth); err != nil {
			return err
		}
	}
	return closeSize(w.out, at)
}
