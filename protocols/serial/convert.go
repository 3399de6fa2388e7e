package serial

import (
	"encoding/base64"
	"math"
	"strconv"
)

// Convert turns v, which a person or a JSON text wrote, into the kind that a method's parameter has. It loses nothing,
// but for digits of a float32:
//
//   - an integer becomes one of another size that it fits in, or a float that holds it exactly; a float64 becomes the
//     nearest float32, unless that is infinite
//   - a string becomes what it says: a number, "true" or "false", or the bytes that it is the base64 of
//   - strings become a list, a string map a map, and the other way round where all elements are strings
//   - bytes become a Proto, and the other way round
//   - nil stays nil, and everything is of KindAny
//
// Anything else is an error that wraps ErrType.
func Convert(v any, to Kind) (any, error) {
	v = ordered(v)
	if from := KindOf(v); to == KindAny || from == KindNull || from == to {
		return v, nil
	}
	var out any
	var ok bool
	switch to {
	case KindBool:
		s, _ := v.(string)
		out, ok = s == "true", s == "true" || s == "false"
	case KindByte, KindInt16, KindInt32, KindInt64:
		out, ok = convertInt(v, to)
	case KindFloat32, KindFloat64:
		out, ok = convertFloat(v, to)
	case KindBytes, KindProto:
		out, ok = convertBytes(v, to)
	case KindStrings, KindList, KindStringMap, KindMap:
		out, ok = convertMany(v, to)
	}
	if !ok {
		return nil, unsupported("%s where a value of kind %s is wanted", glimpse(v), to)
	}
	return out, nil
}

func convertInt(v any, to Kind) (any, bool) {
	n, ok := integer(v)
	if s, is := v.(string); is {
		var err error
		n, err = strconv.ParseInt(s, 10, 64)
		ok = err == nil
	}
	if !ok {
		return nil, false
	}
	return sizedInt(n, to)
}

// sizedInt returns n as an integer of a kind, if it fits.
func sizedInt(n int64, to Kind) (any, bool) {
	switch to {
	case KindByte:
		return byte(n), n == int64(byte(n))
	case KindInt16:
		return int16(n), n == int64(int16(n))
	case KindInt32:
		return int32(n), n == int64(int32(n))
	}
	return n, true
}

// integer returns the value of an integer of any size.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case byte:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	}
	return 0, false
}

func convertFloat(v any, to Kind) (any, bool) {
	f, ok := 0.0, false
	switch v := v.(type) {
	case float32:
		f, ok = float64(v), true
	case float64:
		f, ok = v, true
	case string:
		bits := 64
		if to == KindFloat32 {
			bits = 32
		}
		var err error
		f, err = strconv.ParseFloat(v, bits)
		ok = err == nil
	default:
		n, is := integer(v)
		f = float64(n)
		exact := is && f < math.MaxInt64 && int64(f) == n
		if to == KindFloat32 {
			exact = exact && float64(float32(f)) == f
		}
		ok = exact
	}
	if to == KindFloat64 {
		return f, ok
	}
	return float32(f), ok && (math.IsInf(f, 0) || !math.IsInf(float64(float32(f)), 0))
}

func convertBytes(v any, to Kind) (any, bool) {
	var b []byte
	switch v := v.(type) {
	case string:
		var err error
		if b, err = base64.StdEncoding.DecodeString(v); err != nil {
			return nil, false
		}
	case []byte:
		b = v
	case Proto:
		b = v
	default:
		return nil, false
	}
	if to == KindProto {
		return Proto(b), true
	}
	return b, true
}

func convertMany(v any, to Kind) (any, bool) {
	switch v := v.(type) {
	case []string:
		if to == KindList {
			list := make([]any, len(v))
			for i, s := range v {
				list[i] = s
			}
			return list, true
		}
	case []any:
		if to == KindStrings {
			list := make([]string, len(v))
			for i, e := range v {
				s, ok := e.(string)
				if !ok {
					return nil, false
				}
				list[i] = s
			}
			return list, true
		}
	case StringMap:
		if to == KindMap {
			m := make(Map, len(v))
			for i, p := range v {
				m[i] = Pair{p.Key, p.Value}
			}
			return m, true
		}
	case Map:
		if to == KindStringMap {
			return stringsOnly(v)
		}
	}
	return nil, false
}

// glimpse describes v for an error: what it is, and its text if that is short.
func glimpse(v any) string {
	switch v := v.(type) {
	case string:
		if len(v) <= 32 {
			return "the string " + strconv.Quote(v)
		}
	case float64:
		return "the number " + strconv.FormatFloat(v, 'g', -1, 64)
	case byte, int16, int32, int64:
		n, _ := integer(v)
		return "the number " + strconv.FormatInt(n, 10)
	}
	return describe(v)
}
