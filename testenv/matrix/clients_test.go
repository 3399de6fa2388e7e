package matrix

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// Row 9: clients vanish in the middle of requests and replies. What was not whole is not executed, what waited takes
// nothing, and the others do not notice.
func TestRow09ClientVanishes(t *testing.T) { eachProfile(t, row09ClientVanishes) }

func row09ClientVanishes(t *testing.T, p plan) {
	l := open(t, p)
	l.redis.Primary.Do("SET", "long", strings.Repeat("x", 4<<20))
	l.steady()
	l.inject(func() {
		for range 5 {
			for _, v := range vanishings {
				l.vanish(v)
			}
		}
	})
	l.visible("calls of clients that are gone", l.outcome("canceled"))
	l.unharmed(500 * time.Millisecond)
	l.close()
	for _, key := range []string{"part", "upload", "inTxn"} {
		if v := l.redis.Primary.Do("EXISTS", key); v.Int != 0 {
			t.Errorf("%s was written, though its request was not whole", key)
		}
	}
	l.redis.Primary.Do("RPUSH", "queue", "element")
	if v := l.redis.Primary.Do("LLEN", "queue"); v.Int != 1 {
		t.Errorf("the element was taken by a client that is gone")
	}
}

// vanishing is what a client sent before it was gone.
type vanishing struct {
	send  string
	reads int // bytes of the reply that it still took
	await string
}

var vanishings = []vanishing{
	{send: "*3\r\n$3\r\nSET\r\n$4\r\npart\r\n$10\r\nabc"},
	{send: "*3\r\n$3\r\nSET\r\n$6\r\nupload\r\n$3000000\r\n" + strings.Repeat("u", 300<<10)},
	{send: "*2\r\n$3\r\nGET\r\n$4\r\nlong\r\n", reads: 1000},
	{send: strings.Repeat("*2\r\n$3\r\nGET\r\n$4\r\nlong\r\n", 3), reads: 100},
	{send: "*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$5\r\ninTxn\r\n$1\r\n1\r\n", reads: len("+OK\r\n")},
	{send: "*3\r\n$5\r\nBLPOP\r\n$5\r\nqueue\r\n$1\r\n0\r\n", await: "blocking"},
	{send: "*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n", reads: 10},
}

// vanish is such a client: it is cut off with a RST.
func (l *lab) vanish(v vanishing) {
	l.Helper()
	nc, err := net.Dial("tcp", l.addr)
	if err != nil {
		l.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Write([]byte(v.send)); err != nil {
		l.Fatal(err)
	}
	_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := readFull(nc, v.reads); err != nil {
		l.Fatalf("%.30q: %v", v.send, err)
	}
	if v.await != "" {
		l.await(recoverWithin, "the call to wait", func() error {
			if n := l.scrape().sum("sluice_pinned_sessions", "resource", "cache", "pin", v.await); n == 0 {
				return fmt.Errorf("no session is pinned for %s", v.await)
			}
			return nil
		})
	}
	_ = nc.(*net.TCPConn).SetLinger(0)
}

func readFull(c net.Conn, n int) ([]byte, error) {
	b := make([]byte, n)
	for at := 0; at < n; {
		m, err := c.Read(b[at:])
		if err != nil {
			return b[:at], err
		}
		at += m
	}
	return b, nil
}
