package resp

import (
	"fmt"
	"strings"
	"testing"
)

// replyOutcome scans one reply in the given pieces and says how it ended.
func replyOutcome(buf []byte, cuts ...int) string {
	var s ReplyScanner
	total := 0
	for _, to := range append(cuts, len(buf)) {
		piece := buf[total:to]
		n, done, err := s.Scan(piece)
		total += n
		if err != nil {
			return "error " + err.(*ReplyError).Text
		}
		if done {
			return fmt.Sprintf("%c %d", s.Kind(), total)
		}
		if n != len(piece) {
			return fmt.Sprintf("took %d of %d but is neither done nor failed", n, len(piece))
		}
	}
	return "more"
}

func TestReplyScanner(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("*1\r\n", n) + ":1\r\n" }
	for _, c := range []struct{ name, in, want string }{
		{"simple", "+OK\r\n+NEXT\r\n", "+ 5"},
		{"empty simple", "+\r\n", "+ 3"},
		{"error", "-ERR no\r\n", "- 9"},
		{"integer", ":-12\r\n", ": 6"},
		{"integer with plus", ":+12\r\n", ": 6"},
		{"string", "$5\r\na\r\nbc\r\n", "$ 11"},
		{"empty string", "$0\r\n\r\n", "$ 6"},
		{"null string", "$-1\r\n", "$ 5"},
		{"null array", "*-1\r\n", "* 5"},
		{"empty array", "*0\r\n:1\r\n", "* 4"},
		{"array", "*3\r\n:1\r\n$1\r\na\r\n*2\r\n+a\r\n$-1\r\n:1\r\n", "* 28"},
		{"null", "_\r\n", "_ 3"},
		{"double", ",-1.5e3\r\n", ", 9"},
		{"infinity", ",inf\r\n", ", 6"},
		{"boolean", "#t\r\n", "# 4"},
		{"blob error", "!5\r\nERR x\r\n", "! 11"},
		{"verbatim", "=7\r\ntxt:abc\r\n", "= 13"},
		{"big number", "(-123456789012345678901234567890\r\n", "( 34"},
		{"map", "%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n", "% 24"},
		{"empty map", "%0\r\n", "% 4"},
		{"set", "~2\r\n:1\r\n:2\r\n", "~ 12"},
		{"push", ">2\r\n+message\r\n+x\r\n:1\r\n", "> 18"},
		{"attribute", "|1\r\n+ttl\r\n:5\r\n$1\r\na\r\n:1\r\n", "$ 21"},
		{"empty attribute", "|0\r\n+OK\r\n", "+ 9"},
		{"attribute before push", "|1\r\n+a\r\n+b\r\n>1\r\n+x\r\n", "> 20"},
		{"attributes", "|1\r\n+a\r\n|1\r\n+b\r\n+c\r\n*0\r\n|0\r\n%1\r\n+d\r\n|0\r\n_\r\n+x\r\n", "% 43"},
		{"attribute inside", "*2\r\n:1\r\n|1\r\n+a\r\n:1\r\n:2\r\n:3\r\n", "* 24"},
		{"deepest", deep(128), "* 516"},

		{"nothing", "", "more"},
		{"cut line", "+OK\r", "more"},
		{"cut string", "$3\r\nab", "more"},
		{"cut array", "*2\r\n:1\r\n", "more"},
		{"attribute without value", "|1\r\n+a\r\n:1\r\n", "more"},
		{"attribute in an array without value", "*1\r\n|0\r\n", "more"},
		{"array of four billion", "*4294967294\r\n:1\r\n", "more"},
		{"map of two billion", "%2147483647\r\n:1\r\n", "more"},
		{"string of a terabyte", "$1099511627776\r\na", "more"},

		{"too deep", deep(129), "error " + errReplyDepth.Text},
		{"attributes too deep", strings.Repeat("|0\r\n", 129), "error " + errReplyDepth.Text},
		{"unknown type", "PONG\r\n", "error " + errReplyType.Text},
		{"unknown type inside", "*1\r\n\r\n", "error " + errReplyType.Text},
		{"streamed string", "$?\r\n", "error " + errReplyStreamed.Text},
		{"streamed array", "*?\r\n", "error " + errReplyStreamed.Text},
		{"stream end", ".\r\n", "error " + errReplyStreamed.Text},
		{"stream chunk", ";4\r\n", "error " + errReplyStreamed.Text},
		{"string length -2", "$-2\r\n", "error " + errReplyLength.Text},
		{"string length with plus", "$+2\r\nab\r\n", "error " + errReplyLength.Text},
		{"string length with zero", "$02\r\nab\r\n", "error " + errReplyLength.Text},
		{"string length minus zero", "$-0\r\n\r\n", "error " + errReplyLength.Text},
		{"no string length", "$\r\n", "error " + errReplyLength.Text},
		{"string length overflows", "$18446744073709551617\r\na\r\n", "error " + errReplyLength.Text},
		{"string length over the limit", "$1099511627777\r\n", "error " + errReplyLength.Text},
		{"null blob error", "!-1\r\n", "error " + errReplyLength.Text},
		{"verbatim without format", "=3\r\nabc\r\n", "error " + errReplyLength.Text},
		{"array count -2", "*-2\r\n", "error " + errReplyCount.Text},
		{"array count over the limit", "*4294967295\r\n", "error " + errReplyCount.Text},
		{"map count over the limit", "%2147483648\r\n", "error " + errReplyCount.Text},
		{"null map", "%-1\r\n", "error " + errReplyCount.Text},
		{"null set", "~-1\r\n", "error " + errReplyCount.Text},
		{"no count", "*\r\n", "error " + errReplyCount.Text},
		{"count with letters", "*2x\r\n", "error " + errReplyCount.Text},
		{"string ended by xx", "$1\r\naxx", "error " + errReplyCRLF.Text},
		{"string ended by x LF", "$1\r\nax\n", "error " + errReplyCRLF.Text},
		{"null string ended by x LF", "$-1x\n", "error " + errReplyLength.Text},
		{"null string ended by CR x", "$-1\rx", "error " + errReplyCRLF.Text},
		{"null ended by CR x", "_\rx", "error " + errReplyCRLF.Text},
		{"integer ended by CR x", ":1\rx", "error " + errReplyCRLF.Text},
		{"string ended by CR x", "$1\r\na\rx", "error " + errReplyCRLF.Text},
		{"length ended by CR x", "$1\rxa\r\n", "error " + errReplyCRLF.Text},
		{"simple with CR", "+a\rb\r\n", "error " + errReplyCRLF.Text},
		{"simple with LF", "+a\nb\r\n", "error " + errReplyCRLF.Text},
		{"error ended by LF", "-ERR\n+OK\r\n", "error " + errReplyCRLF.Text},
		{"integer without digits", ":\r\n", "error " + errReplyInt.Text},
		{"integer sign alone", ":-\r\n", "error " + errReplyInt.Text},
		{"integer with two signs", ":--1\r\n", "error " + errReplyInt.Text},
		{"integer with sign behind", ":1-\r\n", "error " + errReplyInt.Text},
		{"integer with blank", ": 1\r\n", "error " + errReplyInt.Text},
		{"integer of 20 digits", ":12345678901234567890\r\n", "error " + errReplyInt.Text},
		{"big number with letters", "(12a\r\n", "error " + errReplyInt.Text},
		{"big number without digits", "(-\r\n", "error " + errReplyInt.Text},
		{"boolean maybe", "#m\r\n", "error " + errReplyBool.Text},
		{"boolean twice", "#tt\r\n", "error " + errReplyBool.Text},
		{"no boolean", "#\r\n", "error " + errReplyBool.Text},
		{"null with text", "_x\r\n", "error " + errReplyNull.Text},
		{"no double", ",\r\n", "error " + errReplyDouble.Text},
		{"push in an array", "*1\r\n>1\r\n+a\r\n", "error " + errReplyPush.Text},
		{"push in an attribute", "|1\r\n+a\r\n>1\r\n+a\r\n+b\r\n", "error " + errReplyPush.Text},
	} {
		t.Run(c.name, func(t *testing.T) {
			buf := []byte(c.in)
			if got := replyOutcome(buf); got != c.want {
				t.Fatalf("Scan(%.60q) = %s, want %s", c.in, got, c.want)
			}
			every := make([]int, len(buf))
			for cut := range buf {
				every[cut] = cut
				if got := replyOutcome(buf, cut); got != c.want {
					t.Fatalf("cut at %d: %s, want %s", cut, got, c.want)
				}
			}
			if got := replyOutcome(buf, every...); got != c.want {
				t.Fatalf("byte by byte: %s, want %s", got, c.want)
			}
			checkSimple(t, buf)
		})
	}
}

