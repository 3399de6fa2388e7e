package grpc

import (
	"errors"
	"strings"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/http2"
)

const (
	// maxInFlight is how many calls of one client may wait for their answers.
	maxInFlight = 1024
	// maxUnread is how many bytes of answers a client may leave unread in all. Servers are shared, so they are not made to wait
	// for it beyond the windows of its own calls.
	maxUnread = 64 << 20
)

// errDone closes a connection that is no longer needed.
var errDone = errors.New("no longer needed")

// conn is one client connection.
type conn struct {
	wire
	g      *gate
	links  links
	calls  map[uint32]*call
	newest uint32 // the highest number of a stream
	given  int64  // what may be sent of a call before some of it has gone on, in bytes
	unread int    // bytes of answers that wait for windows

	greeted  bool  // its preface came
	since    int64 // when it was connected, or began a header block
	last     int64 // when the client sent something
	partial  int64 // when an unfinished frame began; 0: none
	draining int64 // when it was told to go; 0: it was not
	heard    bool  // it has shown that it knows
	final    bool  // it was told which of its streams is the last
	ending   int64 // when it began to be closed; 0: it does not

	next, prev *conn // of the gate
}

// attached begins the connection on its loop.
func (co *conn) attached(c *loop.Conn) {
	g := co.g
	co.last = g.loop.Now()
	co.since = co.last
	c.SetHandler(co)
	co.given = g.d.window.Load()
	co.begin(c, g.loop, co, co.given, http2.Setting{ID: http2.SettingMaxStreams, Value: maxInFlight})
	if co.next = g.conns; co.next != nil {
		co.next.prev = co
	}
	g.conns = co
	if !g.sweep.Pending() {
		g.loop.Set(&g.sweep, co.last+sweepEvery)
	}
}

// OnData implements loop.Handler.
func (co *conn) OnData(_ *loop.Conn, b []byte) int {
	co.last = co.g.loop.Now()
	off := 0
	if !co.greeted {
		n := min(len(b), len(http2.Preface))
		if string(b[:n]) != http2.Preface[:n] {
			co.broken(protocol("a connection that does not begin as one of HTTP/2"))
			return len(b)
		}
		if n < len(http2.Preface) {
			return 0
		}
		co.greeted, off = true, n
	}
	open := co.blocks.Open()
	off += co.read(b[off:])
	if !open && co.blocks.Open() {
		co.since = co.last
	}
	if off == len(b) || co.conn.Paused() {
		co.partial = 0
	} else if co.partial == 0 || off > 0 {
		co.partial = co.last
	}
	return off
}

// held implements side: a client that does not take what is said to it is not read from.
func (co *conn) held() bool {
	if co.conn.Pending() <= 8*loop.HighWater {
		return false
	}
	co.conn.Pause()
	co.conn.WantDrained()
	return true
}

// OnDrained implements loop.Handler.
func (co *conn) OnDrained(*loop.Conn) {
	if co.conn.Paused() {
		co.conn.Resume()
	}
	co.widened()
}

// headers implements side: a call begins, or its request ends with trailers, which gRPC has none of.
func (co *conn) headers(b *http2.Block) error {
	if b.Stream%2 == 0 {
		return protocol("a client's stream has an even number")
	}
	if b.Stream <= co.newest {
		if c := co.calls[b.Stream]; c != nil {
			if !b.End || c.ended {
				return protocol("headers in the middle of a stream")
			}
			c.link.Shard.more(c, nil, true)
		}
		return nil
	}
	co.newest = b.Stream
	switch {
	case co.final || len(co.calls) >= maxInFlight:
		if !co.calm.Take(co.g.loop.Now()) {
			return errCalm
		}
		co.rst(b.Stream, http2.RefusedStream)
	case b.TooLarge:
		co.refuse(b, statusResourceExhausted, "the metadata of a call has more than 65536 bytes")
	default:
		co.request(b)
	}
	return nil
}

