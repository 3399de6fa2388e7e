package http

import (
	"errors"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/http1"
)

// errDone closes a connection that is no longer needed.
var errDone = errors.New("no longer needed")

// conn is one client connection. Its requests are served one after another.
type conn struct {
	g      *gate
	conn   *loop.Conn
	links  links
	secure bool   // TLS
	client string // its address; "": it has none

	c         *call      // being served; nil: none
	body      http1.Body // of its request, while streaming
	streaming bool       // not all of the request has come
	tunnel    *tunnel    // the connection was upgraded
	lingering bool       // what still comes is thrown away, so that the client can read the answer before the end
	closing   bool       // it ends when all is written
	eof       bool       // the client sends no more

	seen  int   // bytes of a head that is not whole
	last  int64 // when the client sent something
	began int64 // when a request began that is not whole; 0: none
	due   int64 // when something is to be looked at
	timer loop.Timer

	next, prev *conn // of the gate
}

// attached begins the connection on its loop.
func (co *conn) attached(c *loop.Conn) {
	g := co.g
	co.conn, co.last = c, g.loop.Now()
	c.SetHandler(co)
	if co.next = g.conns; co.next != nil {
		co.next.prev = co
	}
	g.conns = co
	co.timer.F = co.onTimer
	co.rest(0)
}

// between reports whether the connection waits for a request.
func (co *conn) between() bool {
	return co.c == nil && co.tunnel == nil && !co.lingering && !co.closing
}

// uploading reports whether the rest of a request goes to a server as it comes.
func (co *conn) uploading() bool { return co.streaming && co.c != nil && co.c.first.up != nil }

// OnData implements loop.Handler.
func (co *conn) OnData(c *loop.Conn, b []byte) int {
	co.last = co.g.loop.Now()
	off := 0
	for off < len(b) && !c.Closed() {
		n := 0
		switch {
		case co.lingering, co.closing:
			return len(b)
		case co.tunnel != nil:
			co.tunnel.fromClient(b[off:])
			return len(b)
		case co.c != nil:
			n = co.more(b[off:])
		case c.Pending() > loop.HighWater: // it does not read its answers
			c.Pause()
			c.WantDrained()
		default:
			n = co.request(b[off:])
		}
		if n == 0 {
			break
		}
		off += n
	}
	if co.between() {
		co.rest(len(b) - off)
		if co.eof { // and no more will come
			co.close()
		}
	}
	return off
}

// request reads a request and begins to serve it. It returns how many bytes are done with; 0 when more must come.
func (co *conn) request(b []byte) int {
	if len(b) > 1 && b[0] == '\r' && b[1] == '\n' {
		return 2 // RFC 9112, 2.2: clients that write a line too many
	}
	r := &co.g.request
	ok, err := r.Scan(b, co.seen, http1.DefaultMax)
	if err != nil {
		co.bad(err)
		return len(b)
	}
	if !ok {
		co.seen = len(b)
		return 0
	}
	co.seen = 0
	body, rest := r.Body(), b[r.Size:]
	sized := body.Framing() != http1.Chunked
	whole := sized && body.Left() <= int64(len(rest))
	switch {
	case whole:
		rest, body = rest[:body.Left()], http1.Body{}
	case sized && body.Left() <= maxKept && !r.Continue:
		return 0 // it is about to come, and then the request can be sent again
	default:
		rest = nil
	}
	n := r.Size + len(rest)
	co.body, co.streaming = body, !whole
	co.serve(r, rest)
	co.began = 0
	return n
}

// serve gives a request, with its body if that is kept, to the service that it is for.
func (co *conn) serve(r *http1.Request, kept []byte) {
	ix := co.g.d.index.Load()
	to := ix.find(r.Host, r.Absolute || r.Method == http1.CONNECT)
	switch {
	case r.Method == http1.CONNECT && co.streaming:
		co.refuse(r, 400, "CONNECT has no body")
		return
	case to != nil:
	case r.Method == http1.CONNECT:
		co.refuse(r, 403, "CONNECT goes to services that are known here alone: "+ix.explain(r.Host))
		return
	default:
		co.refuse(r, 404, ix.explain(r.Host))
		return
	}
	var caller []byte
	if to.caller != "" {
		caller = r.Get(to.caller)
	}
	l, fault := co.link(to, caller)
	if fault != nil {
		keep := r.Reusable() && !co.ends()
		co.g.out = appendFault(co.g.out[:0], fault, keep, r.Method)
		co.conn.Write(co.g.out)
		co.finished(keep)
		return
	}
	l.Shard.begin(l, r, kept)
}

