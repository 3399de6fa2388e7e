package serial

import (
	"math"

	"pgregory.net/rapid"
)

// words are strings at the edges of forms: empty, of one byte, as long as a type byte can say, one more, hints of JSON,
// and what is not UTF-8.
var words = []string{
	"", "a", "Ray", "微博", "😀", "$int32", "$", "\xff\x00", "\"\\\n\t\x00\u2028", string(make([]byte, 62)), string(make([]byte, 63)), string(make([]byte, 300)),
}

func genString(t *rapid.T) string {
	return rapid.OneOf(rapid.SampledFrom(words), rapid.String()).Draw(t, "string")
}

// genScalar draws a value that Protobuf knows.
func genScalar(t *rapid.T) any {
	switch rapid.IntRange(0, 9).Draw(t, "scalar") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.Byte().Draw(t, "byte")
	case 3:
		return rapid.Int16().Draw(t, "int16")
	case 4:
		return rapid.OneOf(rapid.SampledFrom([]int32{-17, -16, 46, 47, math.MinInt32, math.MaxInt32}), rapid.Int32()).Draw(t, "int32")
	case 5:
		return rapid.OneOf(rapid.SampledFrom([]int64{-9, -8, 15, 16, math.MinInt64, math.MaxInt64}), rapid.Int64()).Draw(t, "int64")
	case 6:
		return rapid.OneOf(rapid.SampledFrom([]float32{float32(math.Inf(1)), float32(math.NaN()), 5, 1e20}), rapid.Float32()).Draw(t, "float32")
	case 7:
		return rapid.OneOf(rapid.SampledFrom([]float64{math.Inf(-1), math.NaN(), 5, math.Copysign(0, -1), 1e21}), rapid.Float64()).Draw(t, "float64")
	}
	return genString(t)
}

// genValue draws a value of any kind but KindMessage, if messages is false, and KindProto.
func genValue(t *rapid.T, depth int, messages bool) any {
	if depth == 0 || rapid.Bool().Draw(t, "leaf") {
		return genScalar(t)
	}
	sub := func() any { return genValue(t, depth-1, messages) }
	n, last := rapid.IntRange(0, 4).Draw(t, "n"), 5
	if messages {
		last++
	}
	switch rapid.IntRange(1, last).Draw(t, "kind") {
	case 1:
		return append([]byte{}, genString(t)...)
	case 2:
		list := make([]string, n)
		for i := range list {
			list[i] = genString(t)
		}
		return list
	case 3:
		m := make(StringMap, n)
		for i := range m {
			m[i] = StringPair{genString(t), genString(t)}
		}
		return m
	case 4:
		list := make([]any, n)
		for i := range list {
			list[i] = sub()
		}
		return list
	case 5:
		m := make(Map, n)
		for i := range m {
			m[i] = Pair{sub(), sub()}
		}
		return m
	}
	m := Message{Name: genString(t), Fields: make([]Field, n)}
	for i := range m.Fields {
		m.Fields[i] = Field{uint32(rapid.Int32Min(0).Draw(t, "index")), sub()}
	}
	return m
}

// genValues draws the arguments of a call.
func genValues(t *rapid.T, messages bool) []any {
	values := make([]any, rapid.IntRange(0, 3).Draw(t, "values"))
	for i := range values {
		values[i] = genValue(t, 3, messages)
	}
	return values
}
