package resp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startRedis runs a redis-server of its own for the test and returns its address. It is a cluster node, so that it
// answers CLUSTER KEYSLOT.
func startRedis(t *testing.T, options ...string) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("redis-server is missing: run `make deps` (%v)", err)
	}
	for range 5 { // a port that was free may be taken by the time that it is wanted
		address, log := tryRedis(t, path, options)
		switch {
		case address != "":
			return address
		case !strings.Contains(log, "Address already in use"):
			t.Fatalf("redis-server ended: %s", log)
		}
	}
	t.Fatal("no port is free for redis-server")
	return ""
}

// tryRedis starts redis-server and returns its address, or what it said before it ended.
func tryRedis(t *testing.T, path string, options []string) (address, said string) {
	t.Helper()
	port, bus := freePort(t), freePort(t)
	args := append([]string{"--bind", "127.0.0.1", "--port", port, "--cluster-enabled", "yes", "--cluster-port", bus,
		"--save", "", "--dir", t.TempDir()}, options...)
	cmd := exec.Command(path, args...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-exited
	})
	address = net.JoinHostPort("127.0.0.1", port)
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
			return address, ""
		}
		select {
		case <-exited:
			return "", log.String()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("redis-server does not listen on %s after 10 s: %v", address, err)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// ask sends bytes on a new connection, then a FIN, and returns everything that Redis answers until it closes.
func ask(t *testing.T, address string, in []byte) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(in); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	conn.(*net.TCPConn).CloseWrite()
	out, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("no end of the answer to %.100q: %v", in, err)
	}
	return out
}

// prediction is what Scan says that a server does with the bytes of a connection.
type prediction struct {
	replies int    // complete requests
	text    string // of the error that ends the connection, empty: none
	strict  bool   // the error is one that Redis does not know
}

func predict(in []byte, lim *Limits) prediction {
	var p prediction
	var r Request
	for {
		r.Reset()
		st, err := r.Scan(in, lim)
		if err != nil {
			p.text = err.Error()
			p.strict = err == error(errCRLF) || err == error(errNUL)
			return p
		}
		switch st {
		case Complete:
			p.replies++
		case Empty:
		default:
			return p
		}
		in = in[r.Size:]
	}
}

// compare holds the prediction for in against what Redis answers, and returns it.
func compare(t *testing.T, address string, in []byte, lim *Limits) prediction {
	t.Helper()
	want := predict(in, lim)
	if want.strict {
		return want // Redis would go on in the middle of something
	}
	out := ask(t, address, in)
	last := ""
	replies := 0
	for rest := out; len(rest) > 0; replies++ {
		var s ReplyScanner
		n, done, err := s.Scan(rest)
		if !done || err != nil {
			t.Fatalf("%.200q: Redis answered %.300q: %v, %v", in, out, done, err)
		}
		last, rest = string(rest[:n]), rest[n:]
	}
	switch {
	case want.text == "" && strings.HasPrefix(last, "-"+protocolError):
		t.Errorf("%.200q: Redis ends with %q, Scan sees no error", in, last)
	case want.text != "" && last != "-"+want.text+"\r\n":
		t.Errorf("%.200q: Redis ends with %q, Scan says %q", in, last, want.text)
	case want.text != "" && replies != want.replies+1, want.text == "" && replies != want.replies:
		t.Errorf("%.200q: Redis gives %d replies (the last %q), Scan says %d and error %q",
			in, replies, last, want.replies, want.text)
	}
	return want
}

