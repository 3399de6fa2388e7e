package http

import (
	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/http1"
	"github.com/sluice-mesh/sluice/resources"
)

// tunnel is a client's connection that was upgraded, and the one to a server that it is tied to from then on. What goes
// through it is no HTTP, so it is passed on as it is; the call that made it ended with the upgrade.
type tunnel struct {
	link *link
	co   *conn
	u    *upstream
	over bool
	mark uint64 // what had moved when it was last looked at
}

// upgraded makes a tunnel of a call that the server answered with 101.
func (sh *shard) upgraded(c *call, u *upstream, r *http1.Response) {
	co := c.co
	out := appendStatus(co.conn.Out(r.Size+64), r)
	out = appendFields(out, r.Whole, r.Fields, func(f *http1.Field) bool { return f.Known == http1.ContentLength || r.Hop(f) })
	out = append(append(append(out, "Connection: Upgrade\r\nUpgrade: "...), r.Upgrade...), "\r\n\r\n"...)
	co.conn.SetOut(out)
	c.RespBytes = int64(r.Size)
	sh.dig(c, u, "an upgraded connection")
}

// connected makes a tunnel of CONNECT.
func (sh *shard) connected(c *call, u *upstream) {
	c.co.conn.Write(established)
	c.RespBytes = int64(len(established))
	sh.dig(c, u, "CONNECT")
}

var established = []byte("HTTP/1.1 200 Connection established\r\n\r\n")

// dig ends a call and ties its two connections together.
func (sh *shard) dig(c *call, u *upstream, why string) {
	l, co := c.link, c.co
	l.Add() // for the tunnel
	t := &tunnel{link: l, co: co, u: u}
	u.c, c.first = nil, attempt{}
	u.tunnel, co.tunnel = t, t
	l.Session.SetPinReason(&why)
	sh.rt.Pinned(l.Session, resources.PinPaired)
	c.Sent, c.Outcome, c.keep = resources.SentAnswered, resources.OutcomeOK, true
	sh.over(c)
}

// fromClient passes bytes on to the server.
func (t *tunnel) fromClient(b []byte) { pass(t.u.conn, t.co.conn, b) }

// fromServer passes bytes on to the client.
func (t *tunnel) fromServer(b []byte) { pass(t.co.conn, t.u.conn, b) }

// pass writes what came on one connection to the other, and reads no more while that does not take it.
func pass(to, from *loop.Conn, b []byte) {
	to.Write(b)
	if to.Pending() > loop.HighWater {
		from.Pause()
		to.WantDrained()
	}
}

// ended is called when one side sends no more. What it sent still goes out; the other way ends with it.
func (t *tunnel) ended() {
	if !t.over {
		t.over = true
		t.co.conn.CloseAfterFlush()
		t.u.conn.CloseAfterFlush()
		t.co.arm(t.co.g.loop.Now() + closeTime)
	}
}

// silent is called when the tunnel's time has come: it ends when nothing moved in it.
func (t *tunnel) silent(now int64) {
	moved := t.co.conn.Sent() + t.u.conn.Sent()
	if t.over || moved == t.mark {
		t.close(errStalled)
		return
	}
	t.mark = moved
	t.co.arm(now + max(t.co.g.d.idle.Load(), 1e9))
}

// close ends both connections at once.
func (t *tunnel) close(err error) {
	co, u := t.co, t.u
	if co.tunnel != t {
		return
	}
	co.tunnel, u.tunnel = nil, nil
	co.closing = true
	co.conn.Close(err)
	u.close(err)
	t.link.Shard.rt.Pinned(t.link.Session, 0)
	t.link.Done()
}
