package serial

import (
	"bytes"
	"encoding/hex"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Bodies that are not what they should be, by codec, and what the error says.
func TestMalformed(t *testing.T) {
	for _, c := range []struct {
		codec Codec
		body  string
		want  string
	}{
		{Simple{}, "16", "tag 22 at 0"},
		{Simple{}, "01 00000002 61", "length 2 at 1, 1 bytes are left"},
		{Simple{}, "01 ffffffff 61", "length 4294967295 at 1"},
		{Simple{}, "05 02", "want 0 or 1"},
		{Simple{}, "08 ffffffff1f", "more than 32 bits"},
		{Simple{}, "09 ffffffffffffffffff7f", "is above"},
		{Simple{}, "04 00000003 000000", "inside a length"},
		{Simple{}, "02 00000005 0000000161", "a key without a value"},
		{Simple{}, "14 00000001 00", "a key without a value"},
		{Simple{}, "15 00000002 0801 0801", ""},
		{Simple{}, "15 00000001 0801", "inside a number"},
		{Simple{}, "04 00000005 0000000261 62", "length 2 at 5, 1 bytes"}, // the string goes on behind the list
		{Breeze{}, "a1", "type 0xa1 at 0"},
		{Breeze{}, "dd", "type 0xdd at 0"},
		{Breeze{}, "dc 02 99", "type 0x99 at 2 for the elements"},
		{Breeze{}, "dc 02 01", "type 0x1 at 2 for the elements"},
		{Breeze{}, "dc 02 51", "type 0x51 at 2 for the elements"},
		{Breeze{}, "dc 01 9a 01", "want a bool"},
		{Breeze{}, "da 02 99", "inside a value"},
		{Breeze{}, "da 8080808008", "is above"},
		{Breeze{}, "e0 00000000", "message name 1 before 1, there were 0"},
		{Breeze{}, "df 00 00000000", "message name 0"},
		{Breeze{}, "de 01 61 00000000 e1 00000000", "message name 2 before 8, there were 1"},
		{Breeze{}, "de 01 61 00000001 01", "inside a value"},
		{Breeze{}, "de 01 61 00000002 01 9e 0001", "2 bytes wanted"}, // the field goes on behind the message
		{Breeze{}, "de 01 61 00000005 01 99", "length 5 at 3"},
		{Breeze{}, "3f 05 61", "5 bytes wanted"},
		{Breeze{}, "9d ffffffff", "length 4294967295"},
		{Protobuf{}, "02", "want 0 or 1"},
		{Protobuf{}, "0005", "5 bytes wanted at 2, 0 are left"},
		{Protobuf{}, "0000 00", "1 bytes behind the last of 1 values"},
		{Protobuf{}, "", "0 bytes for 1 values"},
	} {
		got, err := c.codec.Decode(unhex(t, c.body), KindString)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s %s: %v", c.codec.ID(), c.body, err)
			}
		} else if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.want) || got != nil {
			t.Errorf("%s %s: %v, %v, want %q", c.codec.ID(), c.body, got, err, c.want)
		}
	}
}

// What a serialization has no form for is refused, and what is appended to stays as it was.
func TestUnsupported(t *testing.T) {
	cycle := []any{nil}
	cycle[0] = cycle
	for _, c := range []struct {
		codec Codec
		v     any
		want  error
	}{
		{Simple{}, 5, ErrType},
		{Simple{}, Message{}, ErrType},
		{Simple{}, Proto{}, ErrType},
		{Simple{}, []any{struct{}{}}, ErrType},
		{Simple{}, cycle, ErrLimit},
		{Simple{Only2017: true}, []string{}, ErrType},
		{Simple{Only2017: true}, Map{{"a", int64(1)}}, ErrType},
		{Breeze{}, uint32(5), ErrType},
		{Breeze{}, Proto{}, ErrType},
		{Breeze{}, make([]string, breezeMaxCount+1), ErrType},
		{Breeze{}, Message{"a", []Field{{1 << 31, nil}}}, ErrType},
		{Breeze{}, Map{{cycle, nil}}, ErrLimit},
		{Protobuf{}, []byte{}, ErrType},
		{Protobuf{}, []string{}, ErrType},
		{GRPC{}, "a", ErrType},
	} {
		dst := make([]byte, 3, 100)
		got, err := c.codec.Append(dst, c.v)
		if !errors.Is(err, c.want) || len(got) != len(dst) || &got[0] != &dst[0] {
			t.Errorf("%s %T: %v, %v, want %v", c.codec.ID(), c.v, got, err, c.want)
		}
	}
	if _, err := (GRPC{}).Append(nil, Proto{}, Proto{}); !errors.Is(err, ErrType) {
		t.Errorf("two messages in grpc-pb: %v", err)
	}
	if _, err := (Protobuf{}).Decode([]byte{0, 1}, KindAny); !errors.Is(err, ErrType) {
		t.Errorf("a value of no kind in Protobuf: %v", err)
	}
	if _, err := AppendJSON(nil, cycle); !errors.Is(err, ErrLimit) {
		t.Errorf("a list in itself as JSON: %v", err)
	}
	if _, err := AppendPlainJSON(nil, cycle); !errors.Is(err, ErrLimit) {
		t.Errorf("a list in itself as plain JSON: %v", err)
	}
}

