package resp

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// scanned is what a scan of one request came to.
type scanned struct {
	status Status
	text   string // of the error
	size   int
	args   []string
	inline bool
}

func (s scanned) String() string {
	if s.text != "" {
		return "error " + s.text
	}
	return fmt.Sprintf("%v size=%d inline=%v args=%q", s.status, s.size, s.inline, s.args)
}

// outcome collects the result of the last Scan of r.
func outcome(r *Request, buf []byte, st Status, err error) scanned {
	s := scanned{status: st, inline: r.Inline}
	if err != nil {
		s.text = err.(*ProtocolError).Text
		return s
	}
	if st == Complete || st == Empty {
		s.size = r.Size
	}
	if st == Complete {
		for i := range r.Argc {
			s.args = append(s.args, string(r.Arg(buf, i)))
		}
	}
	return s
}

func scanWhole(buf []byte, lim *Limits) scanned {
	var r Request
	st, err := r.Scan(buf, lim)
	return outcome(&r, buf, st, err)
}

// scanSplit scans prefixes that end at the given offsets and then the whole, on one Request.
func scanSplit(buf []byte, lim *Limits, cuts ...int) scanned {
	var r Request
	for _, c := range cuts {
		st, err := r.Scan(buf[:c:c], lim)
		if err != nil || st == Complete || st == Empty {
			return outcome(&r, buf, st, err)
		}
	}
	moved := bytes.Clone(buf)
	st, err := r.Scan(moved, lim)
	return outcome(&r, moved, st, err)
}

func bulks(n int, arg string) string {
	return fmt.Sprintf("*%d\r\n", n) + strings.Repeat(fmt.Sprintf("$%d\r\n%s\r\n", len(arg), arg), n)
}

