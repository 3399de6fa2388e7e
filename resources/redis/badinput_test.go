package redis

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// badInputs are bytes that no client should send. The server's answer is the agent's.
var badInputs = []struct {
	name   string
	in     string
	closes bool
}{
	{"inline line too long", strings.Repeat("a", 64<<10+10), true},
	{"count line too long", "*" + strings.Repeat("1", 64<<10+10), true},
	{"length line too long", "*1\r\n$" + strings.Repeat("1", 64<<10+10), true},
	{"count that is no number", "*x\r\n", true},
	{"count above the largest", "*2147483648\r\n", true},
	{"count above 64 bits", "*99999999999999999999\r\n", true},
	{"count with a sign", "*+1\r\n", true},
	{"empty count", "*\r\n", true},
	{"nothing", "*0\r\n*-5\r\n\r\n\n", false},
	{"argument that is an integer", "*1\r\n:1\r\n", true},
	{"nested array", "*1\r\n*1\r\n$4\r\nPING\r\n", true},
	{"argument without a type", "*1\r\nPING\r\n", true},
	{"argument of the smallest length below zero", "*1\r\n$-1\r\n", true},
	{"argument of no length", "*1\r\n$\r\n", true},
	{"argument above the largest", "*2\r\n$4\r\nECHO\r\n$536870913\r\n", true},
	{"argument whose length is no number", "*2\r\n$4\r\nECHO\r\n$1k\r\n", true},
	{"unbalanced quotes", "SET k \"v\r\n", true},
	{"unbalanced single quotes", "SET k 'v\r\n", true},
	{"text behind a quote", "ECHO \"a\"b\r\n", true},
	{"escapes", `ECHO "a\x41\n\"b"` + "\r\n" + `ECHO 'it\'s'` + "\r\n", false},
	{"inline ends in LF", "ECHO a\nECHO b\n", false},
	{"blanks", "   ECHO   a  \r\n", false},
	{"a long inline request", "ECHO " + strings.Repeat("b", 60<<10) + "\r\n", false},
	{"other protocol version", "HELLO 4\r\n", false},
	{"HTTP GET", "GET / HTTP/1.1\r\n\r\n", false},
	{"binary name", "*1\r\n$3\r\n\x00\xff\r\r\n", false},
	{"empty name", "*1\r\n$0\r\n\r\n", false},
	{"name of 100 kB", "*1\r\n$100000\r\n" + strings.Repeat("N", 100000) + "\r\n", false},
	{"unknown name with 100 kB", "*2\r\n$3\r\nNOS\r\n$100000\r\n" + strings.Repeat("N", 100000) + "\r\n", false},
	{"error in the middle of a large argument", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$70000\r\n" + strings.Repeat("v", 70000) + "\r\n*1\r\n$x\r\n", true},
	{"argument after a large one is bad", "*4\r\n$4\r\nMSET\r\n$1\r\nk\r\n$70000\r\n" + strings.Repeat("v", 70000) + "\r\n:1\r\n", true},
	{"subscriber says something else", "SUBSCRIBE ch\r\nGET k\r\nUNSUBSCRIBE\r\n", false},
}

// replyCount is how many replies the inputs that do not close get.
var replyCount = map[string]int{
	"nothing": 0, "escapes": 2, "inline ends in LF": 2, "HTTP GET": 1, "subscriber says something else": 3,
}

// TestBadInput sends bad bytes alone, behind good requests, and in a transaction.
func TestBadInput(t *testing.T) {
	w := newWorld(t, nil)
	for _, in := range badInputs {
		for where, before := range map[string][]string{
			"alone":            nil,
			"behind a request": {"SET n 1", "INCR n"},
			"in a transaction": {"MULTI", "SET n 1"},
		} {
			t.Run(in.name+"/"+where, func(t *testing.T) {
				p := w.pair(t)
				p.what = in.name
				head := ""
				for _, line := range before {
					head += string(resp.AppendCommand(nil, strings.Fields(line)...))
				}
				p.direct.sendLater([]byte(head+in.in), nil)
				p.agent.sendLater([]byte(head+in.in), nil)
				// A write may fail when the server has closed already.
				defer func() { <-p.direct.sending; <-p.agent.sending }()
				for range before {
					p.agree()
				}
				if in.closes {
					if a, b := p.direct.rest(), p.agent.rest(); a != b {
						t.Fatalf("the server says %s, the agent %s", show(a), show(b))
					}
					return
				}
				n, ok := replyCount[in.name]
				if !ok {
					n = 1
				}
				for range n {
					p.agree()
				}
				p.same("PING")
			})
		}
	}
}

// strictInputs are bytes that Redis takes and the agent does not, because two parsers may understand them differently
// (see doc.go). Nothing of them may reach a server.
var strictInputs = []struct{ name, in, want string }{
	{"no CRLF behind an argument", "*3\r\n$3\r\nSET\r\n$6\r\nstrict\r\n$1\r\nvxx", "invalid CRLF"},
	{"no LF behind CR in a count", "*1\rx$4\r\nPING\r\n", "invalid CRLF"},
	{"no CRLF behind a large argument", "*3\r\n$3\r\nSET\r\n$6\r\nstrict\r\n$70000\r\n" + strings.Repeat("v", 70000) + "xx", "invalid CRLF"},
	{"a line of 70 kB with an end, which Redis takes when it comes in one piece", "SET strict " + strings.Repeat("v", 70000) + "\r\n", "too big inline request"},
	{"NUL in a line", "SET strict \x00\r\n", "NUL byte in inline request"},
	{"more arguments than a million", "*1048577\r\n", "invalid multibulk length"},
}

func TestStricterThanRedis(t *testing.T) {
	s := server.Start(t, server.Redis{})
	a := startAgent(t, newFake(t, s.Primary.Addr), nil)
	for _, in := range strictInputs {
		t.Run(in.name, func(t *testing.T) {
			c := dial(t, a.addr)
			c.send([]byte(in.in))
			if got, want := c.rest(), "-ERR Protocol error: "+in.want+"\r\n"; got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
			if v := s.Primary.Do("EXISTS", "strict"); v.Int != 0 {
				t.Fatal("the request was executed")
			}
		})
	}
}

// TestCrossProtocol sends what a browser can be made to send. The server closes without a word; the agent too, after it
// answered what came before.
func TestCrossProtocol(t *testing.T) {
	w := newWorld(t, nil)
	w.behind.Do("SET", "kept", "1")
	for _, in := range []string{"POST / HTTP/1.1\r\nHost: x\r\n\r\nFLUSHALL\r\n", "hOsT: x\r\nFLUSHALL\r\n"} {
		p := w.pair(t)
		p.direct.send([]byte(in))
		p.agent.send([]byte(in))
		if a, b := p.direct.rest(), p.agent.rest(); a != "" || b != "" {
			t.Fatalf("%q: the server says %q, the agent %q", in, a, b)
		}
		c := dial(t, w.agent.addr)
		c.send([]byte("PING\r\nMULTI\r\nSET kept 2\r\n" + in))
		if got := c.rest(); got != "+PONG\r\n+OK\r\n+QUEUED\r\n" {
			t.Fatalf("%q: the agent says %q", in, got)
		}
	}
	if v := w.behind.Do("GET", "kept"); string(v.Str) != "1" {
		t.Fatal("a command of the request's body was executed")
	}
}

// TestBeforeLogin compares with a server that wants a password what a client may do before it has one.
func TestBeforeLogin(t *testing.T) {
	s := server.Start(t, server.Redis{Password: "secret"})
	a := startAgent(t, newFake(t, s.Primary.Addr), &Settings{Users: []User{{Password: secret(t, "secret"), Upstream: Credential{Password: secret(t, "secret")}}}})
	w := &world{s.Primary, s.Primary, a}
	for _, in := range []struct {
		name, in string
		closes   bool
	}{
		{"eleven arguments", "*11\r\n", true},
		{"ten arguments", "*10\r\n$4\r\nMGET\r\n" + strings.Repeat("$1\r\na\r\n", 9), false},
		{"a long argument", "*2\r\n$4\r\nECHO\r\n$16385\r\n", true},
		{"an argument of 16 KiB", "*2\r\n$4\r\nECHO\r\n$16384\r\n" + strings.Repeat("a", 16384) + "\r\n", false},
		{"HELLO", "HELLO 3\r\n", false},
		{"HELLO 4", "HELLO 4\r\n", false},
		{"GET", "GET k\r\n", false},
		{"MULTI", "MULTI\r\n", false},
		{"SUBSCRIBE", "SUBSCRIBE c\r\n", false},
		{"CLIENT ID", "CLIENT ID\r\n", false},
		{"RESET", "RESET\r\n", false},
		{"AUTH without a password", "AUTH\r\n", false},
		{"AUTH with too much", "AUTH a b c\r\n", false},
		{"AUTH wrong", "AUTH wrong\r\n", false},
		{"AUTH of nobody", "AUTH nobody secret\r\n", false},
		{"GET without a key", "GET\r\n", false},
		{"QUIT", "QUIT\r\n", true},
		{"POST", "POST / HTTP/1.0\r\n", true},
	} {
		t.Run(in.name, func(t *testing.T) {
			p := w.pair(t)
			p.what = in.name
			p.direct.send([]byte(in.in))
			p.agent.send([]byte(in.in))
			if in.closes {
				if a, b := p.direct.rest(), p.agent.rest(); a != b {
					t.Fatalf("the server says %s, the agent %s", show(a), show(b))
				}
				return
			}
			p.agree()
			p.same("GET k")
			p.same("AUTH secret")
			p.same("GET k")
		})
	}
}

func secret(t testing.TB, text string) resources.Secret {
	t.Helper()
	s, err := resources.NewSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestClientThatDoesNotRead sends requests without reading replies: the agent must stop reading, not gather.
func TestClientThatDoesNotRead(t *testing.T) {
	s := server.Start(t, server.Redis{})
	f := newFake(t, s.Primary.Addr)
	f.policy.Timeout = resources.Duration(patience)
	a := startAgent(t, f, nil)
	c := dial(t, a.addr)
	value := big(8<<10, 1)
	request := resp.AppendCommand(nil, "ECHO", value)
	const most = 10000 // 80 MB
	sent, part := 0, 0
	for ; sent < most; sent++ {
		_ = c.nc.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		n, err := c.nc.Write(request)
		if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
			part = n
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if sent == most {
		t.Fatalf("the agent took %d requests whose replies nobody reads", sent)
	}
	c.sendLater(request[part:], nil)
	want := fmt.Sprintf("$%d\r\n%s\r\n", len(value), value)
	for i := range sent + 1 {
		if got := c.reply(); got != want {
			t.Fatalf("reply %d is %s", i, show(got))
		}
	}
	c.join()
	c.want("PING", "+PONG\r\n")
}
