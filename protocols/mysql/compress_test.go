package mysql

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

func zlibCodec(t testing.TB) *Codec {
	t.Helper()
	c, err := NewZlib(zlib.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// feed runs an Inflater over in, chunk bytes at a time, and returns what comes out.
func feed(t testing.TB, f *Inflater, in []byte, chunk int) (out []byte, err error) {
	t.Helper()
	for len(in) > 0 || f.Pending() {
		before := len(out)
		piece := in[:min(chunk, len(in))]
		var n int
		out, n, err = f.Feed(out, piece)
		if grown := len(out) - before; grown > InflateChunk {
			t.Fatalf("%d bytes at once", grown)
		}
		if err != nil {
			if _, _, again := f.Feed(nil, in); again != err || !errors.Is(err, ErrMalformed) {
				t.Fatalf("error %v, then %v", err, again)
			}
			return out, err
		}
		if n == 0 && len(out) == before {
			t.Fatalf("no progress with %d bytes", len(piece))
		}
		in = in[n:]
	}
	return out, nil
}

// TestInflateDocument: the frames that the protocol's documents show.
func TestInflateDocument(t *testing.T) {
	const select9 = "\x22\x00\x00\x00\x32\x00\x00" + // compressed length 34, sequence 0, 50 bytes when decompressed
		"\x78\x9c\xd3\x63\x60\x60\x60\x2e\x4e\xcd\x49\x4d\x2e\x51\x50\x32\x30\x34\x32\x36\x31\x35\x33\xb7\xb0\xc4\xcd\x52\x02\x00\x0c\xd1\x0a\x6c"
	const ping = "\x05\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x0e"
	f := NewInflater(zlibCodec(t))
	for _, chunk := range []int{1, 2, 7, 8, 100} {
		out, err := feed(t, f, []byte(select9+ping), chunk)
		want := pk(0, "\x03select \"012345678901234567890123456789012345\"") + pk(0, "\x0e")
		if err != nil || string(out) != want || f.Seq() != 1 {
			t.Errorf("%q, sequence %d, %v", out, f.Seq(), err)
		}
	}
}

// TestCompressThereAndBack: what a Deflater makes, in pieces of any size, an Inflater undoes, split anywhere.
func TestCompressThereAndBack(t *testing.T) {
	codec := zlibCodec(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	text := []byte(strings.Repeat("SELECT * FROM accounts WHERE id = 42; ", 40000))
	noise := make([]byte, 600_000)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	for _, size := range []int{0, 1, MinCompress - 1, MinCompress, 1000, InflateChunk, InflateChunk + 1, deflateChunk, deflateChunk + 10, 600_000} {
		for _, data := range [][]byte{text[:size], noise[:size]} {
			d := NewDeflater(codec)
			d.SetSeq(250)
			wire, err := d.Append([]byte("x"), data)
			if err != nil {
				t.Fatal(err)
			}
			if len(wire) > 1+len(data)+(CompressedHeaderLen)*(1+len(data)/deflateChunk) {
				t.Errorf("%d bytes became %d", len(data), len(wire))
			}
			for _, chunk := range []int{1, 13, 4096, len(wire)} {
				f := NewInflater(codec)
				out, err := feed(t, f, wire[1:], chunk)
				if err != nil || !bytes.Equal(out, data) {
					t.Fatalf("%d bytes by %d: %d bytes, %v", len(data), chunk, len(out), err)
				}
				if size > 0 && f.Seq() != d.Seq() {
					t.Errorf("sequence %d, want %d", f.Seq(), d.Seq())
				}
				f.Close()
			}
		}
	}
}

// TestInflateRefused: frames that lie about their length, and such as end too early or too late.
func TestInflateRefused(t *testing.T) {
	codec := zlibCodec(t)
	d := NewDeflater(codec)
	good, err := d.Append(nil, bytes.Repeat([]byte("abc"), 100))
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, to byte) string {
		b := bytes.Clone(good)
		b[at] = to
		return string(b)
	}
	for _, c := range []struct{ name, in, err string }{
		{"less than declared", change(6, 1), "less than declared"},
		{"more than declared", change(4, 43), "more bytes than declared"},
		{"no data", "\x00\x00\x00\x00\x05\x00\x00", "5 bytes out of none"},
		{"not zlib", change(7, 0), "invalid header"},
		{"wrong sum", change(len(good)-1, good[len(good)-1]^1), "invalid checksum"},
		{"bytes behind the data", change(0, good[0]+1) + "x", "behind its data"},
		{"cut", change(0, good[0]-1), "EOF"},
	} {
		for _, chunk := range []int{1, 1000} {
			if _, err := feed(t, NewInflater(codec), []byte(c.in), chunk); err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want one with %q", c.name, err, c.err)
			}
		}
	}
}

// TestInflateMemory: a frame that declares 16 MiB takes no more than what has come.
func TestInflateMemory(t *testing.T) {
	f := NewInflater(zlibCodec(t))
	_, n, err := f.Feed(nil, []byte("\xff\xff\xff\x00\xff\xff\xff\x78\x9c"))
	if n != 9 || err != nil || cap(f.frame) > 64 {
		t.Errorf("%d bytes taken, %v, holds %d", n, err, cap(f.frame))
	}
	const size = 4<<20 + 1
	var buf bytes.Buffer
	w := zlib.NewWriter(&buf)
	if _, err := w.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	wire := append(AppendHeader(nil, buf.Len(), 0), size&0xff, size>>8&0xff, size>>16)
	wire = append(wire, buf.Bytes()...)
	f = NewInflater(zlibCodec(t))
	total, out := 0, []byte(nil)
	for len(wire) > 0 || f.Pending() {
		if out, n, err = f.Feed(out[:0], wire); err != nil {
			t.Fatal(err)
		}
		if len(out) > InflateChunk || cap(out) > 2*InflateChunk {
			t.Fatalf("%d bytes at once, in %d", len(out), cap(out))
		}
		wire = wire[n:]
		total += len(out)
	}
	if total != size || cap(f.frame) > keepFrame {
		t.Errorf("%d bytes, and %d kept", total, cap(f.frame))
	}
}

// badWriter fails.
type badWriter struct{ io.Writer }

func (badWriter) Reset(io.Writer)           {}
func (badWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
func (badWriter) Close() error              { return nil }

func TestCodecErrors(t *testing.T) {
	if _, err := NewZlib(12); err == nil || !strings.Contains(err.Error(), "-2 to 9") {
		t.Errorf("level 12: %v", err)
	}
	d := NewDeflater(NewCodec(nil, func() Compressor { return badWriter{} }))
	if out, err := d.Append([]byte("x"), make([]byte, 100)); err != io.ErrShortWrite || string(out) != "x" {
		t.Errorf("%q, %v", out, err)
	}
}