// ends reports whether the connection must end with the answer to the request that is served.
func (co *conn) ends() bool { return co.streaming || co.g.draining }

// refuse answers a request that belongs to no resource.
func (co *conn) refuse(r *http1.Request, status int, what string) {
	keep := r.Reusable() && !co.ends()
	co.g.out = appendText(co.g.out[:0], status, "", "sluice: "+co.g.d.lobby.Address()+": "+what, keep, r.Method)
	co.conn.Write(co.g.out)
	co.finished(keep)
}

// bad answers bytes that are no request. Nothing after them can be understood.
func (co *conn) bad(err error) {
	status, what := 400, err.Error()
	var e *http1.Error
	if errors.As(err, &e) {
		status, what = e.Status, e.What
	}
	co.g.out = appendText(co.g.out[:0], status, "", "sluice: "+co.g.d.lobby.Address()+": "+what, false, http1.GET)
	co.conn.Write(co.g.out)
	co.streaming = false
	co.linger()
}

// more takes what comes while a request is served: the rest of it, or the next one, which waits.
func (co *conn) more(b []byte) int {
	c := co.c
	u := c.first.up
	if !co.streaming || u == nil {
		co.conn.Pause()
		return 0
	}
	out, n, err := co.body.Append(u.conn.Out(len(b)+len(b)/8+64), b, http1.AsFramed)
	u.conn.SetOut(out)
	if n > 0 {
		c.Retry = neverAgain
		c.ReqBytes += int64(n)
	}
	sh := c.link.Shard
	switch most := int64(sh.r.set.MaxBody); {
	case err != nil:
		sh.badBody(c, err)
	case most > 0 && c.ReqBytes-c.size > most:
		sh.tooLarge(c)
	case co.body.Done():
		co.streaming = false
		if c.Stages != nil {
			c.Stages.Wrote(u.conn)
		}
		c.Deadline = sh.loop.Now() + sh.timeout()
		sh.armCall(c)
	case u.conn.Pending() > loop.HighWater:
		co.conn.Pause()
		u.conn.WantDrained()
	}
	return n
}

// finished is called when a request was answered. keep says whether the client was told that another one may follow.
func (co *conn) finished(keep bool) {
	co.c, co.last = nil, co.g.loop.Now()
	switch {
	case co.conn.Closed():
	case co.streaming, !keep && co.conn.Buffered() > 0:
		co.linger()
	case !keep, co.eof && co.conn.Buffered() == 0:
		co.close()
	default:
		co.rest(0)
		if co.conn.Buffered() > 0 || co.conn.Paused() {
			co.conn.Resume()
		}
	}
}

// Times of a connection that ends, in ns.
const (
	lingerTime = int64(1e9)  // for a client to read an answer while it still sends
	closeTime  = int64(30e9) // for a client to take what is left
)

// close ends the connection when all is written.
func (co *conn) close() {
	co.closing = true
	co.conn.CloseAfterFlush()
	co.arm(co.g.loop.Now() + closeTime)
}

// linger ends the connection in a while. Closed at once, with bytes of the client unread, the system would make the client
// forget the answer.
func (co *conn) linger() {
	co.lingering, co.streaming = true, false
	co.conn.Resume()
	co.arm(co.g.loop.Now() + lingerTime)
}

// OnEOF implements loop.Handler. A client that sends no more may still read: whole requests are answered.
func (co *conn) OnEOF(c *loop.Conn) {
	co.eof = true
	switch {
	case co.tunnel != nil:
		co.tunnel.ended()
	case co.streaming:
		c.Close(errors.New("the client ended in the middle of a request"))
	case co.c == nil:
		co.close()
	}
}

// OnDrained implements loop.Handler.
func (co *conn) OnDrained(c *loop.Conn) {
	switch {
	case co.tunnel != nil:
		co.tunnel.u.conn.Resume()
	case co.c == nil && c.Paused() && !co.closing:
		c.Resume()
	case co.c == nil:
	default:
		if u := co.c.first.up; u != nil && u.conn.Paused() {
			u.conn.Resume()
		}
	}
}

// OnClose implements loop.Handler.
func (co *conn) OnClose(_ *loop.Conn, err error) {
	if co.c != nil {
		co.c.link.Shard.gone(co.c, err)
	}
	if co.tunnel != nil {
		co.tunnel.close(errDone)
	}
	co.links.Leave()
	g := co.g
	g.loop.Cancel(&co.timer)
	if co.prev != nil {
		co.prev.next = co.next
	} else {
		g.conns = co.next
	}
	if co.next != nil {
		co.next.prev = co.prev
	}
	g.d.conns.Add(-1)
}
