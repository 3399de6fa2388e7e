package motan

import (
	"errors"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/motan1"
	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/resources"
)

const (
	// maxInFlight is how many requests of one client may wait for their answers; then the agent stops reading from it.
	maxInFlight = 1024
	// maxUnread is how many bytes of answers a client may leave unread. Servers are shared, so they cannot be made to wait
	// for it.
	maxUnread = 64 << 20
)

// errDone closes a connection that is no longer needed.
var errDone = errors.New("no longer needed")

// conn is one client connection. Its requests are answered in any order.
type conn struct {
	g       *gate
	conn    *loop.Conn
	links   links
	calls   *call // in flight, doubly linked
	n       int   // how many
	held    bool  // nothing is read: too much is in flight, or unread
	eof     bool  // the client sends no more
	skip    int64 // bytes of a request that was refused before it was there
	last    int64 // when the client sent something or got an answer
	partial int64 // when an unfinished request began; 0: none
	visits  []*visit

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
	if !g.sweep.Pending() {
		g.loop.Set(&g.sweep, co.last+sweepEvery)
	}
}

// OnData implements loop.Handler: it handles as many requests as it may.
func (co *conn) OnData(c *loop.Conn, b []byte) int {
	co.last = co.g.loop.Now()
	largest := int(co.g.d.max.Load())
	f, off := &co.g.frame, 0
	for off < len(b) && !co.held && !c.Closed() {
		if co.skip > 0 {
			n := min(co.skip, int64(len(b)-off))
			co.skip -= n
			off += int(n)
			continue
		}
		if co.n >= maxInFlight || c.Pending() > loop.HighWater {
			co.hold()
			break
		}
		ok, err := f.Scan(b[off:], largest)
		if errors.Is(err, motan2.ErrMotan1) {
			n := co.scan1(b[off:], largest)
			if n == 0 {
				break
			}
			off += n
			co.partial = 0
			continue
		}
		if err != nil {
			off += co.refused(f, b[off:], err)
			continue
		}
		if !ok {
			break
		}
		raw := b[off : off+f.Size]
		off += f.Size
		co.request(f, raw)
		co.partial = 0
	}
	if off == len(b) {
		co.partial = 0
	} else if co.partial == 0 || off > 0 {
		co.partial = co.last
	}
	return off
}

// hold stops reading until less is in flight and the client took its answers.
func (co *conn) hold() {
	co.held = true
	co.conn.Pause()
	co.conn.WantDrained()
}

// goOn reads again when that is possible.
func (co *conn) goOn() {
	if co.held && co.n <= maxInFlight/2 && co.conn.Pending() <= loop.HighWater {
		co.held = false
		co.conn.Resume()
	}
}

// refused deals with bytes that are no request which could be taken. It returns how many of them are done with.
func (co *conn) refused(f *motan2.Frame, b []byte, err error) int {
	var large *motan2.TooLargeError
	if !errors.As(err, &large) {
		co.conn.Close(err)
		return len(b)
	}
	co.refuse(f.Head, 0, codes[resources.TooLarge], "the "+err.Error()[len("motan2: the "):])
	if large.Rest < 0 {
		co.conn.CloseAfterFlush()
		return len(b)
	}
	co.skip = large.Rest
	return len(b)
}

// refuse answers a request that belongs to no resource.
func (co *conn) refuse(h motan2.Head, v1 motan1.Version, code int, what string) {
	text := "sluice: " + co.g.d.lobby.Address() + ": " + what
	switch {
	case h.Type&motan2.TypeOneway != 0:
		return
	case v1 != 0:
		co.g.out = motan1.AppendException(co.g.out[:0], v1, h.ID, 0, motan1.Exception{Class: motan1.ClassFramework, Status: status1, Code: int32(code), Message: text})
	default:
		co.g.out = motan2.AppendException(co.g.out[:0], h, motan2.Exception{Code: code, Type: motan2.Framework, Text: text})
	}
	co.conn.Write(co.g.out)
}