func TestScan(t *testing.T) {
	small := &Limits{MaxBulk: 100, MaxArgs: 5, MaxInline: 32, Stream: 1000}
	locked := &Limits{Unauthenticated: true}
	for _, c := range []struct {
		name, in string
		lim      *Limits
		want     string // "SIZE:arg|arg", "empty SIZE", "more", "large" or the error without its prefix
	}{
		{"simple", "*2\r\n$3\r\nGET\r\n$1\r\nk\r\nrest", nil, "20:GET|k"},
		{"empty argument", "*2\r\n$3\r\nGET\r\n$0\r\n\r\n", nil, "19:GET|"},
		{"CRLF inside an argument", "*1\r\n$4\r\n\r\n\r\n\r\n", nil, "14:\r\n\r\n"},
		{"five arguments", bulks(5, "ab"), nil, "44:ab|ab|ab|ab|ab"},
		{"twelve arguments", bulks(12, "a"), nil, "89:a|a|a|a|a|a|a|a|a|a|a|a"},
		{"nothing", "", nil, "more"},
		{"count cut", "*1", nil, "more"},
		{"count without LF", "*1\r", nil, "more"},
		{"length cut", "*1\r\n$1", nil, "more"},
		{"body cut", "*1\r\n$2\r\na", nil, "more"},
		{"last LF missing", "*1\r\n$1\r\na\r", nil, "more"},

		{"zero arguments", "*0\r\nPING\r\n", nil, "empty 4"},
		{"negative count", "*-5\r\nPING\r\n", nil, "empty 5"},
		{"very negative count", "*-9223372036854775808\r\n", nil, "empty 23"},
		{"empty line", "\r\nPING\r\n", nil, "empty 2"},
		{"LF alone", "\nPING\r\n", nil, "empty 1"},
		{"blanks", " \t \r\n", nil, "empty 5"},

		{"no count", "*\r\n", nil, "invalid multibulk length"},
		{"count with letters", "*1x\r\n", nil, "invalid multibulk length"},
		{"count with plus", "*+1\r\n", nil, "invalid multibulk length"},
		{"count with leading zero", "*01\r\n", nil, "invalid multibulk length"},
		{"minus zero", "*-0\r\n", nil, "invalid multibulk length"},
		{"count with blank", "* 1\r\n", nil, "invalid multibulk length"},
		{"count beyond int", "*2147483648\r\n", nil, "invalid multibulk length"},
		{"count beyond int64", "*9223372036854775808\r\n", nil, "invalid multibulk length"},
		{"count far below int64", "*-9223372036854775809\r\n", nil, "invalid multibulk length"},
		{"count ended by LF", "*1\n$4\r\nPING\r\n", nil, "invalid multibulk length"},
		{"count with NUL", "*1\x00\r\n", nil, "invalid multibulk length"},
		{"count at the limit", bulks(5, "a"), small, "39:a|a|a|a|a"},
		{"count over the limit", "*6\r\n", small, "invalid multibulk length"},
		{"count line of limit", "*" + strings.Repeat("1", 31) + "\r\n", small, "invalid multibulk length"},
		{"count line over limit", "*" + strings.Repeat("1", 32), small, "too big mbulk count string"},
		{"default count limit", "*1048577\r\n", nil, "invalid multibulk length"},

		{"not a dollar", "*1\r\n:1\r\n", nil, "expected '$', got ':'"},
		{"nested array", "*1\r\n*1\r\n$1\r\na\r\n", nil, "expected '$', got '*'"},
		{"empty length line", "*1\r\n\r\n", nil, "expected '$', got ' '"},
		{"not a dollar, line not whole", "*1\r\nxyz", nil, "more"},
		{"no length", "*1\r\n$\r\n", nil, "invalid bulk length"},
		{"negative length", "*1\r\n$-1\r\n", nil, "invalid bulk length"},
		{"length with letters", "*1\r\n$1k\r\n", nil, "invalid bulk length"},
		{"length with leading zero", "*1\r\n$04\r\nPING\r\n", nil, "invalid bulk length"},
		{"length over the limit", "*1\r\n$101\r\n", small, "invalid bulk length"},
		{"length at the limit", "*1\r\n$100\r\n", small, "more"},
		{"length over 512 MiB", "*1\r\n$536870913\r\n", nil, "invalid bulk length"},
		{"length beyond int64", "*1\r\n$99999999999999999999\r\n", nil, "invalid bulk length"},
		{"length line over limit", "*1\r\n$" + strings.Repeat("1", 32), small, "too big bulk count string"},
		{"length line of limit", "*1\r\n$" + strings.Repeat("1", 31) + "\r\n", small, "invalid bulk length"},

		{"count line ended by CR x", "*1\rx$1\r\na\r\n", nil, "invalid CRLF"},
		{"length line ended by CR x", "*1\r\n$1\rxa\r\n", nil, "invalid CRLF"},
		{"body ended by xx", "*1\r\n$1\r\naxx", nil, "invalid CRLF"},
		{"body ended by x LF", "*1\r\n$1\r\nax\n", nil, "invalid CRLF"},
		{"body ended by CR x", "*1\r\n$1\r\na\rx", nil, "invalid CRLF"},
		{"body ended by LF CR", "*1\r\n$1\r\na\n\r", nil, "invalid CRLF"},
		{"body longer than said", "*1\r\n$3\r\nPING\r\n", nil, "invalid CRLF"},

		{"large", "*2\r\n$3\r\nSET\r\n$32769\r\nabc", nil, "large"},
		{"not yet large", "*2\r\n$3\r\nSET\r\n$32768\r\nabc", nil, "more"},
		{"large but whole", "*1\r\n$40000\r\n" + strings.Repeat("a", 40000) + "\r\n", nil, "40014:" + strings.Repeat("a", 40000)},

		{"ten before login", bulks(10, "a"), locked, "75:a|a|a|a|a|a|a|a|a|a"},
		{"eleven before login", "*11\r\n", locked, "unauthenticated multibulk length"},
		{"16384 before login", "*1\r\n$16384\r\n", locked, "more"},
		{"16385 before login", "*1\r\n$16385\r\n", locked, "unauthenticated bulk length"},
		{"over all limits before login", "*1\r\n$536870913\r\n", locked, "invalid bulk length"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := scanWhole([]byte(c.in), c.lim)
			var s string
			switch {
			case got.text != "":
				s = strings.TrimPrefix(got.text, protocolError)
			case got.status == Complete:
				s = fmt.Sprintf("%d:%s", got.size, strings.Join(got.args, "|"))
			case got.status == Empty:
				s = fmt.Sprintf("empty %d", got.size)
			case got.status == NeedMore:
				s = "more"
			default:
				s = got.status.String()
			}
			if s != c.want {
				t.Fatalf("Scan(%.60q) = %.100s, want %.100s", c.in, s, c.want)
			}
			if len(c.in) > 1000 {
				return
			}
			for cut := range len(c.in) {
				if split := scanSplit([]byte(c.in), c.lim, cut); split.String() != got.String() {
					t.Fatalf("cut at %d: %v, whole: %v", cut, split, got)
				}
			}
			every := make([]int, len(c.in))
			for i := range every {
				every[i] = i
			}
			if split := scanSplit([]byte(c.in), c.lim, every...); split.String() != got.String() {
				t.Fatalf("byte by byte: %v, whole: %v", split, got)
			}
		})
	}
}