// checkSimple holds ScanSimple against ReplyScanner: every reply it accepts has the same length there, and of those
// that are short enough it misses none.
func checkSimple(t *testing.T, buf []byte) {
	t.Helper()
	simple := ScanSimple(buf)
	var s ReplyScanner
	n, done, err := s.Scan(buf)
	if simple > 0 && (!done || err != nil || n != simple) {
		t.Fatalf("ScanSimple(%.60q) = %d, ReplyScanner: %d, %v, %v", buf, simple, n, done, err)
	}
	if simple == 0 && done && strings.IndexByte("+-:$_", buf[0]) >= 0 && n < 1e9 {
		t.Fatalf("ScanSimple(%.60q) = 0, ReplyScanner: %d", buf, n)
	}
}

func TestReplyScannerGoesOn(t *testing.T) {
	var s ReplyScanner
	buf := []byte("+OK\r\n>1\r\n+x\r\n*2\r\n$2\r\nab\r\n_\r\n|1\r\n+a\r\n+b\r\n:7\r\n")
	var kinds []byte
	for len(buf) > 0 {
		n, done, err := s.Scan(buf)
		if !done || err != nil {
			t.Fatal(n, done, err)
		}
		if s.IsPush() != (s.Kind() == '>') {
			t.Fatalf("IsPush is %v for %c", s.IsPush(), s.Kind())
		}
		kinds = append(kinds, s.Kind())
		buf = buf[n:]
	}
	if string(kinds) != "+>*:" {
		t.Fatalf("kinds %q, want %q", kinds, "+>*:")
	}
}

