package accesslog

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestDurations(t *testing.T) {
	for _, tc := range []struct {
		ns   time.Duration
		want string
	}{
		{0, "0ns"}, {999, "999ns"}, {1000, "1us"}, {12500, "12.5us"}, {999999, "999.999us"}, {1204 * time.Microsecond, "1.204ms"},
		{50 * time.Millisecond, "50ms"}, {3200 * time.Millisecond, "3.2s"}, {time.Second + 1, "1s"}, {time.Hour, "3600s"},
		{10 * time.Microsecond, "10us"}, {1005 * time.Millisecond, "1.005s"},
	} {
		if got := string(appendDuration(nil, int64(tc.ns))); got != tc.want {
			t.Errorf("%d ns is %s, want %s", tc.ns, got, tc.want)
		}
	}
}

// What others chose may hold anything: a line stays one line, and a quoted value is a JSON string that reads back.
func FuzzValues(f *testing.F) {
	for _, s := range []string{"", "plain", `a "b" \c`, "line\r\nbreak\t", "\x00\x7f", "\xff\xc3(", "é漢😀\u2028", "a=b c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		quoted := appendQuoted(nil, s)
		var back string
		if err := json.Unmarshal(quoted, &back); err != nil {
			t.Fatalf("%q became %s: %v", s, quoted, err)
		}
		if want := strings.ToValidUTF8(s, "\uFFFD"); len(s) <= maxField && utf8.ValidString(s) && back != want {
			t.Fatalf("%q reads back as %q", s, back)
		}
		if string(appendQuoted(nil, []byte(s))) != string(quoted) {
			t.Fatalf("%q differs as bytes and as a string", s)
		}
		pair := string(appendPair(nil, "key", s))
		if strings.ContainsAny(pair, "\r\n") || !utf8.ValidString(pair) {
			t.Fatalf("%q became %q", s, pair)
		}
		if bare := strings.TrimPrefix(pair, " key="); pair != "" && bare[0] != '"' && strings.ContainsAny(bare, " =\"") {
			t.Fatalf("%q stands without quotes as %q", s, bare)
		}
	})
}
