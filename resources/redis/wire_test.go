package redis

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/resp"
)

// patience bounds every wait for bytes. It is long because the race detector and other tests share the machine.
const patience = 20 * time.Second

// wire is a client that shows the bytes of replies as they are.
type wire struct {
	t       testing.TB
	name    string // for messages
	nc      net.Conn
	buf     []byte // received; buf[:scanned] belongs to an unfinished reply
	scanned int
	scan    resp.ReplyScanner
	sending chan error // of sendLater
}

func dial(t testing.TB, addr string) *wire {
	t.Helper()
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	}
	nc, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	return newWire(t, addr, nc)
}

func dialTLS(t testing.TB, addr string, conf *tls.Config) *wire {
	t.Helper()
	nc, err := tls.Dial("tcp", addr, conf)
	if err != nil {
		t.Fatal(err)
	}
	return newWire(t, addr, nc)
}

func newWire(t testing.TB, name string, nc net.Conn) *wire {
	w := &wire{t: t, name: name, nc: nc}
	t.Cleanup(func() { _ = nc.Close() })
	return w
}

func (w *wire) send(b []byte) {
	w.t.Helper()
	_ = w.nc.SetWriteDeadline(time.Now().Add(patience))
	if _, err := w.nc.Write(b); err != nil {
		w.t.Fatalf("%s: write: %v", w.name, err)
	}
}

// sendLater writes on another goroutine, in pieces of random sizes if rng is not nil; join waits for its end.
func (w *wire) sendLater(b []byte, rng *rand.Rand) {
	var cuts []int
	if rng != nil {
		for n := rng.IntN(5); n > 0; n-- {
			cuts = append(cuts, rng.IntN(len(b)+1))
		}
	}
	w.sending = make(chan error, 1)
	_ = w.nc.SetWriteDeadline(time.Now().Add(patience))
	go func() {
		for _, part := range pieces(b, cuts) {
			if _, err := w.nc.Write(part); err != nil {
				w.sending <- err
				return
			}
		}
		w.sending <- nil
	}()
}

func (w *wire) join() {
	w.t.Helper()
	if err := <-w.sending; err != nil {
		w.t.Fatalf("%s: write: %v", w.name, err)
	}
}

// pieces cuts b at the given places.
func pieces(b []byte, cuts []int) [][]byte {
	slices.Sort(cuts)
	var out [][]byte
	start := 0
	for _, at := range cuts {
		if at > start && at < len(b) {
			out = append(out, b[start:at])
			start = at
		}
	}
	return append(out, b[start:])
}

// next returns the bytes of the next reply; an error when the connection ends, or nothing comes for so long.
func (w *wire) next(wait time.Duration) (string, error) {
	_ = w.nc.SetReadDeadline(time.Now().Add(wait))
	for {
		n, done, err := w.scan.Scan(w.buf[w.scanned:])
		if err != nil {
			return "", fmt.Errorf("%s: %w in %.200q", w.name, err, w.buf)
		}
		w.scanned += n
		if done {
			r := string(w.buf[:w.scanned])
			w.buf = w.buf[w.scanned:]
			w.scanned = 0
			return r, nil
		}
		chunk := make([]byte, 64<<10)
		n, err = w.nc.Read(chunk)
		w.buf = append(w.buf, chunk[:n]...)
		if err != nil && n == 0 {
			return "", err
		}
	}
}

// reply returns the next reply and fails the test when there is none.
func (w *wire) reply() string {
	w.t.Helper()
	r, err := w.next(patience)
	if err != nil {
		w.t.Fatalf("%s: no reply: %v (have %.200q)", w.name, err, w.buf)
	}
	return r
}

func (w *wire) replies(n int) []string {
	w.t.Helper()
	out := make([]string, n)
	for i := range out {
		out[i] = w.reply()
	}
	return out
}

// do sends one command and returns its reply.
func (w *wire) do(args ...string) string {
	w.t.Helper()
	w.send(resp.AppendCommand(nil, args...))
	return w.reply()
}

// say is do with the words of a line.
func (w *wire) say(line string) string {
	w.t.Helper()
	return w.do(strings.Fields(line)...)
}

// want is say that checks the reply.
func (w *wire) want(line, want string) {
	w.t.Helper()
	if got := w.say(line); got != want {
		w.t.Fatalf("%s: %s\n got %q\nwant %q", w.name, line, got, want)
	}
}

// wantPrefix is want for the beginning of the reply.
func (w *wire) wantPrefix(line, want string) {
	w.t.Helper()
	if got := w.say(line); !strings.HasPrefix(got, want) {
		w.t.Fatalf("%s: %s\n got %q\nwant %q...", w.name, line, got, want)
	}
}

// rest reads until the peer closes and returns what came. It fails the test when the peer does not close.
func (w *wire) rest() string {
	w.t.Helper()
	_ = w.nc.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(w.nc)
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		w.t.Fatalf("%s: the connection was not closed; got %.200q", w.name, b)
	}
	out := string(w.buf) + string(b)
	w.buf, w.scanned = nil, 0
	return out
}

// encode writes commands as arrays.
func encode(cmds [][]string) []byte {
	var b []byte
	for _, c := range cmds {
		b = resp.AppendCommand(b, c...)
	}
	return b
}

// show shortens a reply for messages.
func show(s string) string {
	if len(s) > 300 {
		return fmt.Sprintf("%q... (%d bytes)", s[:300], len(s))
	}
	return fmt.Sprintf("%q", s)
}

// firstDiff returns where two replies begin to differ.
func firstDiff(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// bulkOf returns the string of a bulk reply; "" when it is none.
func bulkOf(r string) string {
	v, _, err := resp.Decode([]byte(r))
	if err != nil {
		return ""
	}
	return v.Str
}

// eventually waits until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// big returns n bytes that differ from place to place, line ends among them.
func big(n int, seed byte) string {
	return string(bytes.Repeat([]byte("0123456789abcdef\r\n"+string(rune('a'+seed%26))), n/19+1)[:n])
}

// over checks that nothing but the end of the connection comes instead of what.
func (w *wire) over(what string) {
	w.t.Helper()
	if got := w.rest(); got != "" {
		w.t.Errorf("%s: %s: got %q, want the end of the connection", w.name, what, got)
	}
}
