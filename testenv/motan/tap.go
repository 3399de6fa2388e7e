package motan

import (
	"bufio"
	"errors"
	"io"
	"net"
	"slices"
	"sync"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// Tap is an address that passes connections on to another and keeps the messages that go through, in the order in which
// they were complete. A message is passed on in one write.
type Tap struct {
	Addr string

	mu     sync.Mutex
	frames []Frame
	err    error // the first thing that was no message
}

// StartTap makes a Tap before the server at addr. The test fails when something else than messages goes through.
func StartTap(t server.TB, addr string) *Tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	p := &Tap{Addr: l.Addr().String()}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex // guards what follows
		conns []net.Conn
		ended bool
	)
	keep := func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, c)
		if ended {
			c.Close()
		}
	}
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			keep(client)
			upstream, err := net.Dial("tcp", addr)
			if err != nil {
				client.Close()
				continue
			}
			keep(upstream)
			wg.Go(func() { p.pass(upstream, client, false) })
			wg.Go(func() { p.pass(client, upstream, true) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		ended = true
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
		if p.err != nil {
			t.Errorf("a tap before %s: %v", addr, p.err)
		}
	})
	return p
}

func (p *Tap) pass(to, from net.Conn, fromServer bool) {
	defer to.Close()
	defer from.Close()
	r := bufio.NewReader(from)
	for {
		b, err := readFrame(r)
		if err != nil {
			p.note(err)
			return
		}
		p.mu.Lock()
		p.frames = append(p.frames, Frame{FromServer: fromServer, Bytes: b})
		p.mu.Unlock()
		if _, err := to.Write(b); err != nil {
			return // the other side has closed
		}
	}
}

// note keeps an error that is not just the end of a connection.
func (p *Tap) note(err error) {
	var op *net.OpError
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

// Frames returns the messages so far.
func (p *Tap) Frames() []Frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.frames)
}

// Take returns the messages so far and forgets them.
func (p *Tap) Take() []Frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.frames
	p.frames = nil
	return f
}
