package http2

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// add gives frames to a reader and returns the last whole block.
func add(r *Blocks, b []byte) (*Block, error) {
	var f Frame
	var out *Block
	for len(b) > 0 {
		n, err := f.Scan(b, DefaultFrame)
		if err != nil {
			return nil, err
		}
		var block Block
		whole, err := r.Add(&f, &block)
		if err != nil {
			return nil, err
		}
		if whole {
			out = &block
		}
		b = b[n:]
	}
	return out, nil
}

// Header lists arrive as they were written, however they are cut, block after block with the same tables.
func TestBlocks(t *testing.T) {
	lists := [][]Field{
		{{Name: ":method", Value: "POST"}, {Name: "grpc-timeout", Value: "1S"}, {Name: "x-bin", Value: "\x00\xff"}},
		{{Name: ":method", Value: "POST"}, {Name: "grpc-timeout", Value: "2S"}, {Name: "secret", Value: "token", Sensitive: true}},
		{{Name: ":method", Value: "POST"}, {Name: "long", Value: strings.Repeat("x", 20000)}, {Name: "", Value: ""}},
	}
	for _, size := range []int{1 << 14, 1000} {
		e, r := NewEncoder(), NewBlocks(64<<10)
		for round := range 3 {
			for i, list := range lists {
				e.Begin()
				for _, f := range list {
					if f.Name == "grpc-timeout" {
						e.Once(f.Name, f.Value)
					} else {
						e.Field(f)
					}
				}
				b, err := add(r, e.End(nil, 3, i == 1, size))
				if err != nil {
					t.Fatal(err)
				}
				if b.Stream != 3 || b.End != (i == 1) || b.TooLarge || !slices.Equal(b.Fields, list) {
					t.Fatalf("round %d, list %d in frames of %d came as %+v", round, i, size, b)
				}
			}
			if round == 0 {
				e.SetTableSize(0) // as a peer may say at any time
			}
		}
	}
}

// A list that is too large is thrown away, and what comes behind it is read all the same.
func TestTooLarge(t *testing.T) {
	e, r := NewEncoder(), NewBlocks(1000)
	e.Begin()
	for i := range 100 {
		e.Field(Field{Name: "k", Value: fmt.Sprint(i)})
	}
	b, err := add(r, e.End(nil, 1, false, DefaultFrame))
	if err != nil || !b.TooLarge || len(b.Fields) != 0 {
		t.Fatalf("%+v, %v", b, err)
	}
	e.Begin()
	e.Field(Field{Name: "k", Value: "99"})
	if b, err = add(r, e.End(nil, 3, false, DefaultFrame)); err != nil || b.TooLarge || b.Fields[0].Value != "99" {
		t.Fatalf("%+v, %v", b, err)
	}
}

// A block must end: pieces without end, and what is not one of them in the middle, are errors.
func TestPieces(t *testing.T) {
	begin := AppendHead(nil, 0, TypeHeaders, 0, 1)
	more := append(AppendHead(nil, 1, TypeContinuation, 0, 1), Status200)
	for name, c := range map[string]struct {
		b    []byte
		code Code
	}{
		"empty pieces":          {append(bytes.Clone(begin), bytes.Repeat(AppendHead(nil, 0, TypeContinuation, 0, 1), 100)...), EnhanceYourCalm},
		"large pieces":          {append(bytes.Clone(begin), bytes.Repeat(append(AppendHead(nil, 16000, TypeContinuation, 0, 1), make([]byte, 16000)...), 70)...), EnhanceYourCalm},
		"a string in pieces":    {append(append(AppendHead(nil, 5, TypeHeaders, 0, 1), 0, 0x7f, 0xff, 0xff, 0x03), bytes.Repeat(append(AppendHead(nil, 16000, TypeContinuation, 0, 1), make([]byte, 16000)...), 9)...), CompressionError},
		"another stream":        {append(bytes.Clone(begin), AppendHead(nil, 0, TypeContinuation, FlagEndHeaders, 3)...), ProtocolError},
		"another frame":         {append(bytes.Clone(begin), AppendPing(nil, [8]byte{}, false)...), ProtocolError},
		"no beginning":          {more, ProtocolError},
		"no index of any table": {append(AppendHead(nil, 1, TypeHeaders, FlagEndHeaders, 1), 0xff-1), CompressionError},
		"cut in a string":       {append(AppendHead(nil, 3, TypeHeaders, FlagEndHeaders, 1), 0, 9, 'x'), CompressionError},
		"a string too long":     {append(AppendHead(nil, 6, TypeHeaders, FlagEndHeaders, 1), 0, 0x7f, 0xff, 0xff, 0xff, 0x7f), CompressionError},
	} {
		var broken *ConnError
		if _, err := add(NewBlocks(64<<10), c.b); !errors.As(err, &broken) || broken.Code != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

// Fields that change no table are what HPACK says they are, at every length where its numbers change their form.
func TestAppendField(t *testing.T) {
	for _, n := range []int{0, 1, 126, 127, 128, 254, 255, 256, 127 + 127, 127 + 128, 20000} {
		value := strings.Repeat("v", n)
		got, err := hpack.NewDecoder(tableSize, nil).DecodeFull(AppendField(nil, value, value))
		if err != nil || len(got) != 1 || got[0].Name != value || got[0].Value != value {
			t.Errorf("%d bytes: %v, %v", n, len(got), err)
		}
	}
}

// Headers that come again and again cost nothing but their bytes.
func TestNothingIsAllocated(t *testing.T) {
	e, r := NewEncoder(), NewBlocks(64<<10)
	out := make([]byte, 0, 4096)
	var f Frame
	var b Block
	list := []Field{{Name: ":method", Value: "POST"}, {Name: ":path", Value: "/a.B/C"}, {Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"}}
	one := func() {
		e.Begin()
		for _, x := range list {
			e.Field(x)
		}
		out = e.End(out[:0], 1, false, DefaultFrame)
		if n, err := f.Scan(out, DefaultFrame); n != len(out) || err != nil {
			t.Fatal(n, err)
		}
		if whole, err := r.Add(&f, &b); !whole || err != nil {
			t.Fatal(whole, err)
		}
	}
	one()
	if n := testing.AllocsPerRun(100, one); n != 0 && !raceEnabled { // the race detector allocates by itself
		t.Errorf("%v allocations for a header list", n)
	}
}
