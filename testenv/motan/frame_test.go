package motan

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

// kept returns the messages of testdata.
func kept(t testing.TB) [][]byte {
	t.Helper()
	b, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		message, err := hex.DecodeString(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]))
		if err != nil {
			t.Fatalf("%.100q: %v", line, err)
		}
		all = append(all, message)
	}
	return all
}

// Messages one after another are cut where one ends and the next begins.
func TestReadFrame(t *testing.T) {
	want := kept(t)
	r := bufio.NewReader(bytes.NewReader(bytes.Join(want, nil)))
	for i, w := range want {
		if got, err := readFrame(r); err != nil || !bytes.Equal(got, w) {
			t.Fatalf("message %d: %x, %v, not %x", i, got, err, w)
		}
	}
	if b, err := readFrame(r); !errors.Is(err, io.EOF) {
		t.Errorf("after the last: %x, %v", b, err)
	}
	for n := range want[0] {
		if b, err := readFrame(bufio.NewReader(bytes.NewReader(want[0][:n]))); err == nil {
			t.Fatalf("of %d bytes: %x", n, b)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	for _, b := range kept(f) {
		f.Add(b, true)
		f.Add(b, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, fromServer bool) {
		got, err := readFrame(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		if !bytes.HasPrefix(b, got) {
			t.Fatalf("%x is not the start of %x", got, b)
		}
		frame := Frame{FromServer: fromServer, Bytes: got}
		_ = frame.Kind() + frame.shape() // do not panic
		if frame.Version() == 2 && len(frame.Body()) > len(got)-head-8 {
			t.Errorf("the body of %x is %x", got, frame.Body())
		}
	})
}
