package resp

import (
	"strings"
	"testing"
)

func TestInline(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"PING\r\n", "PING"},
		{"PING\n", "PING"},
		{"  SET  key\tvalue  \r\n", "SET|key|value"},
		{"SET k \"\"\r\n", "SET|k|"},
		{"SET k ''\r\n", "SET|k|"},
		{`SET k "a b"` + "\r\n", "SET|k|a b"},
		{`SET k "a\nb\r\t\a\b\q\\\""` + "\r\n", "SET|k|a\nb\r\t\a\bq\\\""},
		{`SET k "\x41\xfF\x00\xg1\x4"` + "\r\n", "SET|k|A\xff\x00xg1x4"},
		{`SET k 'a\nb\'c\d'` + "\r\n", `SET|k|a\nb'c\d`},
		{`SET k 'a\\b'` + "\r\n", `SET|k|a\\b`},
		{`SET k a"b c"` + "\r\n", "SET|k|ab c"},
		{`SET k a'b\'c'` + "\r\n", "SET|k|ab'c"},
		{`SET k \n` + "\r\n", `SET|k|\n`},
		{`'SET' "k" 'v'` + "\r\n", "SET|k|v"},
		{"a b c d e \"f\\x67\" 'h'\r\n", "a|b|c|d|e|fg|h"},
		{"$5\r\n", "$5"},
		{" *1\r\n", "*1"},
		{"a\vb \vc\f\r\n", "a\vb|c\f"}, // VT and FF are skipped before an argument but do not end one
		{"'a'\vb\r\n", "a|b"},
		{"a\rb\r\r\n", "a|b"},
		{"\"a\rb\"\r\n", "a\rb"},
	} {
		got := scanWhole([]byte(c.in), nil)
		if got.status != Complete || !got.inline || got.size != len(c.in) || strings.Join(got.args, "|") != c.want {
			t.Errorf("Scan(%q) = %v, want arguments %q", c.in, got, c.want)
			continue
		}
		var r Request
		r.Scan([]byte(c.in), nil)
		canonical := r.AppendCanonical(nil, []byte(c.in))
		if want := AppendCommand(nil, strings.Split(c.want, "|")...); string(canonical) != string(want) {
			t.Errorf("canonical form of %q is %q, want %q", c.in, canonical, want)
		}
		for cut := range len(c.in) {
			if split := scanSplit([]byte(c.in), nil, cut); split.String() != got.String() {
				t.Errorf("%q cut at %d: %v, whole: %v", c.in, cut, split, got)
			}
		}
	}
}

func TestInlineRefused(t *testing.T) {
	for _, c := range []struct {
		in   string
		want *ProtocolError
	}{
		{"SET \"a\r\n", errQuotes},
		{"SET 'a\r\n", errQuotes},
		{"SET \"a\"b\r\n", errQuotes},
		{"SET 'a'b\r\n", errQuotes},
		{"SET 'a\\'\r\n", errQuotes},
		{"SET 'a\\\\'\r\n", errQuotes}, // between single quotes a backslash protects the quote alone
		{"SET \"a\\\"\r\n", errQuotes},
		{"SET \"a\\\r\n", errQuotes},
		{"SET \"\"\"\"\r\n", errQuotes},
		{"\"\n", errQuotes},
		{"PING\x00\r\n", errNUL},
		{strings.Repeat("a", DefaultMaxInline+1), errBigInline},
		{strings.Repeat("a", DefaultMaxInline+1) + "\r\n", errBigInline},
		{strings.Repeat("a", DefaultMaxInline) + "\ra\n", errBigInline},
	} {
		if got := scanWhole([]byte(c.in), nil); got.text != c.want.Text {
			t.Errorf("Scan(%.40q) = %v, want %v", c.in, got, c.want)
		}
	}
	for _, end := range []string{"\n", "\r\n"} {
		longest := []byte(strings.Repeat("a", DefaultMaxInline) + end)
		for _, cut := range []int{0, len(longest) - 2, len(longest) - 1} {
			if got := scanSplit(longest, nil, cut); got.status != Complete || got.size != len(longest) {
				t.Errorf("the longest allowed line ended by %q, cut at %d, gives %v", end, cut, got.status)
			}
		}
	}
}