// request gives a call to the service that it is for.
func (co *conn) request(b *http2.Block) {
	q := &co.g.head
	q.read(b.Fields)
	switch {
	case q.malformed != "":
		co.rst(b.Stream, http2.ProtocolError)
		return
	case q.method != "POST":
		co.refuseHTTP(b, "405")
		return
	case !strings.HasPrefix(q.contentType, "application/grpc"):
		co.refuseHTTP(b, "415")
		return
	}
	ix := co.g.d.index.Load()
	service := q.service()
	r := ix.find(q.authority, service)
	if r == nil {
		co.refuse(b, statusUnimplemented, ix.explain(q.authority, service))
		return
	}
	caller := ""
	if r.set.Caller != "" {
		caller = q.get(r.set.Caller)
	}
	l, fault := co.link(r, caller)
	if fault != nil {
		co.g.out = appendFault(co.g.out[:0], b.Stream, fault)
		co.conn.Write(co.g.out)
		co.hush(b)
		return
	}
	l.Shard.begin(l, b.Stream, q, b.End)
}

// refuse answers a call that belongs to no resource.
func (co *conn) refuse(b *http2.Block, code int, what string) {
	co.g.out = appendStatus(co.g.out[:0], b.Stream, code, "sluice: "+co.g.d.lobby.Address()+": "+what, false)
	co.conn.Write(co.g.out)
	co.hush(b)
}

// refuseHTTP answers a request that is no call.
func (co *conn) refuseHTTP(b *http2.Block, status string) {
	block := http2.AppendField(co.g.out[:0], ":status", status)
	co.conn.SetOut(http2.AppendHeaders(co.conn.Out(len(block)+http2.HeadSize), b.Stream, true, block, co.maxFrame))
	co.g.out = block
	co.hush(b)
}

// hush asks a client to send no more of a call that was refused.
func (co *conn) hush(b *http2.Block) {
	if !b.End {
		co.rst(b.Stream, http2.NoError)
	}
}

// data implements side.
func (co *conn) data(id uint32, b []byte, charged int, end bool) error {
	c := co.calls[id]
	if c == nil {
		if id > co.newest || id%2 == 0 {
			return protocol("DATA on a stream that was not begun")
		}
		co.passed(charged)
		return nil
	}
	if c.ended {
		return &http2.ConnError{Code: http2.StreamClosed, Text: "DATA after the end of a stream"}
	}
	if c.left -= int64(charged); c.left < 0 {
		return errFlow
	}
	if pad := charged - len(b); pad > 0 {
		co.passed(pad)
		c.told -= int64(pad)
	}
	c.link.Shard.more(c, b, end)
	return nil
}

// reset implements side: the client does not want the answer any more. To begin calls and give them up at once costs it less than
// it costs others, so there is a bound to it (CVE-2023-44487).
func (co *conn) reset(id uint32, code http2.Code) error {
	if !co.calm.Take(co.g.loop.Now()) {
		return errCalm
	}
	c := co.calls[id]
	if c == nil {
		if id > co.newest || id%2 == 0 {
			return protocol("RST_STREAM for a stream that was not begun")
		}
		return nil
	}
	c.link.Shard.canceled(c)
	return nil
}

// opened implements side.
func (co *conn) opened(id uint32, n int64) error {
	c := co.calls[id]
	if c == nil {
		if id > co.newest || id%2 == 0 {
			return protocol("WINDOW_UPDATE for a stream that was not begun")
		}
		return nil
	}
	if c.window += n; c.window > http2.MaxWindow {
		return errFlow
	}
	if len(c.out) > 0 {
		co.pump(c)
	}
	return nil
}

// settled implements side.
func (co *conn) settled(s http2.Setting) {
	if s.ID == http2.SettingWindow {
		for _, c := range co.calls {
			c.window += int64(s.Value) - co.initial
		}
		co.blocked = true
	}
}

// widened implements side: what waited may go on, in turns, so that no call keeps the others waiting.
func (co *conn) widened() {
	if !co.blocked || co.conn.Closed() {
		return
	}
	co.blocked = false
	for _, c := range co.calls { // in any order, which is as fair
		if co.pump(c); co.blocked {
			return
		}
	}
}

// goneAway implements side: the client begins no more calls.
func (co *conn) goneAway(uint32, http2.Code, []byte) {}

