package serial

import (
	"encoding/binary"
	"math"
)

// The tags of Simple. A body has a tag before each value; strings inside of tagStringMap and tagStrings have none.
const (
	tagNull      = 0
	tagString    = 1 // u32 length, bytes
	tagStringMap = 2 // u32 size in bytes, (u32 length, bytes) for each key and value
	tagBytes     = 3 // u32 length, bytes
	tagStrings   = 4 // u32 size in bytes, (u32 length, bytes) for each string
	tagBool      = 5 // 0 or 1
	tagByte      = 6
	tagInt16     = 7 // 2 bytes
	tagInt32     = 8 // zigzag varint
	tagInt64     = 9 // zigzag varint
	tagFloat32   = 10
	tagFloat64   = 11
	tagMap       = 20 // u32 size in bytes, tagged keys and values
	tagList      = 21 // u32 size in bytes, tagged values
)

// Simple is Motan's own serialization (id 6), which motan-go, motan-php and Java have. Lengths and floats are big
// endian. There are two generations that nothing on the wire tells apart: the one of 2017 knows null, strings, bytes
// and maps of strings alone. Decode understands both.
//
// What peers do with what they get: motan-go takes an empty list or map for nil. Java takes a number only for a
// parameter of just its size. PHP writes all integers as int64 and an empty array as null; its reader of tagList works
// for a list at the very beginning of a body only.
//
// Messages and Proto cannot be written.
type Simple struct {
	Limits Limits
	// Only2017: write only what peers of the first generation understand. A Map whose keys and values are all strings
	// becomes a map of strings. All else that they do not know is an error.
	Only2017 bool
}

// ID is IDSimple.
func (Simple) ID() ID { return IDSimple }

// Append appends values, each with its tag.
func (s Simple) Append(dst []byte, values ...any) ([]byte, error) {
	out := dst
	var err error
	for _, v := range values {
		if out, err = s.append(out, v, s.Limits.depth()); err != nil {
			return dst, err
		}
	}
	return out, nil
}

func (s Simple) append(dst []byte, v any, depth int) ([]byte, error) {
	v = ordered(v)
	if s.Only2017 {
		if m, ok := v.(Map); ok {
			if strs, ok := stringsOnly(m); ok {
				v = strs
			}
		}
		switch v.(type) {
		case nil, string, []byte, StringMap:
		default:
			return nil, unsupported("%s in Simple of 2017, which knows null, string, bytes and stringmap", KindOf(v))
		}
	}
	switch v := v.(type) {
	case nil:
		return append(dst, tagNull), nil
	case string:
		return appendSized(append(dst, tagString), v)
	case []byte:
		return appendSized(append(dst, tagBytes), v)
	case bool:
		return append(dst, tagBool, bit(v)), nil
	case byte:
		return append(dst, tagByte, v), nil
	case int16:
		return binary.BigEndian.AppendUint16(append(dst, tagInt16), uint16(v)), nil
	case int32:
		return appendZigzag(append(dst, tagInt32), int64(v)), nil
	case int64:
		return appendZigzag(append(dst, tagInt64), v), nil
	case float32:
		return binary.BigEndian.AppendUint32(append(dst, tagFloat32), math.Float32bits(v)), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(dst, tagFloat64), math.Float64bits(v)), nil
	}
	if depth == 0 {
		return nil, tooDeep(s.Limits.depth())
	}
	return s.appendMany(dst, v, depth-1)
}

// appendMany appends what has elements; depth is the levels that are left for them.
func (s Simple) appendMany(dst []byte, v any, depth int) (_ []byte, err error) {
	var at int
	switch v := v.(type) {
	case []string:
		dst, at = openSize(append(dst, tagStrings))
		for _, e := range v {
			if dst, err = appendSized(dst, e); err != nil {
				return nil, err
			}
		}
	case StringMap:
		dst, at = openSize(append(dst, tagStringMap))
		for _, p := range v {
			if dst, err = appendSized(dst, p.Key); err != nil {
				return nil, err
			}
			if dst, err = appendSized(dst, p.Value); err != nil {
				return nil, err
			}
		}
	case []any:
		dst, at = openSize(append(dst, tagList))
		for _, e := range v {
			if dst, err = s.append(dst, e, depth); err != nil {
				return nil, err
			}
		}
	case Map:
		dst, at = openSize(append(dst, tagMap))
		for _, p := range v {
			if dst, err = s.append(dst, p.Key, depth); err != nil {
				return nil, err
			}
			if dst, err = s.append(dst, p.Value, depth); err != nil {
				return nil, err
			}
		}
	default:
		return nil, unsupported("%s in Simple", describe(v))
	}
	return dst, closeSize(dst, at)
}

// appendSized appends a length of four bytes and the text.
func appendSized[T string | []byte](dst []byte, text T) ([]byte, error) {
	if len(text) > math.MaxInt32 {
		return nil, unsupported("%d bytes in one value, most are %d", len(text), math.MaxInt32)
	}
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(text))), text...), nil
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}