func TestLimits(t *testing.T) {
	for _, c := range []Codec{Simple{}, Breeze{}} {
		if body, err := c.Append(nil, nest(DefaultDepth)); err != nil {
			t.Errorf("%s: %v", c.ID(), err)
		} else if _, err := c.Decode(body); err != nil {
			t.Errorf("%s %x: %v", c.ID(), body, err)
		}
		if _, err := c.Append(nil, nest(DefaultDepth+1)); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: wrote too deep a list: %v", c.ID(), err)
		}
	}
	for _, c := range []struct {
		codec Codec
		v     any
		want  error
	}{
		{Simple{Limits: Limits{Depth: 2}}, nest(2), nil},
		{Simple{Limits: Limits{Depth: 2}}, nest(3), ErrLimit},
		{Simple{Limits: Limits{Values: 3}}, []any{nil, nil}, nil},
		{Simple{Limits: Limits{Values: 3}}, []any{nil, nil, nil}, ErrLimit},
		{Simple{Limits: Limits{Values: 3}}, StringMap{{"a", "b"}}, nil},
		{Simple{Limits: Limits{Values: 3}}, []string{"a", "b", "c"}, ErrLimit},
		{Breeze{Limits: Limits{Depth: 2}}, nest(3), nil}, // the innermost has no elements
		{Breeze{Limits: Limits{Depth: 2}}, nest(4), ErrLimit},
		{Breeze{Limits: Limits{Values: 3}}, Map{{nil, true}}, nil},
		{Breeze{Limits: Limits{Values: 3}}, []string{"a", "b", "c"}, ErrLimit},
		{Breeze{Limits: Limits{Values: 3}}, Message{"a", []Field{{1, nil}, {2, nil}, {3, nil}}}, ErrLimit},
	} {
		body, err := defaults(c.codec).Append(nil, c.v)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.codec.Decode(body); !errors.Is(err, c.want) {
			t.Errorf("%+v, %v: %v, want %v", c.codec, c.v, err, c.want)
		}
	}
}

// defaults returns the codec of the same serialization with its default limits.
func defaults(c Codec) Codec {
	out, _ := For(c.ID())
	return out
}

func TestFor(t *testing.T) {
	for id := range ID(16) {
		c, ok := For(id)
		if want := slices.Contains([]ID{IDGRPC, IDProtobuf, IDSimple, IDBreeze}, id); ok != want || (ok && c.ID() != id) {
			t.Errorf("%s: %v, %v", id, c, ok)
		}
		if back, ok := ParseID(id.String()); ok != (id <= IDBreeze) || (ok && back != id) {
			t.Errorf("%s is read as %s, %v", id, back, ok)
		}
	}
}

func TestDecodeOne(t *testing.T) {
	for _, c := range []struct {
		codec Codec
		body  string
		want  any
		err   error
	}{
		{Simple{}, "", nil, nil},
		{Simple{}, "0501", true, nil},
		{Simple{}, "05010501", nil, ErrMalformed},
		{Breeze{}, "9a", true, nil},
		{Protobuf{}, "0001", true, nil},
		{Protobuf{}, "", nil, nil},
		{Protobuf{RawBytes: true}, "0001", true, nil},
		{GRPC{}, "", Proto{}, nil},
		{GRPC{}, "08 01", Proto{8, 1}, nil},
	} {
		if got, err := DecodeOne(c.codec, unhex(t, c.body), KindBool); !errors.Is(err, c.err) || !same(got, c.want) {
			t.Errorf("%s %q: %v, %v, want %v, %v", c.codec.ID(), c.body, got, err, c.want, c.err)
		}
	}
}

