package http2

import (
	"bytes"
	"io"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// FuzzFrame reads a frame here and with golang.org/x/net/http2: both take it, and see the same in it, or neither does.
func FuzzFrame(f *testing.F) {
	for b := every(); len(b) > 0; {
		var fr Frame
		n, _ := fr.Scan(b, DefaultFrame)
		f.Add(b[:n])
		b = b[n:]
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var fr Frame
		n, err := fr.Scan(b, DefaultFrame)
		if err == nil && n == 0 {
			return
		}
		theirs := http2.NewFramer(io.Discard, bytes.NewReader(b))
		theirs.AllowIllegalReads = true
		theirs.SetMaxReadFrameSize(DefaultFrame)
		g, theirErr := theirs.ReadFrame()
		if excused(&fr, err) {
			return
		}
		if (err == nil) != (theirErr == nil) {
			t.Fatalf("%x: %v here, %v there", b, err, theirErr)
		}
		if err == nil {
			if got := (flat{fr.Type, fr.Flags, fr.Stream, string(fr.Payload)}); got != seenBy(g) {
				t.Fatalf("%x: %+v here, %+v there", b, got, seenBy(g))
			}
		}
	})
}

// excused reports whether the two look at different things: what is in SETTINGS is checked when they are read, an increment of 0 by
// whoever knows whose it is, PUSH_PROMISE and the highest bit of numbers not at all.
func excused(f *Frame, err error) bool {
	switch f.Type {
	case TypePushPromise, TypePriority, 0x10: // the last one is PRIORITY_UPDATE, an extension that the library knows
		return true
	case TypeSettings:
		return err == nil && f.EachSetting(func(Setting) {}) != nil
	case TypeWindowUpdate, TypeGoAway:
		return err == nil && (f.Uint32() == 0 || f.Uint32() > MaxWindow)
	}
	return false
}

// FuzzBlocks reads frames of header blocks. Whatever comes, what is kept is bounded, and a block that is taken is what the
// library makes of it.
func FuzzBlocks(f *testing.F) {
	e := NewEncoder()
	e.Begin()
	e.Field(Field{Name: ":status", Value: "200"})
	e.Once("grpc-status", "0")
	f.Add(e.End(nil, 1, true, 3))
	f.Add(AppendHeaders(nil, 1, true, []byte{Status200, 0x20, 0x3f, 0xe1, 0x1f}, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewBlocks(4096)
		dec := hpack.NewDecoder(tableSize, nil)
		var fr Frame
		var block Block
		var bytes []byte
		for len(b) > 0 {
			n, err := fr.Scan(b, DefaultFrame)
			if err != nil || n == 0 {
				return
			}
			b = b[n:]
			if fr.Type == TypeHeaders {
				bytes = bytes[:0]
			}
			bytes = append(bytes, fr.Payload...)
			whole, err := r.Add(&fr, &block)
			if r.size > 4096 && !r.large || len(r.fields) > 4096/32 {
				t.Fatalf("%d fields of %d bytes are kept", len(r.fields), r.size)
			}
			if err != nil {
				return
			}
			if !whole {
				continue
			}
			want, err := dec.DecodeFull(bytes)
			if err != nil {
				t.Fatalf("%x was taken: %v", bytes, err)
			}
			if block.TooLarge {
				continue
			}
			if len(want) != len(block.Fields) {
				t.Fatalf("%x: %v, not %v", bytes, block.Fields, want)
			}
			for i := range want {
				if want[i] != block.Fields[i] {
					t.Fatalf("%x: %v, not %v", bytes, block.Fields, want)
				}
			}
		}
	})
}
