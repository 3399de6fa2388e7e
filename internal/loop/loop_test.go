package loop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newLoop(t testing.TB) *Loop {
	t.Helper()
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	return l
}

// echo writes back what it gets, line by line when lines is set, so that partial lines stay unconsumed.
type echo struct {
	lines  bool
	closed atomic.Int32
	err    atomic.Value
}

func (e *echo) OnData(c *Conn, b []byte) int {
	if e.lines {
		b = b[:bytes.LastIndexByte(b, '\n')+1]
	}
	c.Write(b)
	if c.Pending() > HighWater {
		c.Pause()
		c.WantDrained()
	}
	return len(b)
}
func (e *echo) OnEOF(c *Conn)     { c.CloseAfterFlush() }
func (e *echo) OnDrained(c *Conn) { c.Resume() }
func (e *echo) OnClose(c *Conn, err error) {
	e.closed.Add(1)
	if err != nil {
		e.err.Store(err)
	}
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"test"}}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// pairs returns makers of connected pairs, one for each kind of connection.
func pairs(t *testing.T) map[string]func() (server, client net.Conn) {
	t.Helper()
	dial := func(network, addr string) func() (net.Conn, net.Conn) {
		ln, err := net.Listen(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ln.Close() })
		return func() (net.Conn, net.Conn) {
			c, err := net.Dial(network, ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			s, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			return s, c
		}
	}
	tcp := dial("tcp", "127.0.0.1:0")
	cert := selfSigned(t)
	return map[string]func() (net.Conn, net.Conn){
		"tcp":  tcp,
		"unix": dial("unix", filepath.Join(t.TempDir(), "s")),
		"pipe": net.Pipe,
		"tls": func() (net.Conn, net.Conn) {
			s, c := tcp()
			return tls.Server(s, &tls.Config{Certificates: []tls.Certificate{cert}}), tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		},
	}
}

// What the system holds is known without reading it, where the system is asked at all.
func TestUnread(t *testing.T) {
	for name, pair := range pairs(t) {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t)
			server, client := pair()
			defer client.Close()
			c := attach(t, l, server, silent{})
			known := name == "tcp" || name == "unix"
			said := make(chan [2]bool, 1)
			if !l.Post(func() {
				before := c.Unread()
				if known { // others have nobody who reads while the loop stands still
					if _, err := client.Write([]byte("PING")); err != nil {
						t.Error(err)
					}
				}
				said <- [2]bool{before, c.Unread()}
			}) {
				t.Fatal("the loop is gone")
			}
			if got := <-said; got != [2]bool{false, known} {
				t.Errorf("unread before and after bytes came: %v, want [false %v]", got, known)
			}
		})
	}
}

