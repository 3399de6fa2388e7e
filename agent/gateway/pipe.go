package gateway

import (
	"context"
	"net"
)

// Dialer makes connections to a resource: it serves one as if it came from a client.
type Dialer func(client net.Addr) net.Conn

// Dial returns a Dialer for what serves connections.
func Dial(serve func(net.Conn)) Dialer {
	return func(client net.Addr) net.Conn {
		near, far := net.Pipe()
		serve(&pipe{far, client})
		return near
	}
}

// pipe is the resource's end of a connection inside the process.
type pipe struct {
	net.Conn
	client net.Addr
}

// RemoteAddr returns the address of the client that a gateway calls for.
func (p *pipe) RemoteAddr() net.Addr { return p.client }

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
