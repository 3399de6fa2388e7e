package serial

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

// jsonTexts are texts that a person might write, right and wrong.
var jsonTexts = []string{
	`5`, `-0`, `5.0`, `1e3`, `9223372036854775808`, `[1, "a", null]`, `{"a": 1, "b": {"$int32": 2}}`, `{"$map": [[1, 2], ["a"]]}`, `{"$float32": 1}`,
	`{"a": 1, "$int32": 2}`, `{"$int32": 2, "a": 1}`, `{"$int32": 2147483648}`, `{"$text": "/w=="}`, `{"$message": {"fields": {"1": 2}, "name": "x"}}`,
	`{"$message": {"name": {"$text": "/w=="}}}`, `[[[[]]]]`, `{"a": "b", "a": "c"}`, `{"$nothing": 1}`, `{"$bytes": "A"}`, `1 2`, `[1,]`, ``, `"\ud800"`,
}

func TestParseJSON(t *testing.T) {
	for _, c := range []struct {
		text string
		want any // an error: what it wraps
	}{
		{`5`, int64(5)},
		{`-0`, int64(0)},
		{`5.0`, 5.0},
		{`1e3`, 1000.0},
		{`"a"`, "a"},
		{`[]`, []any{}},
		{`["a","b"]`, []string{"a", "b"}},
		{`["a",null]`, []any{"a", nil}},
		{`{}`, Map{}},
		{`{"b":"1","a":"2"}`, StringMap{{"b", "1"}, {"a", "2"}}},
		{`{"b":1,"a":"2"}`, Map{{"b", int64(1)}, {"a", "2"}}},
		{`{"a":1,"$int32":2}`, Map{{"a", int64(1)}, {"$int32", int64(2)}}},
		{`{"$int64":-1}`, int64(-1)},
		{`{"$byte":255}`, byte(255)},
		{`{"$float32":0.1}`, float32(0.1)},
		{`{"$float64":"-Infinity"}`, math.Inf(-1)},
		{`{"$float64":5}`, 5.0},
		{`{"$bytes":"AQI="}`, []byte{1, 2}},
		{`{"$text":"/w=="}`, "\xff"},
		{`{"$proto":""}`, Proto{}},
		{`{"$strings":[]}`, []string{}},
		{`{"$list":["a"]}`, []any{"a"}},
		{`{"$stringmap":[["a","b"],["a","c"]]}`, StringMap{{"a", "b"}, {"a", "c"}}},
		{`{"$map":[[1,[true]]]}`, Map{{int64(1), []any{true}}}},
		{`{"$message":{"name":"a.B","fields":{"2":null,"1":{"$int32":1}}}}`, Message{"a.B", []Field{{2, nil}, {1, int32(1)}}}},
		{`9223372036854775808`, ErrMalformed},
		{`1e400`, ErrMalformed},
		{`{"$byte":256}`, ErrMalformed},
		{`{"$byte":-1}`, ErrMalformed},
		{`{"$int16":"1"}`, ErrMalformed},
		{`{"$int32":1.0}`, ErrMalformed},
		{`{"$float32":1e39}`, ErrMalformed},
		{`{"$float64":"nan"}`, ErrMalformed},
		{`{"$int32":1,"a":2}`, ErrMalformed},
		{`{"$nothing":1}`, ErrMalformed},
		{`{"$strings":["a",1]}`, ErrMalformed},
		{`{"$stringmap":[["a",1]]}`, ErrMalformed},
		{`{"$map":[[1]]}`, ErrMalformed},
		{`{"$map":{"a":1}}`, ErrMalformed},
		{`{"$message":{"name":1}}`, ErrMalformed},
		{`{"$message":{"fields":{"x":1}}}`, ErrMalformed},
		{`{"$message":{"fields":{"2147483648":1}}}`, ErrMalformed},
		{`{"$message":{"other":1}}`, ErrMalformed},
		{`{"$bytes":"A"}`, ErrMalformed},
		{`1 2`, ErrMalformed},
		{`[1,]`, ErrMalformed},
		{`[1`, ErrMalformed},
		{``, ErrMalformed},
		{"\"\xff\"", ErrMalformed},
		{strings.Repeat("[", 64) + strings.Repeat("]", 64), nest(64)},
		{strings.Repeat("[", 65) + strings.Repeat("]", 65), ErrLimit},
	} {
		got, err := ParseJSON([]byte(c.text), Limits{})
		if want, ok := c.want.(error); ok {
			if !errors.Is(err, want) || got != nil {
				t.Errorf("%s: %v, %v, want %v", c.text, got, err, want)
			}
		} else if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %#v, %v, want %#v", c.text, got, err, c.want)
		}
	}
}

// nest returns a list in a list, n deep.
func nest(n int) any {
	v := []any{}
	for range n - 1 {
		v = []any{v}
	}
	return v
}

func TestPlainJSON(t *testing.T) {
	v := Map{
		{"n", []any{byte(1), int16(2), int32(3), int64(4), float32(0.5), 5.0, math.NaN(), nil, true}},
		{"s", []string{"a\n", "\xff"}}, {int32(7), []byte{1, 2}}, {[]any{int64(1), "x"}, StringMap{{"k", "v"}}},
		{"m", Message{"a.B", []Field{{1, "x"}}}}, {"p", Proto("x")}, {nil, map[string]string{"b": "2", "a": "1"}},
	}
	const want = `{"n":[1,2,3,4,0.5,5.0,null,null,true],"s":["a\n","�"],"7":"AQI=","[1,\"x\"]":{"k":"v"},` +
		`"m":{"1":"x"},"p":"eA==","null":{"a":"1","b":"2"}}`
	if got, err := AppendPlainJSON(nil, v); err != nil || string(got) != want {
		t.Errorf("%s, %v\nwant %s", got, err, want)
	}
}

// Arguments of a call to f(int, long, byte[], String, double, float, List, short) as a person writes them.
func TestParseJSONArgs(t *testing.T) {
	kinds := ParseKinds("int,java.lang.Long,byte[],java.lang.String,double,float,java.util.List,short")
	got, err := ParseJSONArgs([]byte(`[5, "6", "AQI=", "x", 1, 0.1, ["a"], null]`), Limits{}, kinds...)
	want := []any{int32(5), int64(6), []byte{1, 2}, "x", 1.0, float32(0.1), []string{"a"}, nil}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%#v, %v, want %#v", got, err, want)
	}
	for _, text := range []string{`[]`, `[1,2]`, `["x"]`, `[2147483648]`, `[1.0]`, `[true]`, `{}`, `[1] 2`, `[1`} {
		if got, err := ParseJSONArgs([]byte(text), Limits{}, KindInt32); err == nil || got != nil {
			t.Errorf("%s for an int: %v, %v", text, got, err)
		}
	}
}