// request handles one whole frame, whose bytes are raw.
func (co *conn) request(f *motan2.Frame, raw []byte) {
	switch {
	case f.Type&motan2.TypeResponse != 0:
		co.conn.Close(errors.New("the client sent an answer"))
		return
	case f.Type&motan2.TypeHeartbeat != 0:
		co.g.out = motan2.AppendHeartbeat(co.g.out[:0], f.ID, true)
		co.conn.Write(co.g.out)
		return
	case !f.Meta.Valid():
		co.refuse(f.Head, 0, motan2.CodeDecode, "the metadata of a request has a key without a value")
		return
	}
	co.g.request = incoming{head: f.Head, frame: f, raw: raw, desc: f.Meta.Call()}
	co.call(&co.g.request)
}

// incoming is a request as it is in the client's buffer.
type incoming struct {
	head  motan2.Head
	v1    motan1.Version // 0: Motan2
	frame *motan2.Frame  // nil in Motan1
	raw   []byte         // all of it
	desc  motan2.Call
}

// call gives a request to the service, or the guest, that it is for.
func (co *conn) call(q *incoming) {
	ix := co.g.d.index.Load()
	e := ix.find(&q.desc)
	switch {
	case e == nil && co.framework(q):
		return
	case e == nil:
		co.refuse(q.head, q.v1, motan2.CodeNotFound, ix.explain(&q.desc))
		return
	case e.guest != nil:
		co.ask(ix, e.guest, q)
		return
	}
	l, fault := co.link(e.r, q.desc.Source)
	if fault != nil {
		if q.head.Type&motan2.TypeOneway == 0 {
			co.g.out = (&call{head: q.head, v1: q.v1}).appendFault(co.g.out[:0], fault)
			co.conn.Write(co.g.out)
		}
		return
	}
	l.Shard.begin(l, q)
}

// add puts a call into the list of those in flight.
func (co *conn) add(c *call) {
	if c.next = co.calls; c.next != nil {
		c.next.prev = c
	}
	co.calls = c
	co.n++
	c.link.Add()
}

// remove takes a call out of the list of those in flight.
func (co *conn) remove(c *call) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		co.calls = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.next, c.prev = nil, nil
	co.n--
	c.link.Done()
	co.last = co.g.loop.Now() // who got an answer may be about to send the next request
}

// answer writes a frame as the answer to a call.
func (co *conn) answer(c *call, frame []byte) {
	if c.oneway() || co.conn.Closed() {
		return
	}
	out := co.conn.Out(len(frame))
	at := len(out)
	out = append(out, frame...)
	if c.v1 != 0 {
		motan1.SetID(out[at:], c.head.ID)
	} else {
		motan2.SetID(out[at:], c.head.ID)
	}
	co.conn.SetOut(out)
	if co.conn.Pending() > maxUnread {
		co.conn.Close(errors.New("the client does not read its answers"))
	}
}

// OnEOF implements loop.Handler. As for servers, a client that sends no more waits for nothing either; but what it sent
// one way is on its way.
func (co *conn) OnEOF(*loop.Conn) {
	co.eof = true
	for c := co.calls; c != nil; {
		next := c.next
		if !c.oneway() {
			c.link.Shard.canceled(c)
		}
		c = next
	}
	for _, v := range co.visits {
		v.cancel(false)
	}
	co.finished()
}

// finished is called when a call was answered, and when the client sends no more.
func (co *conn) finished() {
	co.goOn()
	if co.eof && co.n == 0 {
		co.conn.CloseAfterFlush()
	}
}

// OnDrained implements loop.Handler.
func (co *conn) OnDrained(*loop.Conn) { co.goOn() }

// OnClose implements loop.Handler.
func (co *conn) OnClose(*loop.Conn, error) {
	for co.calls != nil {
		c := co.calls
		c.link.Shard.canceled(c)
	}
	co.links.Leave()
	for _, v := range co.visits {
		v.cancel(true)
		v.Close()
	}
	co.visits = nil
	g := co.g
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
