package resp

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

const sample = "+OK\r\n-ERR no\r\n:-42\r\n$5\r\nhello\r\n$0\r\n\r\n$-1\r\n*-1\r\n*2\r\n$1\r\na\r\n*1\r\n:7\r\n" +
	"%1\r\n+k\r\n:1\r\n~1\r\n#t\r\n_\r\n,1.5\r\n(123\r\n=7\r\ntxt:abc\r\n!5\r\nERR x\r\n>1\r\n+push\r\n"

var sampleText = []string{"OK", "(error) ERR no", "-42", `"hello"`, `""`, "(null)", "(null)", `["a" [7]]`, "[k 1]", "[t]",
	"(null)", "1.5", "123", `"txt:abc"`, "(error) ERR x", "[push]"}

func readAll(t *testing.T, src io.Reader) []string {
	t.Helper()
	r := NewReader(src)
	var out []string
	for {
		v, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatalf("after %d replies: %v", len(out), err)
		}
		out = append(out, v.String())
	}
}

func TestReader(t *testing.T) {
	for name, src := range map[string]io.Reader{
		"whole":       bytes.NewReader([]byte(sample)),
		"one by one":  iotest.OneByteReader(bytes.NewReader([]byte(sample))),
		"half reads":  iotest.HalfReader(bytes.NewReader([]byte(sample))),
		"data and EO": iotest.DataErrReader(bytes.NewReader([]byte(sample))),
	} {
		got := readAll(t, src)
		if len(got) != len(sampleText) {
			t.Fatalf("%s: %d replies, want %d: %q", name, len(got), len(sampleText), got)
		}
		for i := range got {
			if got[i] != sampleText[i] {
				t.Errorf("%s: reply %d is %s, want %s", name, i, got[i], sampleText[i])
			}
		}
	}
}

func TestReaderRefuses(t *testing.T) {
	for _, s := range []string{"?\r\n", "$x\r\n", "$-2\r\n", "$1\r\nabc", "*-2\r\n", "+a\n", ":\r\n", ":1x\r\n", "#y\r\n",
		"$99999999999\r\n", ":1234567890123456789012\r\n"} {
		if _, err := NewReader(bytes.NewReader([]byte(s))).Next(); !errors.Is(err, ErrProtocol) {
			t.Errorf("%q: error %v, want ErrProtocol", s, err)
		}
	}
	if _, err := NewReader(bytes.NewReader([]byte("$5\r\nab"))).Next(); err != io.ErrUnexpectedEOF {
		t.Errorf("cut reply: %v, want io.ErrUnexpectedEOF", err)
	}
}

func TestReaderAllocatesNothing(t *testing.T) {
	data := []byte("$5\r\nhello\r\n")
	src := &loop{data: data}
	r := NewReader(src)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per reply, want 0", n)
	}
}

type loop struct{ data []byte }

func (l *loop) Read(p []byte) (int, error) { return copy(p, l.data), nil }

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("*2\r\n$1\r\na\r\n$-1\r\n"))
	f.Add([]byte("*1000000\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, n, err := Parse(b)
		if n > len(b) || n < 0 {
			t.Fatalf("length %d of %d bytes", n, len(b))
		}
		// What is complete must not depend on what follows, and must be incomplete or refused when cut.
		if err != nil || n == 0 {
			return
		}
		again, m, err := Parse(b[:n])
		if err != nil || m != n || again.String() != v.String() {
			t.Fatalf("%q alone gives %v %d %v, with a tail %v %d", b[:n], again, m, err, v, n)
		}
		if _, m, err := Parse(b[:n-1]); err != nil || m != 0 {
			t.Fatalf("%q cut by one gives length %d, %v", b[:n], m, err)
		}
	})
}
