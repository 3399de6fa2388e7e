package cli

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// FuzzEvents checks that a stream reads the same however it is cut.
func FuzzEvents(f *testing.F) {
	f.Add(": watching\n\nevent: call\ndata: {\"op\":\"GET\"}\n\nevent: dropped\ndata: {}\n\n")
	f.Add("data:x\r\n\r\ndata\n\nevent\ndata: y")
	f.Fuzz(func(t *testing.T, stream string) {
		read := func(r io.Reader) (got []string, failed bool) {
			err := events(r, func(event string, data []byte) error {
				got = append(got, event+"|"+string(data))
				return nil
			})
			return got, err != nil
		}
		whole, failed := read(strings.NewReader(stream))
		bytewise, failedToo := read(iotest.OneByteReader(strings.NewReader(stream)))
		if diff := cmp.Diff(whole, bytewise); diff != "" || failed != failedToo {
			t.Errorf("failed %v, %v: %s", failed, failedToo, diff)
		}
	})
}

// FuzzClean checks that nothing that drives a terminal comes through.
func FuzzClean(f *testing.F) {
	f.Add("\x1b[31m\x9b\u202e\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		got := Clean(text)
		for _, r := range got {
			if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
				t.Errorf("%q leaves %q", text, r)
			}
		}
		if Clean(got) != got {
			t.Errorf("%q is not clean", got)
		}
	})
}
