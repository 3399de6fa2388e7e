package serial

import (
	"math"
	"strconv"
	"strings"
)

// AppendPlainJSON appends v as JSON for someone who knows nothing of these types, such as the caller of a gateway: all
// numbers are numbers, bytes and Proto are base64, a message is an object of its fields' numbers, keys that are no strings
// are written as the JSON of them in a string. NaN and the infinities are null, bytes that are not UTF-8 become U+FFFD.
// An error wraps ErrType or ErrLimit.
func AppendPlainJSON(dst []byte, v any) ([]byte, error) {
	out, err := appendPlain(dst, v, DefaultDepth)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func appendPlain(dst []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case byte, int16, int32:
		n, _ := integer(v)
		return strconv.AppendInt(dst, n, 10), nil
	case float32:
		return appendPlainFloat(dst, float64(v), 32), nil
	case float64:
		return appendPlainFloat(dst, v, 64), nil
	case string:
		return appendQuoted(dst, strings.ToValidUTF8(v, "\uFFFD")), nil
	case []byte:
		return append(dst, base64Text(v)...), nil
	case Proto:
		return append(dst, base64Text(v)...), nil
	case nil, bool, int64:
		return appendJSON(dst, v, depth)
	}
	if depth == 0 {
		return nil, tooDeep(DefaultDepth)
	}
	return appendPlainMany(dst, ordered(v), depth-1)
}

// appendPlainMany appends what has elements; depth is the levels that are left for them.
func appendPlainMany(dst []byte, v any, depth int) (_ []byte, err error) {
	switch v := v.(type) {
	case []string:
		return appendElements(dst, len(v), func(dst []byte, i int) ([]byte, error) { return appendPlain(dst, v[i], depth) })
	case []any:
		return appendElements(dst, len(v), func(dst []byte, i int) ([]byte, error) { return appendPlain(dst, v[i], depth) })
	}
	var n int
	var entry func(i int) (key, value any)
	switch v := v.(type) {
	case StringMap:
		n, entry = len(v), func(i int) (any, any) { return v[i].Key, v[i].Value }
	case Map:
		n, entry = len(v), func(i int) (any, any) { return v[i].Key, v[i].Value }
	case Message:
		n, entry = len(v.Fields), func(i int) (any, any) { return int64(v.Fields[i].Index), v.Fields[i].Value }
	default:
		return nil, unsupported("%s in JSON", describe(v))
	}
	dst = append(dst, '{')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		key, value := entry(i)
		if dst, err = appendPlainKey(dst, key, depth); err != nil {
			return nil, err
		}
		if dst, err = appendPlain(append(dst, ':'), value, depth); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

func appendPlainKey(dst []byte, key any, depth int) ([]byte, error) {
	at := len(dst)
	dst, err := appendPlain(dst, key, depth)
	if err != nil || dst[at] == '"' {
		return dst, err
	}
	text := string(dst[at:])
	return appendQuoted(dst[:at], text), nil
}

func appendPlainFloat(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	return append(dst, floatText(f, bits)...)
}
