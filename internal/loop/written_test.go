package loop

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
)

// silent does nothing with what it gets.
type silent struct{}

func (silent) OnData(_ *Conn, b []byte) int { return len(b) }
func (silent) OnEOF(c *Conn)                { c.Close(nil) }
func (silent) OnDrained(*Conn)              {}
func (silent) OnClose(*Conn, error)         {}

// begin puts a connection on a loop and runs f there with it.
func begin(t *testing.T, l *Loop, nc net.Conn, f func(*Conn)) *Conn {
	t.Helper()
	got := make(chan *Conn, 1)
	if err := l.Attach(nc, func(c *Conn) {
		c.SetHandler(silent{})
		f(c)
		got <- c
	}); err != nil {
		t.Fatal(err)
	}
	return <-got
}

func written(t *testing.T, c <-chan int64) int64 {
	t.Helper()
	select {
	case at := <-c:
		return at
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was told")
		return 0
	}
}

// Who asks is told once all is written that was appended in the same round, also after he asked.
func TestOnWritten(t *testing.T) {
	for name, pair := range pairs(t) {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t)
			server, client := pair()
			defer client.Close()
			first, second := make(chan int64, 2), make(chan int64, 2)
			before := clock.Now()
			begin(t, l, server, func(c *Conn) {
				c.Write([]byte("ab"))
				c.OnWritten(func(at int64) {
					first <- at
					c.OnWritten(func(at int64) { second <- at }) // nothing is left to write
				})
				c.Write([]byte("c"))
			})
			got := make([]byte, 3)
			if _, err := io.ReadFull(client, got); err != nil || string(got) != "abc" {
				t.Fatalf("%q, %v", got, err)
			}
			at := written(t, first)
			if now := clock.Now(); at < before || at > now {
				t.Errorf("it was written at %d, want between %d and %d", at, before, now)
			}
			if again := written(t, second); again < at {
				t.Errorf("who asked then was told %d, want after %d", again, at)
			}
		})
	}
}

// What the peer does not read is not written; who waits for it is told when it is, or that it never will be.
func TestOnWrittenWaitsForThePeer(t *testing.T) {
	const much = 32 << 20
	for _, reads := range []bool{true, false} {
		l := newLoop(t)
		server, client := pairs(t)["tcp"]()
		defer client.Close()
		all, none := make(chan int64, 2), make(chan int64, 2)
		conn := begin(t, l, server, func(c *Conn) {
			c.OnWritten(func(at int64) { none <- at })
		})
		if written(t, none) == 0 {
			t.Error("nothing to write was not written")
		}
		l.Post(func() {
			conn.Write(make([]byte, much))
			conn.OnWritten(func(at int64) { all <- at })
		})
		select {
		case at := <-all:
			t.Fatalf("%d bytes that nobody reads were written at %d", much, at)
		case <-time.After(20 * time.Millisecond):
		}
		if !reads {
			l.Post(func() { conn.Close(nil) })
			if at := written(t, all); at != 0 {
				t.Errorf("a connection that was closed wrote at %d", at)
			}
			continue
		}
		if _, err := io.CopyN(io.Discard, client, much); err != nil {
			t.Fatal(err)
		}
		if written(t, all) == 0 {
			t.Error("what was read was not written")
		}
		l.Post(func() {
			conn.Close(nil)
			conn.OnWritten(func(at int64) { none <- at })
		})
		if at := written(t, none); at != 0 {
			t.Errorf("a connection that is closed writes at %d", at)
		}
	}
}
