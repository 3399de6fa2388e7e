package serial

import (
	"errors"
	"testing"
	"unsafe"
)

// memoryOf returns about how much memory values take: what their slices and strings hold, and what interfaces point to.
func memoryOf(v any) int {
	const header = int(unsafe.Sizeof([]any{}))
	n := 0
	switch v := v.(type) {
	case string:
		n = int(unsafe.Sizeof(v)) + len(v)
	case []byte:
		n = header + cap(v)
	case Proto:
		n = header + cap(v)
	case int64, float64:
		n = 8
	case int32, float32:
		n = 4
	case []string:
		n = header + cap(v)*int(unsafe.Sizeof(""))
		for _, e := range v {
			n += len(e)
		}
	case StringMap:
		n = header + cap(v)*int(unsafe.Sizeof(StringPair{}))
		for _, p := range v {
			n += len(p.Key) + len(p.Value)
		}
	case []any:
		n = header + cap(v)*int(unsafe.Sizeof(any(nil)))
		for _, e := range v {
			n += memoryOf(e)
		}
	case Map:
		n = header + cap(v)*int(unsafe.Sizeof(Pair{}))
		for _, p := range v {
			n += memoryOf(p.Key) + memoryOf(p.Value)
		}
	case Message:
		n = int(unsafe.Sizeof(v)) + len(v.Name) + cap(v.Fields)*int(unsafe.Sizeof(Field{}))
		for _, f := range v.Fields {
			n += memoryOf(f.Value)
		}
	}
	return n
}

// checkDecode decodes what anyone might have sent: it is an error that says of which sort it is, or values in bounds that
// can be written and read again.
func checkDecode(t *testing.T, c Codec, body []byte, kinds ...Kind) []any {
	values, err := c.Decode(body, kinds...)
	if err != nil {
		if values != nil || !(errors.Is(err, ErrMalformed) || errors.Is(err, ErrLimit) || errors.Is(err, ErrType)) {
			t.Fatalf("%x: %v, %v", body, values, err)
		}
		return nil
	}
	if m := memoryOf(values); m > 32*len(body)+1024 {
		t.Fatalf("%x: %d bytes of values from %d", body, m, len(body))
	}
	again, err := c.Append(nil, values...)
	if err != nil {
		t.Fatalf("%x: %v: %v", body, values, err)
	}
	back, err := c.Decode(again, kinds...)
	if err != nil || !same(back, values) {
		t.Fatalf("%x is %v, again %x, is %v, %v", body, values, again, back, err)
	}
	for _, v := range values {
		text, err := AppendJSON(nil, v)
		if err != nil {
			t.Fatalf("%v: %v", v, err)
		}
		if back, err := ParseJSON(text, Limits{}); err != nil || !same(back, v) {
			t.Fatalf("%v as %s is %v, %v", v, text, back, err)
		}
		if _, err := AppendPlainJSON(nil, v); err != nil {
			t.Fatalf("%v: %v", v, err)
		}
	}
	return values
}

func seed(f *testing.F, name string) {
	for _, g := range readGolden(f, name) {
		f.Add(g.body)
	}
}

func FuzzSimple(f *testing.F) {
	seed(f, "simple")
	f.Fuzz(func(t *testing.T, body []byte) {
		values := checkDecode(t, Simple{}, body)
		if n, err := (Simple{}).Check(body); (err == nil) != (values != nil) || n != len(values) {
			t.Fatalf("%x: Check %d, %v, Decode %v", body, n, err, values)
		}
	})
}

func FuzzBreeze(f *testing.F) {
	seed(f, "breeze")
	f.Add([]byte("\xdc\xff\xff\xff\x07\x99"))
	f.Add([]byte("\xdb\x02\xde\x01a\xe0\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		values := checkDecode(t, Breeze{}, body)
		if n, err := (Breeze{}).Check(body); (err == nil) != (values != nil) || n != len(values) {
			t.Fatalf("%x: Check %d, %v, Decode %v", body, n, err, values)
		}
	})
}

func FuzzProtobuf(f *testing.F) {
	for _, g := range readGolden(f, "protobuf") {
		want, err := ParseJSONArgs([]byte(g.json), Limits{})
		if err != nil {
			f.Fatal(err)
		}
		var kinds []byte
		for _, k := range kindsOf(want) {
			kinds = append(kinds, byte(k))
		}
		f.Add(g.body, kinds, false)
	}
	f.Fuzz(func(t *testing.T, body, pick []byte, raw bool) {
		kinds := make([]Kind, len(pick))
		for i, k := range pick {
			kinds[i] = Kind(k)
		}
		checkDecode(t, Protobuf{RawBytes: raw}, body, kinds...)
	})
}

func FuzzJSON(f *testing.F) {
	for _, text := range jsonTexts {
		f.Add([]byte(text))
	}
	for _, name := range []string{"simple", "breeze", "protobuf"} {
		for _, g := range readGolden(f, name) {
			f.Add([]byte(g.json))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := ParseJSON(text, Limits{})
		if err != nil {
			if v != nil || !(errors.Is(err, ErrMalformed) || errors.Is(err, ErrLimit)) {
				t.Fatalf("%s: %v, %v", text, v, err)
			}
			return
		}
		again, err := AppendJSON(nil, v)
		if err != nil {
			t.Fatalf("%s is %v: %v", text, v, err)
		}
		if back, err := ParseJSON(again, Limits{}); err != nil || !same(back, v) {
			t.Fatalf("%s is %v, again %s, is %v, %v", text, v, again, back, err)
		}
	})
}