func TestScanStaysAtItsResult(t *testing.T) {
	var r Request
	buf := []byte("*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n")
	for range 3 {
		if st, err := r.Scan(buf, nil); st != Complete || err != nil || r.Size != 14 {
			t.Fatalf("Scan = %v, %v, Size %d, want a complete request of 14 bytes", st, err, r.Size)
		}
	}
	r.Reset()
	_, first := r.Scan([]byte("*x\r\n"), nil)
	_, again := r.Scan(buf, nil)
	if first == nil || first != again {
		t.Fatalf("after %v the next Scan returned %v, want the same error", first, again)
	}
}

func TestArgs(t *testing.T) {
	var cmd [][]byte
	for i := range 20 {
		cmd = append(cmd, bytes.Repeat([]byte{byte('a' + i)}, i*i))
	}
	buf := AppendCommandBytes(nil, cmd...)
	var r Request
	if st, err := r.Scan(buf, nil); st != Complete || err != nil {
		t.Fatal(st, err)
	}
	for _, order := range [][]int{{0, 1, 2, 3, 4, 5, 19}, {19, 18, 4, 5, 6, 5, 19, 0}, {7, 7, 8, 7}} {
		for _, i := range order {
			if got := r.Arg(buf, i); !bytes.Equal(got, cmd[i]) || got == nil {
				t.Fatalf("Arg(%d) = %q, want %q", i, got, cmd[i])
			}
		}
	}
	if r.Arg(buf, 20) != nil || r.Arg(buf, -1) != nil {
		t.Fatal("Arg beyond the last one is not nil")
	}
	if s := r.Head(2); string(buf[s.Off:s.Off+s.Len]) != string(cmd[2]) || r.Head(4) != (Span{}) || r.Head(-1) != (Span{}) {
		t.Fatalf("Head(2) = %v, Head(4) = %v, Head(-1) = %v", s, r.Head(4), r.Head(-1))
	}
	n := 0
	r.Each(buf, func(i int, arg []byte) bool {
		if i != n || !bytes.Equal(arg, cmd[i]) {
			t.Fatalf("Each gave %d %q, want %d %q", i, arg, n, cmd[n])
		}
		n++
		return n < 15
	})
	if n != 15 {
		t.Fatalf("Each went on to %d after it was told to stop at 15", n)
	}
	if got := r.AppendCanonical([]byte("x"), buf); string(got) != "x"+string(buf) {
		t.Fatalf("AppendCanonical changed an array to %q", got)
	}
	// An append to an argument must not write over the next one.
	_ = append(r.Arg(buf, 1), "overwritten"...)
	_ = append(r.Arg(buf, 9), "overwritten"...)
	if !bytes.Equal(buf, AppendCommandBytes(nil, cmd...)) {
		t.Fatal("append to an argument changed the buffer")
	}
}

