package loop

import (
	"errors"
	"io"
	"net"
)

const netBuffer = 16 << 10

// netConn moves the bytes of a connection that the loop cannot poll. Its reader waits for the loop to take each piece,
// and its writer has one piece at a time, so that back-pressure works as it does with polling.
type netConn struct {
	nc    net.Conn
	next  chan struct{} // the reader may go on
	write chan []byte   // for the writer
	stop  chan struct{}

	// Used by the loop only.
	parked bool   // the reader waits for next
	piece  []byte // the writer's buffer, while it has nothing to do
}

func newNetConn(nc net.Conn) *netConn {
	return &netConn{nc: nc, next: make(chan struct{}, 1), write: make(chan []byte, 1), stop: make(chan struct{})}
}

func (n *netConn) start(c *Conn) {
	c.loop.adapters.Add(2)
	go n.readLoop(c)
	go n.writeLoop(c)
}

func (n *netConn) readLoop(c *Conn) {
	defer c.loop.adapters.Done()
	buf := make([]byte, netBuffer)
	for {
		got, err := n.nc.Read(buf)
		ok := c.loop.Post(func() { n.arrived(c, buf[:got], err) })
		if !ok || err != nil {
			return
		}
		select {
		case <-n.next:
		case <-n.stop:
			return
		}
	}
}

// arrived runs on the loop.
func (n *netConn) arrived(c *Conn, b []byte, err error) {
	if c.state&stClosed != 0 {
		return
	}
	if len(b) > 0 {
		c.deliver(b)
	}
	if c.state&stClosed != 0 {
		return
	}
	switch {
	case errors.Is(err, io.EOF):
		c.eof()
	case err != nil:
		c.fail(err)
	default:
		n.parked = true
		c.touch()
	}
}

// watch lets a waiting reader go on unless the connection is paused.
func (n *netConn) watch(c *Conn) {
	if n.parked && c.state&stPaused == 0 {
		n.parked = false
		n.next <- struct{}{}
	}
}

// flush gives the writer its next piece. The bytes count as sent from then on, since nobody can take them back.
func (n *netConn) flush(c *Conn) {
	piece := append(n.piece[:0], c.out[c.sent:min(len(c.out), c.sent+scratchSize)]...)
	n.piece = nil
	c.state |= stWriting
	c.wrote(len(piece))
	n.write <- piece
}

func (n *netConn) writeLoop(c *Conn) {
	defer c.loop.adapters.Done()
	for {
		select {
		case piece := <-n.write:
			_, err := n.nc.Write(piece)
			if !c.loop.Post(func() { n.written(c, piece, err) }) || err != nil {
				return
			}
		case <-n.stop:
			return
		}
	}
}

// written runs on the loop.
func (n *netConn) written(c *Conn, piece []byte, err error) {
	if c.state&stClosed != 0 {
		return
	}
	if cap(piece) <= netBuffer {
		n.piece = piece
	}
	c.state &^= stWriting
	if err != nil {
		c.fail(err)
		return
	}
	c.touch()
}

// close ends both goroutines. Closing a TLS connection may write and so wait; the loop does not. One that is aborted does
// not write that all is well.
func (n *netConn) close(l *Loop, abort bool) {
	close(n.stop)
	l.adapters.Add(1)
	go func() {
		defer l.adapters.Done()
		if abort {
			reset(n.nc)
		}
		_ = n.nc.Close()
	}()
}

// reset closes the connection below a TLS connection so that the peer sees a reset.
func reset(nc net.Conn) {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = t.NetConn()
	}
	if t, ok := nc.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
		_ = t.Close()
	}
}
