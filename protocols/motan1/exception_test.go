package motan1

import (
	"bytes"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
)

// What Java has read once is written again.
func TestExceptions(t *testing.T) {
	text, err := os.ReadFile("testdata/exceptions.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		n++
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		version, _ := strconv.Atoi(f[0])
		status, _ := strconv.Atoi(f[2])
		code, _ := strconv.Atoi(f[3])
		want, err := hex.DecodeString(f[5])
		if err != nil {
			t.Fatal(err)
		}
		e := Exception{Class: f[1], Status: int32(status), Code: int32(code), Message: f[4]}
		got := AppendException([]byte("x"), Version(version), 42, 9, e)[1:]
		if !bytes.Equal(got, want) {
			t.Errorf("%+v: %q\nwant %q", e, got, want)
		}
		h := mustScan(t, got)
		var r Response
		if err := r.Parse(got, h); err != nil || h.Kind != KindException || h.ID != 42 || r.Time != 9 || (f[1] != "" && string(r.Class) != f[1]) {
			t.Errorf("%+v: %+v, %+v, %v", e, h, r, err)
		}
	}
	if n != 16 {
		t.Errorf("%d lines in testdata, want 16", n)
	}
}

// A long text is cut between characters, and its length is that in UTF-16.
func TestExceptionText(t *testing.T) {
	for _, c := range []struct {
		text string
		want int
	}{
		{"", 0}, {rep("é", 31), 31}, {rep("é", 32), 32}, {rep("é", 1023), 1023}, {rep("é", 1024), 1024}, {rep("😀", 10), 20},
		{rep("é", maxMessage), maxMessage}, {rep("é", maxMessage+1), maxMessage}, {rep("x", maxMessage-1) + "😀", maxMessage - 1}, {rep("x", 1<<20), maxMessage},
	} {
		b := appendHessianString(nil, c.text)
		n, head := int(b[0]), 1
		if b[0] == 'S' {
			n, head = int(b[1])<<8|int(b[2]), 3
		} else if b[0] >= 0x30 {
			n, head = int(b[0]-0x30)<<8|int(b[1]), 2
		}
		got := string(AppendUTF8(nil, b[head:]))
		if n != c.want || len(utf16.Encode([]rune(got))) != n || !strings.HasPrefix(c.text, got) {
			t.Errorf("%d bytes of text: length %d, want %d, text %.20q", len(c.text), n, c.want, got)
		}
	}
	class := rep("c", 1<<16)
	if frame := AppendException(nil, Plain, 1, 0, Exception{Class: class}); !bytes.Contains(frame, []byte(ClassService)) {
		t.Errorf("a class of %d bytes: %q", len(class), frame)
	}
}