// TestLargeKnowsItsHead: what a caller needs to route a request before its value arrived.
func TestLargeKnowsItsHead(t *testing.T) {
	buf := []byte("*6\r\n$3\r\nSET\r\n$3\r\nkey\r\n$40000\r\nxy")
	var r Request
	st, err := r.Scan(buf, nil)
	size, off := r.PendingBulk()
	if st != Large || err != nil || r.Argc != 6 || r.HeadArgs() != 2 || size != 40000 || off != len(buf)-2 {
		t.Fatalf("Scan = %v, %v; Argc %d, HeadArgs %d, PendingBulk %d at %d", st, err, r.Argc, r.HeadArgs(), size, off)
	}
	if string(r.Arg(buf, 1)) != "key" || r.Arg(buf, 2) != nil {
		t.Fatalf("Arg(1) = %q, Arg(2) = %q", r.Arg(buf, 1), r.Arg(buf, 2))
	}
	n := 0
	r.Each(buf, func(int, []byte) bool { n++; return true })
	if n != 2 {
		t.Fatalf("Each gave %d arguments, want the 2 whole ones", n)
	}
}

// TestLargeBeyondSpans: whatever Stream says, an argument that would end beyond 2 GiB is not gathered.
func TestLargeBeyondSpans(t *testing.T) {
	var r Request
	st, err := r.Scan([]byte("*2\r\n$3\r\nSET\r\n$3000000000\r\n"), &Limits{MaxBulk: 1 << 40, Stream: 1 << 40})
	if st != Large || err != nil {
		t.Fatalf("Scan = %v, %v, want large", st, err)
	}
	r.Reset()
	if size, off := r.PendingBulk(); size != -1 || off != 0 {
		t.Fatalf("PendingBulk of nothing = %d at %d, want -1", size, off)
	}
}

// TestScanCostsLinear: a line without an end that arrives byte by byte is looked at once.
func TestScanCostsLinear(t *testing.T) {
	lim := &Limits{MaxInline: 1 << 20}
	buf := bytes.Repeat([]byte{'1'}, 1<<20)
	for _, head := range []string{"1", "*1", "*1\r\n$1"} {
		copy(buf, head)
		var r Request
		for i := 0; i < len(buf); i++ {
			if st, err := r.Scan(buf[:i], lim); st != NeedMore || err != nil {
				t.Fatalf("%q after %d bytes: %v, %v", head, i, st, err)
			}
			if i > len(head) && r.seek != i {
				t.Fatalf("%q: %d of %d bytes are remembered as seen", head, r.seek, i)
			}
		}
		copy(buf, "1111111")
	}
}

func TestScanDoesNotAllocate(t *testing.T) {
	lim := &Limits{}
	var dst [4096]byte
	for _, in := range []string{
		string(benchSet), "PING\r\n", "SET k 'v w'\r\n", bulks(40, "abc"), "*x\r\n", "\r\n",
		"*2\r\n$3\r\nSET\r\n$99999\r\nabc",
	} {
		buf := []byte(in)
		if a := testing.AllocsPerRun(100, func() {
			var r Request
			for cut := 0; cut <= len(buf); cut += 7 {
				r.Scan(buf[:cut], lim)
			}
			r.Scan(buf, lim)
			for i := range r.HeadArgs() {
				r.Arg(buf, i)
			}
			it := r.Args(buf)
			for _, ok := it.Next(); ok; _, ok = it.Next() {
			}
			if r.status == Complete {
				r.AppendCanonical(dst[:0], buf)
			}
			rl := r.Relay()
			rl.Next(buf)
		}); a != 0 {
			t.Errorf("%.20q allocates %v times", in, a)
		}
	}
}