// ponged implements side.
func (co *conn) ponged() { co.heard = true }

// answer writes the headers of an answer.
func (co *conn) answer(c *call, fields []http2.Field, end bool) {
	if co.conn.Closed() {
		return
	}
	appendFields(co.enc, fields)
	co.conn.SetOut(co.enc.End(co.conn.Out(256), c.id, end, co.maxFrame))
}

// bytes passes bytes of an answer on, or keeps them until the client takes them.
func (co *conn) bytes(c *call, b []byte) {
	n := 0
	if len(c.out) == 0 {
		n = co.write(c.id, &c.window, b, false)
		c.up.gone(n)
	}
	if n < len(b) {
		c.out = append(c.out, b[n:]...)
		if co.unread += len(b) - n; co.unread > maxUnread {
			co.conn.Close(errors.New("the client does not read its answers"))
		}
	}
}

// pump writes what waits of an answer, as far as the client takes it, and then its end.
func (co *conn) pump(c *call) {
	if len(c.out) > 0 {
		n := co.write(c.id, &c.window, c.out, false)
		if n == 0 {
			return
		}
		c.out = c.out[:copy(c.out, c.out[n:])]
		co.unread -= n
		if c.up != nil {
			c.up.gone(n)
		}
		c.moved = co.g.loop.Now()
	}
	if len(c.out) == 0 && c.last {
		c.link.Shard.finished(c)
	}
}

// add puts a call into the table of those in flight.
func (co *conn) add(c *call) {
	co.calls[c.id] = c
	c.link.Add()
}

// remove takes a call out of the table.
func (co *conn) remove(c *call) {
	delete(co.calls, c.id)
	c.link.Done()
	co.unread -= len(c.out)
	if rest := c.total() - max(c.passed, 0); rest > 0 {
		co.passed(int(rest)) // nobody needs it any more
	}
}

// drain lets the client go in order; it is called again and again until the connection has ended.
func (co *conn) drain() {
	now := co.g.loop.Now()
	switch {
	case co.draining == 0:
		co.draining, co.heard = now, false
		if !co.greeted || co.newest == 0 {
			co.heard = true // nothing of it can be lost
		}
		co.goAway(http2.MaxStream)
		co.conn.SetOut(http2.AppendPing(co.conn.Out(32), [8]byte{'d', 'r', 'a', 'i', 'n'}, false))
		fallthrough
	case !co.final && (co.heard || now-co.draining > patience):
		if !co.heard && now-co.draining <= patience {
			return
		}
		co.final = true
		co.goAway(co.newest)
		fallthrough
	default:
		if co.final {
			co.leave()
		}
	}
}

// patience is how long a client may take to answer the PING behind the first GOAWAY, in ns.
const patience = int64(1e9)

func (co *conn) goAway(last uint32) {
	co.conn.SetOut(http2.AppendGoAway(co.conn.Out(64), last, http2.NoError, ""))
}

// leave closes a connection on which nothing is under way and nothing can begin.
func (co *conn) leave() {
	if co.final && len(co.calls) == 0 {
		co.close()
	}
}

// close closes the connection when the client has taken what was said to it, or in a while.
func (co *conn) close() {
	if co.ending == 0 {
		co.ending = co.g.loop.Now()
		co.conn.CloseAfterFlush()
	}
}

// broken implements side: the client is told what it did wrong.
func (co *conn) broken(err error) {
	var broken *http2.ConnError
	if errors.As(err, &broken) {
		co.conn.SetOut(http2.AppendGoAway(co.conn.Out(64+len(broken.Text)), co.newest, broken.Code, broken.Text))
	}
	co.ended = true
	co.cancel()
	co.close()
}

// OnEOF implements loop.Handler. A client that sends no more waits for nothing either.
func (co *conn) OnEOF(*loop.Conn) {
	co.cancel()
	co.close()
}

func (co *conn) cancel() {
	for _, c := range co.calls {
		c.link.Shard.canceled(c)
	}
}

// OnClose implements loop.Handler.
func (co *conn) OnClose(*loop.Conn, error) {
	co.cancel()
	co.links.Leave()
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

var _ side = (*conn)(nil)
