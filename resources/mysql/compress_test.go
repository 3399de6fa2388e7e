package mysql

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/mysql"
)

// TestCompressedSequence checks the numbers of frames: a reply goes on from its command, also when commands came together,
// and what follows a file goes on from the file.
func TestCompressedSequence(t *testing.T) {
	codec, err := mysql.NewZlib(-1)
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := net.Pipe()
	defer theirs.Close()
	_ = theirs.SetDeadline(time.Now().Add(10 * time.Second))
	z := newCompressed(ours, codec)
	defer z.Close()
	d := mysql.NewDeflater(codec)
	// frames makes one frame of each text, numbered from seq on.
	frames := func(seq byte, texts ...string) (out []byte) {
		d.SetSeq(seq)
		for _, text := range texts {
			if out, err = d.Append(out, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	say := func(b []byte) { // in pieces, as a network may
		go func() {
			for len(b) > 0 {
				n := min(3, len(b))
				if _, err := theirs.Write(b[:n]); err != nil {
					return
				}
				b = b[n:]
			}
		}()
	}
	hear := func(n int) {
		t.Helper()
		if _, err := io.ReadFull(z, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	answer := func(size int, want ...byte) {
		t.Helper()
		text := strings.Repeat("answer ", size/7)
		failed := make(chan error, 1)
		go func() { _, err := z.Write([]byte(text)); failed <- err }()
		in := mysql.NewInflater(codec)
		var got []byte
		for _, seq := range want {
			var head [mysql.CompressedHeaderLen]byte
			if _, err := io.ReadFull(theirs, head[:]); err != nil {
				t.Fatal(err)
			}
			n, s := mysql.Header(head[:])
			body := make([]byte, n)
			if _, err := io.ReadFull(theirs, body); err != nil {
				t.Fatal(err)
			}
			if s != seq {
				t.Errorf("frame %d where %d comes next", s, seq)
			}
			for b := append(head[:], body...); len(b) > 0 || in.Pending(); {
				k := 0
				if got, k, err = in.Feed(got, b); err != nil {
					t.Fatal(err)
				}
				b = b[k:]
			}
		}
		if err := <-failed; err != nil || !bytes.Equal(got, []byte(text)) {
			t.Errorf("%d bytes arrive of %d, %v", len(got), len(text), err)
		}
	}
	say(frames(0, "command"))
	hear(7)
	z.began()
	answer(70, 1)
	answer(70, 2) // the same reply goes on
	say(append(frames(0, "one"), frames(0, "two")...))
	hear(6)
	z.began()
	answer(14, 1)
	z.began()
	answer(3*bufferSize, 1, 2, 3) // larger than one frame
	say(frames(0, strings.Repeat("long ", 100), strings.Repeat("command ", 100)))
	hear(1300)
	z.began()
	answer(7, 2)
	say(frames(3, "file", "and its end")) // what follows the request for a file
	hear(15)
	answer(7, 5)
	if len(z.raw) > 0 || cap(z.plain) > 64<<10 {
		t.Errorf("%d bytes are kept, and room for %d", len(z.raw), cap(z.plain))
	}
}

// TestCompressedGarbage reads what is no frame.
func TestCompressedGarbage(t *testing.T) {
	codec, err := mysql.NewZlib(-1)
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := net.Pipe()
	z := newCompressed(ours, codec)
	defer z.Close()
	go func() {
		_, _ = theirs.Write([]byte{5, 0, 0, 0, 50, 0, 0, 'x', 'x', 'x', 'x', 'x'})
		_ = theirs.Close()
	}()
	if n, err := io.ReadAll(z); err == nil || len(n) > 0 {
		t.Errorf("garbage is read as %q, %v", n, err)
	}
}