// TestMalformedLikeRedis sends malformed requests to a real Redis and compares its error lines with Scan's.
func TestMalformedLikeRedis(t *testing.T) {
	address := startRedis(t)
	ping := "*1\r\n$4\r\nPING\r\n"
	long := func(head string, n int) string { return head + strings.Repeat("1", n-len(head)) }
	for _, in := range []string{
		ping, ping + ping, "PING\r\n", "PING\n", "\r\n" + ping, "\n\n \t\r\n" + ping, "*0\r\n" + ping, "*-1\r\n" + ping,
		"*-5\r\nPING\r\n", "*-9223372036854775808\r\n" + ping, "*-9223372036854775809\r\n", "*\r\n", "*x\r\n", "*1x\r\n", "*+1\r\n",
		"*01\r\n", "*-0\r\n", "* 1\r\n", "*2147483648\r\n", "*9223372036854775808\r\n", "*1\n$4\r\nPING\r\n",
		"*1\r\n:1\r\n", "*1\r\n*1\r\n$1\r\na\r\n", "*1\r\n\r\n", "*1\r\n\n\r\n", "*1\r\nPING\r\n", "*1\r\n\xff\r\n", "*1\r\n%s\r\n", "*1\r\nxyz",
		"*1\r\n$\r\n", "*1\r\n$-1\r\n", "*1\r\n$-0\r\n", "*1\r\n$1k\r\n", "*1\r\n$04\r\nPING\r\n", "*1\r\n$+4\r\nPING\r\n", "*1\r\n$ 4\r\nPING\r\n",
		"*1\r\n$536870913\r\n", "*1\r\n$536870912\r\n", "*1\r\n$99999999999999999999\r\n", "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n" + ping,
		"*2\r\n$4\r\nECHO\r\n$-1\r\n", ping + "*1\r\n$x\r\n" + ping, "SET \"a\r\n", "SET 'a\r\n", "ECHO \"a\"b\r\n", "ECHO 'a'b\r\n", "ECHO 'a\\'\r\n",
		"ECHO \"a\\\r\n", "ECHO \"\\x4\"\r\n", ping + "ECHO '\r\n" + ping, "\"\r\n", "''\r\n", "$5\r\n", " *1\r\n", "ECHO a\rb\r\n",
		long("a", DefaultMaxInline), long("a", DefaultMaxInline+1), long("a", DefaultMaxInline) + "\r\n",
		long("*", DefaultMaxInline), long("*", DefaultMaxInline+1), long("*", DefaultMaxInline) + "\r\n",
		long("*1\r\n$", DefaultMaxInline+4), long("*1\r\n$", DefaultMaxInline+5), long("*1\r\n$", DefaultMaxInline+4) + "\r\n",
		long("*1\r\nx", DefaultMaxInline+5),
	} {
		compare(t, address, []byte(in), nil)
	}
}

// TestUnauthenticatedLikeRedis does the same with a Redis that wants a password.
func TestUnauthenticatedLikeRedis(t *testing.T) {
	address := startRedis(t, "--requirepass", "secret")
	lim := &Limits{Unauthenticated: true}
	for _, in := range []string{
		bulks(10, "PING"), "*11\r\n", "*11x\r\n", "*2147483648\r\n", "*-11\r\nPING\r\n", "*1\r\n$16384\r\n", "*1\r\n$16385\r\n",
		"*2\r\n$4\r\nECHO\r\n$16385\r\n", "*1\r\n$536870913\r\n", "*1\r\n$16385x\r\n", "a b c d e f g h i j k l\r\n",
		"*2\r\n$4\r\nECHO\r\n$16384\r\n" + strings.Repeat("a", 16384) + "\r\n",
	} {
		compare(t, address, []byte(in), lim)
	}
}

// TestMutantsLikeRedis breaks valid requests at random places.
func TestMutantsLikeRedis(t *testing.T) {
	address := startRedis(t)
	rng := rand.New(rand.NewPCG(1, 2))
	bases := []string{
		"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$3\r\nabc\r\n", "*2\r\n$4\r\nECHO\r\n$12\r\nabcdefghijkl\r\nPING\r\n",
		"PING\r\nECHO \"a\\x41b\"\r\nECHO 'a\\'b' \r\n*1\r\n$4\r\nPING\r\n", "*0\r\n*12\r\n" + strings.Repeat("$1\r\na\r\n", 12), "\r\n*-1\r\nPING\r\n",
	}
	alphabet := "*$:+-0123456789\r\n\r\n\"' \\xaG\t\v\xff"
	seen := map[string]int{}
	for range 2000 {
		in := []byte(bases[rng.IntN(len(bases))])
		for range 1 + rng.IntN(3) {
			at := rng.IntN(len(in))
			c := alphabet[rng.IntN(len(alphabet))]
			switch rng.IntN(4) {
			case 0:
				in[at] = c
			case 1:
				in = append(in[:at], append([]byte{c}, in[at:]...)...)
			case 2:
				in = append(in[:at], in[at+1:]...)
			case 3:
				in = in[:at+1]
			}
		}
		seen[compare(t, address, in, nil).text]++
		if t.Failed() {
			return
		}
	}
	for _, err := range []*ProtocolError{errCount, errLength, errQuotes, errDollar('*'), {Text: ""}} {
		if seen[err.Text] < 3 {
			t.Errorf("too few mutants end with %q: %v", err.Text, seen)
		}
	}
}

