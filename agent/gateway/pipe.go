package gateway

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"os"
	"sync/atomic"
	"time"
)

// Dialer makes connections to a resource: it serves one as if it came from a client.
type Dialer func(client net.Addr) net.Conn

// Dial returns a Dialer for what serves connections.
func Dial(serve func(net.Conn)) Dialer {
	return func(client net.Addr) net.Conn {
		near, far := net.Pipe()
		late := new(atomic.Bool)
		serve(&pipe{far, client, late})
		return &end{near, late}
	}
}

// pipe is the resource's end of a connection inside the process.
type pipe struct {
	net.Conn
	client net.Addr
	late   *atomic.Bool
}

// Read implements net.Conn. At the end of a connection that was given up because the time of its call is over the error is
// os.ErrDeadlineExceeded.
func (p *pipe) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	return n, p.reason(err)
}

// Write implements net.Conn, with the error of Read.
func (p *pipe) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(b)
	return n, p.reason(err)
}

func (p *pipe) reason(err error) error {
	if err != nil && p.late.Load() {
		return os.ErrDeadlineExceeded
	}
	return err
}

// RemoteAddr returns the address of the client that a gateway calls for.
func (p *pipe) RemoteAddr() net.Addr { return p.client }

// end is the gateway's end of such a connection.
type end struct {
	net.Conn
	late *atomic.Bool
}

// inTime returns a context for the round trip of a call, which ends with ctx. When that is because the time of the call is over, the
// resource is told so by the connection, and has a grace before to say it by itself. done must be called when the answer is read.
func inTime(ctx context.Context, grace time.Duration) (trip context.Context, done func()) {
	var on atomic.Pointer[tied]
	trip, cancel := context.WithCancel(httptrace.WithClientTrace(context.WithoutCancel(ctx), &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			if t, ok := i.Conn.(*tied); ok {
				on.Store(t)
			}
		},
	}))
	stop := context.AfterFunc(ctx, func() {
		defer cancel()
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return
		}
		if grace > 0 {
			select {
			case <-time.After(grace):
			case <-trip.Done():
			}
			return
		}
		if t := on.Load(); t != nil {
			t.overdue()
		}
	})
	return trip, func() { stop(); cancel() }
}

// tied is a connection that ends with a context.
type tied struct {
	net.Conn
	free func() bool
}

func tie(to context.Context, nc net.Conn) net.Conn {
	return &tied{nc, context.AfterFunc(to, func() { nc.Close() })}
}

// Close closes the connection.
func (t *tied) Close() error {
	t.free()
	return t.Conn.Close()
}

// overdue says why the connection is about to end.
func (t *tied) overdue() {
	if e, ok := t.Conn.(*end); ok {
		e.late.Store(true)
	}
}
