package grpc

import (
	"slices"

	"github.com/sluice-mesh/sluice/protocols/http2"
	"github.com/sluice-mesh/sluice/resources"
)

// leg is an attempt of a call: its stream on the connection to a server.
type leg struct {
	c      *call // nil: the leg is free
	u      *upstream
	id     uint32 // 0: it waits for the connection or for a free stream
	begin  uint64 // where its HEADERS are on the connection
	window int64  // bytes that the server takes
	sent   int64  // bytes of the request that were written
	ended  bool   // the end of the request was written
	left   int64  // bytes that the server may still send
	credit int64  // bytes that it sent and may send again
}

// open begins the stream and sends what there is of the request.
func (g *leg) open() {
	c, u := g.c, g.u
	g.id = u.next
	u.next += 2
	u.streams[g.id] = g
	g.window, g.left = u.initial, int64(u.sh.r.set.Window)
	u.used = u.sh.loop.Now()
	if len(u.streams) == 1 {
		u.heard = u.used // the server may be silent from now on
	}
	g.ended = c.ended && c.total() == 0
	u.enc.Begin()
	for i := range c.head.fields {
		f := &c.head.fields[i]
		switch {
		case f.Name == "grpc-timeout", f.Name == resources.TraceParent && c.Trace.Sampled:
		case once(f):
			u.enc.Once(f.Name, f.Value)
		default:
			u.enc.Field(*f)
		}
	}
	if c.until > 0 {
		u.enc.OnceBytes("grpc-timeout", appendTimeout(u.sh.text[:0], c.until-u.used))
	}
	if c.Trace.Sampled {
		u.enc.OnceBytes(resources.TraceParent, resources.AppendTraceParent(u.sh.text[:0], &c.Trace))
	}
	g.begin = u.conn.Position()
	u.conn.SetOut(u.enc.End(u.conn.Out(512), g.id, g.ended, u.maxFrame))
	if c.Stages != nil {
		c.Stages.Placed(nil)
		g.wrote()
	}
	g.pump()
	c.trim()
}

// wrote notes of a watched call when its request was written, once the end of it is there.
func (g *leg) wrote() {
	if g.ended {
		g.c.Stages.Wrote(g.u.conn)
	}
}

// once reports whether a field is likely to be another one in the next call, so that no table should hold it.
func once(f *http2.Field) bool {
	if f.Sensitive || len(f.Name) == 0 || f.Name[0] == ':' {
		return false
	}
	switch f.Name {
	case "grpc-message", "grpc-status-details-bin", "grpc-trace-bin", "grpc-tags-bin", "traceparent", "tracestate", "x-request-id", "date":
		return true
	}
	return len(f.Value) > 512
}

// appendFields adds a header list to a block.
func appendFields(e *http2.Encoder, fields []http2.Field) {
	e.Begin()
	for i := range fields {
		if i > 0 && once(&fields[i]) {
			e.Once(fields[i].Name, fields[i].Value)
		} else {
			e.Field(fields[i])
		}
	}
}

// direct writes bytes that follow what was sent, as far as the server takes them, and returns how many. When these are all,
// and the last ones, the request has been sent.
func (g *leg) direct(b []byte) int {
	n := g.u.write(g.id, &g.window, b, g.c.ended)
	g.sent += int64(n)
	g.ended = g.c.ended && n == len(b) && n > 0
	if g.c.Stages != nil {
		g.wrote()
	}
	return n
}

// pump sends what the server takes of the request.
func (g *leg) pump() {
	c, u := g.c, g.u
	if g.id == 0 || g.ended || u.closed {
		return
	}
	if rest := c.body[g.sent-c.base:]; len(rest) > 0 {
		n := u.write(g.id, &g.window, rest, c.ended)
		if n > 0 {
			c.moved = u.sh.loop.Now()
		}
		g.sent += int64(n)
		g.ended = c.ended && n == len(rest)
	} else if c.ended {
		g.ended = true
		u.conn.SetOut(http2.AppendData(u.conn.Out(http2.HeadSize), g.id, true, nil))
	}
	if c.Stages != nil {
		g.wrote()
	}
}

// gone lets the server send n more bytes of an answer, since as many were passed on.
func (g *leg) gone(n int) {
	if g == nil {
		return
	}
	g.credit += int64(n)
	if u := g.u; g.credit >= int64(u.sh.r.set.Window)/2 && !u.closed && g.id != 0 {
		u.conn.SetOut(http2.AppendWindow(u.conn.Out(16), g.id, uint32(g.credit)))
		g.left += g.credit
		g.credit = 0
	}
}

// drop gives an attempt up. The server is told when it may be at work on it.
func (g *leg) drop(code http2.Code) {
	u := g.u
	g.c = nil
	if g.id == 0 {
		if i := slices.Index(u.waiting, g); i >= 0 {
			u.waiting = slices.Delete(u.waiting, i, i+1)
		}
		return
	}
	if u.streams[g.id] != g {
		return
	}
	delete(u.streams, g.id)
	if !u.closed {
		u.rst(g.id, code)
		u.freed()
	}
}

// done lets go of an attempt that its server answered.
func (g *leg) done() {
	c, u := g.c, g.u
	c.only(g)
	c.up, g.c = nil, nil
	delete(u.streams, g.id)
	if !g.ended && !u.closed {
		u.rst(g.id, http2.Cancel) // it does not want the rest of the request
	}
	u.freed()
}