func TestReplyScannerState(t *testing.T) {
	var s ReplyScanner
	for _, step := range []struct {
		in   string
		left int64
		kind byte
		done bool
	}{
		{"|1\r\n+a\r\n+b\r\n", 0, 0, false},
		{"*2\r\n$10", 0, '*', false},
		{"\r\n", 10, '*', false},
		{"abcd", 6, '*', false},
		{"efghij\r", 0, '*', false},
		{"\n", 0, '*', false},
		{":1\r\n", 0, '*', true},
	} {
		n, done, err := s.Scan([]byte(step.in))
		if n != len(step.in) || err != nil || done != step.done || s.BulkLeft() != step.left || s.Kind() != step.kind {
			t.Fatalf("after %q: n %d, done %v, err %v, BulkLeft %d, Kind %q; want done %v, BulkLeft %d, Kind %q",
				step.in, n, done, err, s.BulkLeft(), s.Kind(), step.done, step.left, step.kind)
		}
	}
	_, _, first := s.Scan([]byte("?"))
	_, _, again := s.Scan([]byte("+OK\r\n"))
	if first == nil || first != again {
		t.Fatalf("after %v the next Scan returned %v, want the same error", first, again)
	}
	s.Reset()
	if n, done, err := s.Scan([]byte("+OK\r\n")); n != 5 || !done || err != nil {
		t.Fatalf("after Reset: %d, %v, %v", n, done, err)
	}
}

func TestRepliesDoNotAllocate(t *testing.T) {
	for _, in := range []string{"+OK\r\n", string(benchBulk), string(benchArray), "|1\r\n+a\r\n,1.5\r\n%1\r\n+a\r\n~1\r\n#t\r\n", "*x\r\n"} {
		buf := []byte(in)
		if a := testing.AllocsPerRun(100, func() {
			var s ReplyScanner
			s.Scan(buf[:len(buf)/2])
			s.Scan(buf[len(buf)/2:])
			ScanSimple(buf)
		}); a != 0 {
			t.Errorf("%.20q allocates %v times", in, a)
		}
	}
}
