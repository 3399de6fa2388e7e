package governance

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// peekTimeout is how long a client may take for its first byte, and how long one that never sends it is kept.
const peekTimeout = 5 * time.Second

// mostPeeked bounds the connections that have not sent a byte yet.
const mostPeeked = 4096

// port is a listener on which TLS and plain HTTP come together: a TLS client begins with the byte 0x16 (RFC 8446, section 5.1),
// which begins no HTTP request. net/http does the handshake of the *tls.Conn that Accept returns.
type port struct {
	net.Listener
	tls *tls.Config

	ready chan net.Conn
	peeks chan struct{}
	quit  chan struct{}
	done  sync.WaitGroup
	once  sync.Once
	err   error // why accepting ended; set before quit is closed
}

func newPort(ln net.Listener, config *tls.Config) *port {
	p := &port{Listener: ln, tls: config, ready: make(chan net.Conn), peeks: make(chan struct{}, mostPeeked), quit: make(chan struct{})}
	p.done.Go(p.accept)
	return p
}

func (p *port) accept() {
	for {
		c, err := p.Listener.Accept()
		if err != nil {
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() { // too many open files: it passes
				select {
				case <-time.After(50 * time.Millisecond):
					continue
				case <-p.quit:
				}
			}
			p.end(err)
			return
		}
		select {
		case p.peeks <- struct{}{}:
			p.done.Go(func() {
				defer func() { <-p.peeks }()
				p.sort(c)
			})
		default:
			c.Close()
		}
	}
}

// sort looks at the first byte and hands the connection on.
func (p *port) sort(c net.Conn) {
	c.SetReadDeadline(time.Now().Add(peekTimeout))
	first := &peeked{Conn: c, r: bufio.NewReaderSize(c, 512)}
	b, err := first.r.Peek(1)
	if err != nil {
		c.Close()
		return
	}
	c.SetReadDeadline(time.Time{})
	var out net.Conn = first
	if b[0] == 0x16 {
		out = tls.Server(first, p.tls)
	}
	select {
	case p.ready <- out:
	case <-p.quit:
		c.Close()
	}
}

// Accept implements net.Listener.
func (p *port) Accept() (net.Conn, error) {
	select {
	case c := <-p.ready:
		return c, nil
	case <-p.quit:
		return nil, p.err
	}
}

func (p *port) end(err error) {
	p.once.Do(func() {
		p.err = err
		close(p.quit)
	})
}

// Close implements net.Listener. It waits until no connection is being looked at.
func (p *port) Close() error {
	err := p.Listener.Close()
	p.end(net.ErrClosed)
	p.done.Wait()
	return err
}

// peeked is a connection of which a byte was looked at.
type peeked struct {
	net.Conn
	r *bufio.Reader // nil once it is empty, so that a long link does not keep its buffer
}

func (c *peeked) Read(b []byte) (int, error) {
	if c.r == nil {
		return c.Conn.Read(b)
	}
	n, err := c.r.Read(b[:min(len(b), max(c.r.Buffered(), 1))])
	if c.r.Buffered() == 0 {
		c.r = nil
	}
	return n, err
}
