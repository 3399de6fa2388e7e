package serial

import (
	"errors"
	"math"
	"reflect"
	"testing"
)

func TestConvert(t *testing.T) {
	for _, c := range []struct {
		v    any
		to   Kind
		want any // errNo: an error
	}{
		{int64(200), KindByte, byte(200)},
		{int64(256), KindByte, errNo},
		{int32(-1), KindByte, errNo},
		{byte(7), KindInt64, int64(7)},
		{"-32768", KindInt16, int16(-32768)},
		{"32768", KindInt16, errNo},
		{"5x", KindInt32, errNo},
		{5.0, KindInt32, errNo},
		{true, KindInt32, errNo},
		{int64(1 << 53), KindFloat64, float64(1 << 53)},
		{int64(1<<53 + 1), KindFloat64, errNo},
		{int64(math.MaxInt64), KindFloat64, errNo},
		{int32(1 << 24), KindFloat32, float32(1 << 24)},
		{int32(1<<24 + 1), KindFloat32, errNo},
		{0.1, KindFloat32, float32(0.1)},
		{1e39, KindFloat32, errNo},
		{math.Inf(1), KindFloat32, float32(math.Inf(1))},
		{"0.1", KindFloat32, float32(0.1)},
		{"1e39", KindFloat32, errNo},
		{float32(0.5), KindFloat64, 0.5},
		{"true", KindBool, true},
		{"1", KindBool, errNo},
		{int64(1), KindBool, errNo},
		{"AQI=", KindBytes, []byte{1, 2}},
		{"AQI", KindBytes, errNo},
		{[]byte{1}, KindProto, Proto{1}},
		{Proto{1}, KindBytes, []byte{1}},
		{int64(1), KindString, errNo},
		{[]string{"a"}, KindList, []any{"a"}},
		{[]any{"a"}, KindStrings, []string{"a"}},
		{[]any{}, KindStrings, []string{}},
		{[]any{"a", nil}, KindStrings, errNo},
		{StringMap{{"a", "b"}}, KindMap, Map{{"a", "b"}}},
		{Map{{"a", "b"}}, KindStringMap, StringMap{{"a", "b"}}},
		{Map{{"a", 1.0}}, KindStringMap, errNo},
		{map[string]string{"b": "2", "a": "1"}, KindStringMap, StringMap{{"a", "1"}, {"b", "2"}}},
		{map[string]any{"b": 2.0, "a": nil}, KindAny, Map{{"a", nil}, {"b", 2.0}}},
		{Map{}, KindMessage, errNo},
		{nil, KindInt32, nil},
	} {
		got, err := Convert(c.v, c.to)
		if c.want == errNo {
			if !errors.Is(err, ErrType) || got != nil {
				t.Errorf("%#v to %s: %#v, %v, want ErrType", c.v, c.to, got, err)
			}
		} else if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%#v to %s: %#v, %v, want %#v", c.v, c.to, got, err, c.want)
		}
	}
}

var errNo any = "an error"

func TestParseKinds(t *testing.T) {
	got := ParseKinds("int,java.lang.Boolean, byte[],java.lang.String[],a.User,stringmap")
	if want := []Kind{KindInt32, KindBool, KindBytes, KindStrings, KindAny, KindStringMap}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, none := range []string{"", "void"} {
		if got := ParseKinds(none); got != nil {
			t.Errorf("%q: %v", none, got)
		}
	}
	for k := KindAny; k <= KindProto; k++ {
		if got := ParseKind(k.String()); got != k {
			t.Errorf("%s is read as %s", k, got)
		}
	}
}
