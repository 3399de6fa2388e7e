//go:build linux

package loop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// told counts what a loop tells of a descriptor and wakes who waits for it.
type told struct {
	ready atomic.Uint32
	last  atomic.Pointer[Loop]
	news  chan struct{}
}

func newTold() *told { return &told{news: make(chan struct{}, 1)} }

func (h *told) OnReady(l *Loop, r Ready) {
	h.ready.Or(uint32(r))
	h.last.Store(l)
	select {
	case h.news <- struct{}{}:
	default:
	}
}

// await waits until one of r was told, and forgets it.
func (h *told) await(t *testing.T, r Ready) {
	t.Helper()
	patience := time.After(5 * time.Second)
	for h.ready.Load()&uint32(r) == 0 {
		select {
		case <-h.news:
		case <-patience:
			t.Fatalf("nothing was told; want %d", r)
		}
	}
	h.ready.And(^uint32(r))
}

func (h *told) read(t *testing.T, d *Desc, b []byte) int {
	t.Helper()
	for {
		n, err := d.Read(b)
		if err == nil {
			return n
		}
		if !errors.Is(err, EAGAIN) {
			t.Fatal(err)
		}
		h.await(t, Readable)
	}
}

func own(t *testing.T, l *Loop, nc net.Conn) (*Desc, *told) {
	t.Helper()
	h := newTold()
	d, err := l.Own(nc, h)
	if err != nil || d == nil {
		t.Fatalf("Own: %v, %v", d, err)
	}
	t.Cleanup(d.Close)
	return d, h
}

func TestDescReadsWritesAndEnds(t *testing.T) {
	l := newLoop(t)
	for _, kind := range []string{"tcp", "unix"} {
		s, c := pairs(t)[kind]()
		d, h := own(t, l, s)
		b := make([]byte, 64)
		if _, err := d.Read(b); !errors.Is(err, EAGAIN) {
			t.Fatalf("%s: a silent connection gave %v", kind, err)
		}
		for range 100 {
			if _, err := c.Write([]byte("ping")); err != nil {
				t.Fatal(err)
			}
			if n := h.read(t, d, b); string(b[:n]) != "ping" {
				t.Fatalf("%s: got %q", kind, b[:n])
			}
			if _, err := d.Write([]byte("pong")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, b[:4]); err != nil || string(b[:4]) != "pong" {
				t.Fatalf("%s: got %q, %v", kind, b[:4], err)
			}
		}
		if d.Stirred() {
			t.Errorf("%s: something is there", kind)
		}
		_ = c.Close()
		h.await(t, Hangup)
		if n := h.read(t, d, b); n != 0 || !d.Stirred() {
			t.Errorf("%s: %d bytes behind the end", kind, n)
		}
		d.Close()
		d.Close()
		if d.Loop() != nil {
			t.Errorf("%s: a closed descriptor has a loop", kind)
		}
	}
}

func TestDescWaitsForARoomyPeer(t *testing.T) {
	l := newLoop(t)
	s, c := pairs(t)["tcp"]()
	defer func() { _ = c.Close() }()
	d, h := own(t, l, s)
	all := bytes.Repeat([]byte("0123456789abcdef"), 1<<19)
	got := make(chan []byte)
	full := make(chan struct{})
	go func() {
		<-full // the peer reads only once the socket has taken all that it can
		b, _ := io.ReadAll(io.LimitReader(c, int64(len(all))))
		got <- b
	}()
	waits := 0
	for b := all; len(b) > 0; {
		n, err := d.Write(b)
		b = b[n:]
		if errors.Is(err, EAGAIN) {
			if waits++; waits == 1 {
				close(full)
			}
			if err := d.AwaitWrite(); err != nil {
				t.Fatal(err)
			}
			h.await(t, Writable)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if waits == 0 {
		close(full)
	}
	if !bytes.Equal(<-got, all) || waits == 0 {
		t.Errorf("the bytes differ, or none had to wait (%d waits)", waits)
	}
}

func TestDescMovesAndComesBack(t *testing.T) {
	one, two := newLoop(t), newLoop(t)
	s, c := pairs(t)["tcp"]()
	defer func() { _ = c.Close() }()
	d, h := own(t, one, s)
	b := make([]byte, 64)
	for i := range 50 {
		to := []*Loop{one, two}[i%2]
		if i%3 == 0 { // what comes before the move is told by the new loop
			_, _ = c.Write([]byte("x"))
		}
		if err := d.Move(to); err != nil {
			t.Fatal(err)
		}
		if i%3 != 0 {
			_, _ = c.Write([]byte("x"))
		}
		if n := h.read(t, d, b); n != 1 || d.Loop() != to {
			t.Fatalf("move %d: %d bytes", i, n)
		}
	}
	nc, err := d.Disown()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	_, _ = c.Write([]byte("again"))
	if n, err := nc.Read(b); err != nil || string(b[:n]) != "again" {
		t.Errorf("got %q, %v", b[:n], err)
	}
}

func TestNoDescOfOtherConnections(t *testing.T) {
	l := newLoop(t)
	s, c := net.Pipe()
	defer func() { _ = s.Close(); _ = c.Close() }()
	if d, err := l.Own(s, newTold()); d != nil || err != nil {
		t.Errorf("a pipe has a descriptor: %v, %v", d, err)
	}
}
