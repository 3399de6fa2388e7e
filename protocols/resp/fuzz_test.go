package resp

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
)

// fuzzLimits picks limits from one byte, small enough for short inputs to reach them.
func fuzzLimits(pick byte) *Limits {
	switch pick % 4 {
	case 0:
		return nil
	case 1:
		return &Limits{MaxBulk: 100, MaxArgs: 12, MaxInline: 24, Stream: 10}
	case 2:
		return &Limits{Unauthenticated: true}
	}
	return &Limits{Stream: 1, MaxInline: 40}
}

// cuts turns seed into ascending offsets within n bytes.
func cuts(n int, seed []byte) []int {
	var at []int
	last := 0
	for _, c := range seed {
		if last += int(c); last >= n {
			break
		}
		at = append(at, last)
	}
	return at
}

// FuzzRequest: the result does not depend on splits; arguments, iterators, canonical form and relay agree with it.
func FuzzRequest(f *testing.F) {
	for _, in := range []string{
		"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "PING\r\n", "SET k \"a\\x41\" 'b\\''\n", "*0\r\n", "\r\n", "*6" + bulks(6, "abc")[2:], "*1\r\n$-1\r\n", "*1\r\n:1\r\n",
		"*2\r\n$1\r\na\r\n$40\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n", "*11\r\n", "*1\r\n$1\r\nabc", "a\"b c\" d\v\n",
	} {
		f.Add([]byte(in), []byte{1, 2, 3}, byte(len(in)))
	}
	f.Fuzz(func(t *testing.T, in, seed []byte, pick byte) {
		lim := fuzzLimits(pick)
		whole := scanWhole(in, lim)
		if split := scanSplit(in, lim, cuts(len(in), seed)...); split.String() != whole.String() {
			t.Fatalf("%q split: %v, whole: %v", in, split, whole)
		}
		every := bytes.Repeat([]byte{1}, len(in))
		if split := scanSplit(in, lim, cuts(len(in), every)...); split.String() != whole.String() {
			t.Fatalf("%q byte by byte: %v, whole: %v", in, split, whole)
		}
		if whole.status == Complete && whole.text == "" {
			checkComplete(t, in, lim, whole)
		}
		checkRelay(t, in, seed, lim, whole)
	})
}

// checkComplete looks at a complete request in every way there is.
func checkComplete(t *testing.T, in []byte, lim *Limits, whole scanned) {
	var r Request
	r.Scan(in, lim)
	if r.HeadArgs() != r.Argc || len(whole.args) != r.Argc {
		t.Fatalf("%q: HeadArgs %d, Argc %d", in, r.HeadArgs(), r.Argc)
	}
	n := 0
	r.Each(in, func(i int, arg []byte) bool {
		if i != n || string(arg) != whole.args[i] {
			t.Fatalf("%q: Each %d is %q, Arg is %q", in, i, arg, whole.args[i])
		}
		n++
		return true
	})
	if n != r.Argc {
		t.Fatalf("%q: Each gave %d of %d arguments", in, n, r.Argc)
	}
	for i := r.Argc - 1; i >= 0; i-- {
		if string(r.Arg(in, i)) != whole.args[i] {
			t.Fatalf("%q: Arg(%d) backwards is %q, forwards %q", in, i, r.Arg(in, i), whole.args[i])
		}
	}
	canonical := r.AppendCanonical(nil, in)
	if want := AppendCommand(nil, whole.args...); !bytes.Equal(canonical, want) {
		t.Fatalf("%q: canonical form %q, from its arguments %q", in, canonical, want)
	}
	again := scanWhole(canonical, nil)
	if again.status != Complete || again.size != len(canonical) || len(again.args) != len(whole.args) {
		t.Fatalf("%q: canonical form %q scans as %v", in, canonical, again)
	}
}

// checkRelay relays in from every state that a scan of a part of it can leave.
func checkRelay(t *testing.T, in, seed []byte, lim *Limits, whole scanned) {
	var r Request
	for have := 0; have <= len(in); have++ {
		st, err := r.Scan(in[:have], lim)
		if err != nil || st == Empty || r.Argc == 0 {
			continue
		}
		rl := r.Relay()
		got := relayed(&rl, in, cuts(len(in), seed)...)
		switch {
		case whole.text != "":
			if !strings.HasPrefix(got, "error "+whole.text+" after") {
				t.Fatalf("%q relayed after %d bytes: %s, scanned: %v", in, have, got, whole)
			}
		case whole.status == Complete:
			if want := "done " + strconv.Itoa(whole.size); got != want {
				t.Fatalf("%q relayed after %d bytes: %s, scanned: %v", in, have, got, whole)
			}
		default:
			// What Scan looks at together (a body's CRLF) Relay judges byte by byte: it may refuse earlier.
			if got != "open "+strconv.Itoa(len(in)) && !strings.HasPrefix(got, "error "+errCRLF.Text) {
				t.Fatalf("%q relayed after %d bytes: %s, scanned: %v", in, have, got, whole)
			}
		}
	}
}

