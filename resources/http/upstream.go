package http

import (
	"errors"
	"io"
	"slices"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/http1"
	"github.com/sluice-mesh/sluice/resources"
)

// mode is what connections to servers are, as metrics name it.
const mode = "leased"

var errStalled = errors.New("nothing moves")

// upstream is one connection to a server. It carries one request at a time.
type upstream struct {
	sh     *shard
	pool   *pool
	ep     *resources.Endpoint
	conn   *loop.Conn
	index  int // in sh.ups
	closed bool

	c      *call   // whose answer comes; nil: nobody's
	tunnel *tunnel // the connection was upgraded
	begin  uint64  // where the request begins in what was written
	since  int64   // when it became free

	seen   int        // bytes of a head that is not whole
	early  int        // answers with a status below 200 to this request
	body   http1.Body // of the answer, once the call is answering
	form   http1.Form
	status int
	reuse  bool // the server takes another request afterwards
}

// take begins a request.
func (u *upstream) take(c *call) {
	u.c, u.begin = c, u.conn.Position()
	u.seen, u.early = 0, 0
}

// idle reports whether nobody uses the connection.
func (u *upstream) idle() bool { return u.c == nil && u.tunnel == nil }

// sent says how far the request got.
func (u *upstream) sent() resources.Sent {
	if u.conn.Sent() > u.begin {
		return resources.SentSome
	}
	return resources.SentNothing
}

// tend is called every now and then: it closes what nobody uses.
func (u *upstream) tend(now int64) {
	if u.idle() && (now-u.since > int64(u.sh.r.set.Idle) || u.ep.Gone()) {
		u.close(errDone)
	}
}

// OnData implements loop.Handler.
func (u *upstream) OnData(_ *loop.Conn, b []byte) int {
	off := 0
	for off < len(b) && !u.closed {
		n := 0
		switch c := u.c; {
		case u.tunnel != nil:
			u.tunnel.fromServer(b[off:])
			return len(b)
		case c == nil: // such as 408 before the server closes
			u.sh.rt.Dropped("unasked-answer")
			u.close(errors.New("the server said something that nobody asked for"))
			return len(b)
		case c.answering:
			n = u.rest(b[off:])
		default:
			n = u.head(b[off:])
		}
		if n == 0 {
			break
		}
		off += n
	}
	return off
}

// garbled gives up a connection whose bytes make no sense.
func (u *upstream) garbled(err error) {
	u.sh.rt.Mismatch()
	u.sh.rt.Log("error", "an answer cannot be understood; the connection is closed", "endpoint", u.ep.Address, "error", err)
	u.lose(err)
}

// OnEOF implements loop.Handler.
func (u *upstream) OnEOF(*loop.Conn) {
	switch {
	case u.tunnel != nil:
		u.tunnel.ended()
	case u.c != nil && u.c.answering && u.body.Framing() == http1.UntilClose:
		u.untilClose()
	default:
		u.lose(io.EOF)
	}
}

// OnDrained implements loop.Handler.
func (u *upstream) OnDrained(*loop.Conn) {
	switch {
	case u.tunnel != nil:
		u.tunnel.co.conn.Resume()
	case u.c != nil && u.c.co.streaming:
		u.c.co.conn.Resume()
	}
}

// OnClose implements loop.Handler.
func (u *upstream) OnClose(_ *loop.Conn, err error) {
	u.sh.r.life.Connections.Add(-1)
	u.lose(err)
}

// lose closes the connection. A call that was sent on it fails.
func (u *upstream) lose(err error) {
	if u.closed {
		return
	}
	c, sent := u.c, u.sent()
	u.c = nil
	u.close(err)
	if c == nil {
		return
	}
	what := "the connection to " + u.ep.Address + " was lost"
	var bad *http1.Error
	switch {
	case errors.As(err, &bad):
		what = "the answer of " + u.ep.Address + " cannot be understood: " + bad.What
	case err != nil && err != io.EOF:
		what += ": " + err.Error()
	}
	a := &c.first
	if c.backup.on(u) {
		a = &c.backup
	}
	switch {
	case c.answering:
		c.first = attempt{}
		u.sh.cut(c, u.sh.upstreamFault(resources.Unknown, what+" in the middle of its answer"))
	case sent == resources.SentNothing:
		u.sh.missed(c, a, u.sh.upstreamFault(resources.Unavailable, what), sent)
	default:
		u.sh.missed(c, a, u.sh.upstreamFault(resources.Unknown, what+"; the request may have been executed"), sent)
	}
}

// close takes the connection out of its pool and closes it. Nobody uses it any more.
func (u *upstream) close(err error) {
	if u.closed {
		return
	}
	u.closed = true
	u.conn.Close(err)
	u.sh.rt.Connections(u.ep, mode, -1)
	ups := u.sh.ups
	last := len(ups) - 1
	ups[u.index] = ups[last]
	ups[u.index].index = u.index
	ups[last] = nil
	u.sh.ups = ups[:last]
	p := u.pool
	if i := slices.Index(p.free, u); i >= 0 {
		p.free = slices.Delete(p.free, i, i+1)
	}
	if t := u.tunnel; t != nil {
		t.close(err)
	}
}
