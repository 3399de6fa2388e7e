package serial

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// checkRoundTrip appends values behind other bytes, and decodes them again.
func checkRoundTrip(t *rapid.T, c Codec, values []any) []byte {
	head := []byte("head")
	body, err := c.Append(head, values...)
	if err != nil {
		t.Fatalf("%v: %v", values, err)
	}
	if !bytes.HasPrefix(body, head) {
		t.Fatalf("%v: %x is not behind what there was", values, body)
	}
	body = body[len(head):]
	got, err := c.Decode(body, kindsOf(values)...)
	if err != nil || !same(got, values) {
		t.Fatalf("%v as %x is %v, %v", values, body, got, err)
	}
	for i := range body {
		body[i] ^= 0xff
	}
	if !same(got, values) {
		t.Fatalf("%v changes with the body it was in", values)
	}
	return body
}

func TestRoundTripSimple(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkRoundTrip(t, Simple{}, genValues(t, false)) })
}

func TestRoundTripBreeze(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkRoundTrip(t, Breeze{}, genValues(t, true)) })
}

func TestRoundTripProtobuf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := make([]any, rapid.IntRange(0, 4).Draw(t, "values"))
		for i := range values {
			values[i] = genScalar(t)
			if rapid.Bool().Draw(t, "proto") {
				values[i] = Proto(rapid.SliceOf(rapid.Byte()).Draw(t, "message"))
			}
		}
		checkRoundTrip(t, Protobuf{RawBytes: rapid.Bool().Draw(t, "raw")}, values)
	})
}

// Whatever a value is: what the JSON of it says is the same value.
func TestRoundTripJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := genValue(t, 3, true)
		if rapid.IntRange(0, 9).Draw(t, "proto") == 0 {
			v = []any{Proto("x"), v}
		}
		text, err := AppendJSON([]byte("head"), v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseJSON(text[len("head"):], Limits{})
		if err != nil || !same(got, v) {
			t.Fatalf("%v as %s is %v, %v", v, text, got, err)
		}
		plain, err := AppendPlainJSON(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseJSON(plain, Limits{}); err != nil && !bytes.Contains(plain, []byte(`{"$`)) {
			t.Fatalf("%v as %s: %v", v, plain, err)
		}
	})
}

// What the first generation can say it says so that the second reads it, and the same, but that a map of strings has one
// form alone; all else it refuses.
func TestOnly2017(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := genValue(t, 2, true)
		body, err := Simple{Only2017: true}.Append(nil, v)
		m, isMap := v.(Map)
		strs, onlyStrings := stringsOnly(m)
		want := v
		if isMap && onlyStrings {
			want = strs
		}
		switch want.(type) {
		case nil, string, []byte, StringMap:
			got, err2 := Simple{}.Decode(body)
			if err != nil || err2 != nil || !same(got, []any{want}) || body[0] > tagBytes {
				t.Fatalf("%v as %x is %v, %v, %v", v, body, got, err, err2)
			}
		default:
			if !errors.Is(err, ErrType) || body != nil {
				t.Fatalf("%v: %x, %v, want ErrType", v, body, err)
			}
		}
	})
}

// A body that is cut anywhere is never taken for another one of as many values.
func TestCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		messages := rapid.Bool().Draw(t, "breeze")
		var c Codec = Simple{}
		if messages {
			c = Breeze{}
		}
		v := genValue(t, 3, messages)
		body, err := c.Append(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		for n := 1; n < len(body); n++ {
			if got, err := c.Decode(body[:n]); err == nil {
				t.Fatalf("%v as %x, cut to %d, is %v", v, body, n, got)
			} else if !errors.Is(err, ErrMalformed) || got != nil {
				t.Fatalf("%x cut to %d: %v, %v", body, n, got, err)
			}
		}
	})
}