// FuzzReply: the result does not depend on splits, and ScanSimple and Decode agree with it.
func FuzzReply(f *testing.F) {
	for _, in := range []string{
		"+OK\r\n", "-ERR x\r\n", ":1\r\n", "$3\r\nabc\r\n", "$-1\r\n", "*-1\r\n", "*2\r\n$1\r\na\r\n*1\r\n_\r\n", "%1\r\n+a\r\n,1.5\r\n", "~1\r\n#t\r\n",
		">2\r\n+a\r\n(123\r\n", "|1\r\n+a\r\n+b\r\n=7\r\ntxt:abc\r\n", "!3\r\nERR\r\n", "*1\r\n|0\r\n:1\r\n", "$?\r\n", "*4294967295\r\n",
	} {
		f.Add([]byte(in), []byte{1, 2, 3})
	}
	f.Fuzz(func(t *testing.T, in, seed []byte) {
		whole := replyOutcome(in)
		if split := replyOutcome(in, cuts(len(in), seed)...); split != whole {
			t.Fatalf("%q split: %s, whole: %s", in, split, whole)
		}
		if split := replyOutcome(in, cuts(len(in), bytes.Repeat([]byte{1}, len(in)))...); split != whole {
			t.Fatalf("%q byte by byte: %s, whole: %s", in, split, whole)
		}
		checkSimple(t, in)
		v, n, err := Decode(in)
		if (err != nil) != strings.HasPrefix(whole, "error") || (n > 0) != (err == nil && whole != "more") {
			t.Fatalf("%q: Decode %d, %v, ReplyScanner %s", in, n, err, whole)
		}
		if n > 0 && v.Kind != whole[0] {
			t.Fatalf("%q: Decode finds a %q, ReplyScanner %s", in, v.Kind, whole)
		}
	})
}

// FuzzRequestPlain: a second parser, written from the protocol's description and as plain as possible,
// finds the same arguments in every array that Scan takes.
func FuzzRequestPlain(f *testing.F) {
	f.Add([]byte("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"))
	f.Add([]byte("*3\r\n$0\r\n\r\n$2\r\n\r\n\r\n$1\r\na\r\n*"))
	f.Fuzz(func(t *testing.T, in []byte) {
		got := scanWhole(in, nil)
		args, size := plainArray(in)
		complete := got.text == "" && got.status == Complete && !got.inline
		if complete != (size > 0) || (complete && (got.size != size || len(got.args) != len(args))) {
			t.Fatalf("%q: %v, plainly read: %d bytes %q", in, got, size, args)
		}
		for i := range args {
			if args[i] != got.args[i] {
				t.Fatalf("%q: argument %d is %q, plainly read %q", in, i, got.args[i], args[i])
			}
		}
	})
}

// plainArray reads an array of bulk strings; size is 0 if in does not start with a whole one.
func plainArray(in []byte) (args []string, size int) {
	rest := in
	head := func(kind byte) (int64, bool) {
		line, after, found := bytes.Cut(rest, []byte("\r\n"))
		if !found || len(line) < 2 || len(line) > 8 || line[0] != kind || (line[1] == '0' && len(line) > 2) {
			return 0, false
		}
		var n int64
		for _, c := range line[1:] {
			if c < '0' || c > '9' {
				return 0, false
			}
			n = n*10 + int64(c-'0')
		}
		rest = after
		return n, true
	}
	n, ok := head('*')
	if !ok || n == 0 || n > DefaultMaxArgs {
		return nil, 0
	}
	for ; n > 0; n-- {
		size, ok := head('$')
		if !ok || int64(len(rest)) < size+2 || string(rest[size:size+2]) != "\r\n" {
			return nil, 0
		}
		args = append(args, string(rest[:size]))
		rest = rest[size+2:]
	}
	return args, len(in) - len(rest)
}