func attach(t testing.TB, l *Loop, nc net.Conn, h Handler) *Conn {
	t.Helper()
	got := make(chan *Conn, 1)
	if err := l.Attach(nc, func(c *Conn) { c.SetHandler(h); got <- c }); err != nil {
		t.Fatal(err)
	}
	return <-got
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestEchoOverEveryKindOfConnection(t *testing.T) {
	l := newLoop(t)
	for name, pair := range pairs(t) {
		for _, lines := range []bool{false, true} {
			s, c := pair()
			h := &echo{lines: lines}
			attach(t, l, s, h)
			msg := bytes.Repeat([]byte("0123456789abcde\n"), 1<<17) // 2 MiB: more than the marks and the sockets hold
			var wg sync.WaitGroup
			wg.Go(func() {
				for b := msg; len(b) > 0; {
					n := min(len(b), 70001)
					if _, err := c.Write(b[:n]); err != nil {
						t.Errorf("%s: %v", name, err)
						return
					}
					b = b[n:]
				}
			})
			got := make([]byte, len(msg))
			if _, err := io.ReadFull(c, got); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			wg.Wait()
			if !bytes.Equal(got, msg) {
				t.Fatalf("%s: echo differs", name)
			}
			_ = c.Close()
			eventually(t, name+" closed", func() bool { return h.closed.Load() == 1 })
		}
	}
}

func TestHalfCloseStillAnswers(t *testing.T) {
	l := newLoop(t)
	for _, kind := range []string{"tcp", "unix", "tls"} {
		s, c := pairs(t)[kind]()
		attach(t, l, s, &echo{})
		if _, err := c.Write([]byte("last words")); err != nil {
			t.Fatal(err)
		}
		if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if string(got) != "last words" || err != nil {
			t.Fatalf("%s: got %q, %v", kind, got, err)
		}
		_ = c.Close()
	}
}

func TestResetEndsPausedConnectionWithoutSpinning(t *testing.T) {
	l := newLoop(t)
	s, c := pairs(t)["tcp"]()
	h := &echo{}
	conn := attach(t, l, s, h)
	l.Post(func() { conn.Pause() })
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
	eventually(t, "closed after the reset", func() bool { return h.closed.Load() == 1 })
}

func TestPauseKeepsBytesAndResumeOffersThem(t *testing.T) {
	l := newLoop(t)
	for name, pair := range pairs(t) {
		s, c := pair()
		conn := attach(t, l, s, &echo{})
		paused := make(chan struct{})
		l.Post(func() { conn.Pause(); close(paused) })
		<-paused
		go func() { _, _ = c.Write([]byte("hello")) }()
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
		if n, err := c.Read(make([]byte, 8)); n != 0 || err == nil {
			t.Fatalf("%s: a paused connection answered", name)
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		l.Post(conn.Resume)
		got := make([]byte, 5)
		// A TLS client remembers the first timeout of a read, so it reads with a fresh deadline only.
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
			t.Fatalf("%s: got %q, %v", name, got, err)
		}
		_ = c.Close()
	}
}

// keeper keeps everything it writes.
type keeper struct{ echo }

func TestKeepAndRelease(t *testing.T) {
	l := newLoop(t)
	s, c := pairs(t)["tcp"]()
	conn := attach(t, l, s, &keeper{})
	defer func() { _ = c.Close() }()
	run := func(f func()) {
		done := make(chan struct{})
		l.Post(func() { f(); close(done) })
		<-done
	}
	var want bytes.Buffer
	released, at := 0, uint64(0)
	run(func() { conn.Keep(); at = conn.Position() })
	go func() { _, _ = io.Copy(io.Discard, c) }()
	for i := range 3000 {
		piece := bytes.Repeat([]byte{byte(i)}, 1+i%257)
		want.Write(piece)
		run(func() {
			conn.Write(piece)
			if i%3 == 0 {
				released += (want.Len() - released) / 2
				if uint64(released) <= conn.Sent()-at {
					conn.Release(at + uint64(released))
				} else {
					released = int(conn.Sent() - at)
					conn.Release(conn.Sent())
				}
			}
			n := want.Len() - released
			if got := conn.Kept(at+uint64(released), n); !bytes.Equal(got, want.Bytes()[released:]) {
				t.Errorf("after %d writes the kept bytes differ", i)
			}
			if released > 0 && conn.Kept(at+uint64(released)-1, 1) != nil {
				t.Errorf("after %d writes released bytes are still there", i)
			}
		})
	}
}

func TestTimersFireInOrderAndCanMove(t *testing.T) {
	l := newLoop(t)
	var fired []int
	done := make(chan struct{})
	l.Post(func() {
		now := clock.Now()
		mk := func(i int) *Timer { return &Timer{F: func(int64) { fired = append(fired, i) }} }
		a, b, c, d := mk(1), mk(2), mk(3), mk(4)
		l.Set(a, now+20e6)
		l.Set(b, now+5e6)
		l.Set(c, now+1e6)
		l.Set(d, now+2e6)
		l.Set(c, now+10e6)
		l.Cancel(d)
		l.Cancel(d)
		l.Set(&Timer{F: func(int64) { close(done) }}, now+40e6)
	})
	<-done
	if len(fired) != 3 || fired[0] != 2 || fired[1] != 3 || fired[2] != 1 {
		t.Fatalf("fired %v, want [2 3 1]", fired)
	}
}

func TestStopClosesEverything(t *testing.T) {
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	hs := map[string]*echo{}
	for name, pair := range pairs(t) {
		s, c := pair()
		defer func() { _ = c.Close() }()
		hs[name] = &echo{}
		attach(t, l, s, hs[name])
	}
	l.Stop()
	for name, h := range hs {
		if h.closed.Load() != 1 || !errors.Is(h.err.Load().(error), ErrStopped) {
			t.Errorf("%s: closed %d times with %v", name, h.closed.Load(), h.err.Load())
		}
	}
	if l.Post(func() {}) {
		t.Error("a stopped loop took a function")
	}
	s, c := net.Pipe()
	if err := l.Attach(s, func(*Conn) {}); !errors.Is(err, ErrStopped) {
		t.Errorf("Attach to a stopped loop: %v", err)
	}
	_ = c.Close()
}

func TestNothingAllocatedPerRoundTrip(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates; the gate runs without it")
		return
	}
	l := newLoop(t)
	s, c := pairs(t)["tcp"]()
	defer func() { _ = c.Close() }()
	attach(t, l, s, &echo{})
	buf := make([]byte, 64)
	trip := func() {
		if _, err := c.Write(buf); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			t.Fatal(err)
		}
	}
	trip()
	if n := testing.AllocsPerRun(1000, trip); n > 0 {
		t.Fatalf("%v allocations per round trip", n)
	}
}