// Java writes a byte above 0x7f as it is, motan-go as a varint.
func TestProtobufBytes(t *testing.T) {
	for _, c := range []struct {
		p    Protobuf
		body string
	}{{Protobuf{}, "00c801 0002"}, {Protobuf{RawBytes: true}, "00c8 0002"}} {
		body, err := c.p.Append(nil, byte(200), int64(1))
		if err != nil || !bytes.Equal(body, unhex(t, c.body)) {
			t.Errorf("%+v: %x, %v, want %s", c.p, body, err, c.body)
		}
		if got, err := c.p.Decode(body, KindByte, KindInt64); err != nil || !same(got, []any{byte(200), int64(1)}) {
			t.Errorf("%+v: %v, %v", c.p, got, err)
		}
	}
}

// allocated returns how many bytes f takes.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// Bodies made to take the most memory for their size take no more than Limits says; those whose lengths and counts lie
// take nothing that grows with what they claim.
func TestMemory(t *testing.T) {
	repeat := func(head, element string, n int) []byte {
		return append(unhex(t, head), bytes.Repeat(unhex(t, element), n)...)
	}
	sized := func(tag byte, inner []byte) []byte {
		out, at := openSize([]byte{tag})
		out = append(out, inner...)
		if err := closeSize(out, at); err != nil {
			t.Fatal(err)
		}
		return out
	}
	const n = 1 << 16 // as a varint 808004
	for name, c := range map[string]struct {
		codec Codec
		body  []byte
		good  bool
	}{
		"nulls":                       {Simple{}, sized(tagList, bytes.Repeat([]byte{tagNull}, n)), true},
		"nulls as arguments":          {Simple{}, bytes.Repeat([]byte{tagNull}, n), true},
		"empty lists":                 {Simple{}, bytes.Repeat(unhex(t, "1500000000"), n), true},
		"lists of one":                {Simple{}, bytes.Repeat(unhex(t, "150000000100"), n), true},
		"maps of one":                 {Simple{}, bytes.Repeat(unhex(t, "14000000020000"), n), true},
		"short ints":                  {Simple{}, bytes.Repeat(unhex(t, "0901"), n), true},
		"empty strings":               {Simple{}, sized(tagStrings, make([]byte, 4*n)), true},
		"a list of a lie":             {Simple{}, sized(tagList, unhex(t, "15ffffffff")), false},
		"nulls of Breeze":             {Breeze{}, repeat("da 808004", "99", n), true},
		"small negative longs":        {Breeze{}, repeat("da 808004", "87", n), true},
		"packed longs":                {Breeze{}, repeat("dc 808004 98", "01", n), true},
		"packed maps of longs":        {Breeze{}, repeat("db 808004 98 98", "0101", n), true},
		"packed empty lists":          {Breeze{}, repeat("dc 808004 dc", "00", n), true},
		"packed lists of one":         {Breeze{}, repeat("dc 808004 da", "0187", n), true},
		"packed empty messages":       {Breeze{}, repeat("dc 808004 de 00", "00000000", n), true},
		"messages of one":             {Breeze{}, repeat("dc 808004 de 00", "00000002 01 87", n), true},
		"names":                       {Breeze{}, bytes.Repeat(unhex(t, "de00 00000000"), n), true},
		"strings of two":              {Breeze{}, repeat("da 808004", "026162", n), true},
		"a packed list of nothing":    {Breeze{}, unhex(t, "dc ffffffff07 99"), false},
		"a count that lies":           {Breeze{}, unhex(t, "da ffffffff07 99"), false},
		"counts that lie, nested":     {Breeze{}, repeat("", "da ffff03", n), false},
		"a length that lies":          {Breeze{}, unhex(t, "9d 7fffffff 00"), false},
		"a string's length that lies": {Protobuf{}, unhex(t, "00 ffffffff07 61"), false},
	} {
		var err error
		// Bytes, where testing.AllocsPerRun() has numbers. With the race detector small things are not put together.
		took := allocated(func() { _, err = c.codec.Decode(c.body, KindString) })
		most := 32*len(c.body) + 1024
		if raceEnabled {
			most += most / 4
		}
		if !c.good {
			most = 2048 // for the error
		}
		if took > most || (err == nil) != c.good {
			t.Errorf("%s: %d bytes took %d, %.1f for each, most are %d; %v", name, len(c.body), took, float64(took)/float64(len(c.body)), most, err)
		} else if c.good {
			t.Logf("%s: %.1f for each byte", name, float64(took)/float64(len(c.body)))
		}
	}
}