// TestInlineArgumentsLikeRedis lets Redis split random lines and return what it made of them.
func TestInlineArgumentsLikeRedis(t *testing.T) {
	address := startRedis(t)
	rng := rand.New(rand.NewPCG(3, 4))
	pieces := []string{"a", "b", "\"", "'", "\\", " ", "\t", "\v", "\r", "x41", "\\x4f", "\\n", "\\'", "\\\"", "\" ", " \"", "' ", " '", "\xff", "0"}
	split := 0
	for range 1000 {
		line := "EVAL 'return ARGV' 0 "
		for range rng.IntN(12) {
			line += pieces[rng.IntN(len(pieces))]
		}
		in := []byte(line + "\r\n")
		out := ask(t, address, in)
		var r Request
		st, err := r.Scan(in, nil)
		want := []byte(nil)
		if err != nil {
			want = AppendError(nil, err.Error())
		} else if st == Complete {
			split++
			want = AppendArray(nil, r.Argc-3)
			for i := 3; i < r.Argc; i++ {
				want = AppendBulk(want, r.Arg(in, i))
			}
		}
		if !bytes.Equal(out, want) {
			t.Fatalf("%q: Redis answers %q, want %q", in, out, want)
		}
		if err == nil {
			if canonical := ask(t, address, r.AppendCanonical(nil, in)); !bytes.Equal(canonical, out) {
				t.Fatalf("%q: Redis answers %q, to the canonical form %q", in, out, canonical)
			}
		}
	}
	if split < 250 {
		t.Fatalf("only %d of 1000 lines were valid", split)
	}
}

// TestRepliesOfRedis scans and decodes what a real server says in both versions of the protocol.
func TestRepliesOfRedis(t *testing.T) {
	address := startRedis(t)
	for proto := 2; proto <= 3; proto++ {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		in := bufio.NewReaderSize(conn, 1<<20)
		for _, cmd := range [][]string{
			{"HELLO", strconv.Itoa(proto)}, {"COMMAND"}, {"COMMAND", "DOCS"}, {"INFO"}, {"CLUSTER", "SLOTS"}, {"ROLE"}, {"CONFIG", "GET", "*"}, {"NOSUCH", "a\r\nb"},
			{"EVAL", `return {ok="a\nb\rc"}`, "0"}, {"EVAL", `return {err="a\nb\rc"}`, "0"}, {"EVAL", `return redis.error_reply("MY a\r\nb")`, "0"},
			{"EVAL", `return redis.status_reply("a\r\n+b")`, "0"}, {"EVAL", `error("a\nb")`, "0"}, {"EVAL", `redis.setresp(3); return {double=1.5}`, "0"},
			{"EVAL", "return {1,{2,{3,{4,'x'}}},false}", "0"}, {"ACL", "LOG"}, {"MEMORY", "STATS"}, {"LATENCY", "HISTOGRAM"}, {"CLIENT", "TRACKINGINFO"},
			{"DEBUG", "PROTOCOL", "attrib"}, {"CLIENT", "INFO"}, {"SUBSCRIBE", "c"}, {"PING"},
		} {
			conn.Write(AppendCommand(nil, cmd...))
			reply := readReply(t, in, cmd)
			v, n, err := Decode(reply)
			if err != nil || n != len(reply) {
				t.Fatalf("%q: Decode of %d bytes = %d, %v", cmd, len(reply), n, err)
			}
			if cmd[0] == "HELLO" {
				if p, ok := v.Get("proto"); !ok || p.Int != int64(proto) {
					t.Fatalf("HELLO %d answered %+v", proto, v)
				}
			}
			if len(cmd) == 1 && cmd[0] == "COMMAND" && len(v.Elems) < 200 {
				t.Fatalf("COMMAND has %d elements", len(v.Elems))
			}
		}
	}
}

// readReply reads one reply, in the pieces that the socket gives.
func readReply(t *testing.T, in *bufio.Reader, cmd []string) []byte {
	t.Helper()
	var s ReplyScanner
	var reply []byte
	for {
		if _, err := in.Peek(1); err != nil {
			t.Fatalf("%q: after %d bytes: %v", cmd, len(reply), err)
		}
		piece, _ := in.Peek(in.Buffered())
		n, done, err := s.Scan(piece)
		reply = append(reply, piece[:n]...)
		in.Discard(n)
		if err != nil {
			t.Fatalf("%q: %v after %.200q", cmd, err, reply)
		}
		if done {
			return reply
		}
	}
}

func TestSlotLikeRedis(t *testing.T) {
	address := startRedis(t)
	rng := rand.New(rand.NewPCG(5, 6))
	keys := []string{"", "{}", "{", "}", "foo}bar{", "foo{bar", "foo{}{bar}", "{a}{b}", "a{b}c"}
	for range 500 {
		b := make([]byte, rng.IntN(20))
		for i := range b {
			b[i] = "{}ab\x00\xff"[rng.IntN(6)]
		}
		keys = append(keys, string(b))
	}
	var in, want []byte
	for _, k := range keys {
		in = AppendCommand(in, "CLUSTER", "KEYSLOT", k)
		want = AppendInt(want, int64(Slot([]byte(k))))
	}
	if out := ask(t, address, in); !bytes.Equal(out, want) {
		t.Fatalf("slots differ: Redis %.300q, want %.300q", out, want)
	}
}
