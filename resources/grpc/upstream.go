package grpc

import (
	"errors"
	"io"
	"slices"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/http2"
	"github.com/sluice-mesh/sluice/resources"
)

const (
	// idleTime is how long a connection is kept that nobody uses.
	idleTime = int64(300e9)
	// firstStreams is how many streams a server gets before it has said how many it takes.
	firstStreams = 100
	// mostStreams is how many it gets at most.
	mostStreams = 1000
	// lastStream is the number of a stream from which no new one is begun, long before numbers run out.
	lastStream = 1 << 30
	// early is how much sooner than here a deadline may be over at a server, in ns: it gives the call up by itself, and its
	// clock does not tick with ours.
	early = int64(5e6)
	// pingAgain is how long after a PING that was answered a server that is silent still is asked again. Servers take
	// offence at PING more often than every 5 minutes (grpc-go, keepalive.EnforcementPolicy).
	pingAgain = int64(330e9)
)

// upstream is one connection to a server, shared by all.
type upstream struct {
	wire
	sh      *shard
	pool    *pool
	ep      *resources.Endpoint
	open    bool // it is there
	closed  bool
	streams map[uint32]*leg
	waiting []*leg // for the connection, or for a free stream
	next    uint32 // number of the next stream
	max     int    // how many streams the server takes at once
	leaving bool   // it gets no more calls

	heard  int64 // when the server said something, or could be expected to
	used   int64 // when the last call was begun
	asked  int64 // when it was sent a PING
	pinged bool  // and has not answered
	says   bool  // it says how many streams it takes
}

// load is how many calls are on the connection or wait for it.
func (u *upstream) load() int { return len(u.streams) + len(u.waiting) }

// queued returns how many bytes the server has yet to take.
func (u *upstream) queued() int {
	if !u.open {
		return 0
	}
	return u.conn.Pending()
}

// take sends an attempt as soon as it can be sent.
func (u *upstream) take(g *leg) {
	if u.open && len(u.streams) < u.max && !u.leaving {
		g.open()
		return
	}
	u.waiting = append(u.waiting, g)
}

// freed begins the attempts that waited for a stream.
func (u *upstream) freed() {
	for u.open && !u.closed && !u.leaving && len(u.waiting) > 0 && len(u.streams) < u.max {
		g := u.waiting[0]
		u.waiting = slices.Delete(u.waiting, 0, 1)
		g.open()
	}
	u.leaveIfGone()
}

// attached makes the connection usable.
func (u *upstream) attached(c *loop.Conn) {
	c.SetHandler(u)
	u.conn = c
	if u.closed {
		c.Close(errDone)
		return
	}
	u.open = true
	u.heard = u.sh.loop.Now()
	u.sh.rt.Connections(u.ep, mode, 1)
	c.Write([]byte(http2.Preface))
	u.begin(c, u.sh.loop, u, int64(u.sh.r.set.Window), http2.Setting{ID: http2.SettingPush, Value: 0})
	u.freed()
}

// mode is what connections to servers are, as metrics name it.
const mode = "shared"

// OnData implements loop.Handler.
func (u *upstream) OnData(_ *loop.Conn, b []byte) int { return u.read(b) }

// held implements side: servers are always read from.
func (u *upstream) held() bool { return false }

// headers implements side.
func (u *upstream) headers(b *http2.Block) error {
	g := u.streams[b.Stream]
	if g == nil {
		return u.unknown(b.Stream)
	}
	u.heard = u.sh.loop.Now()
	c := g.c
	c.moved = u.heard
	switch {
	case b.TooLarge:
		c.Retry = resources.RetryNever
		u.broke(g, resources.TooLarge, "the metadata of the answer of "+u.ep.Address+" has more than 65536 bytes", http2.Cancel)
	case c.begun && !b.End:
		u.broke(g, resources.Unknown, u.ep.Address+" sent headers in the middle of an answer", http2.ProtocolError)
	case c.begun:
		g.done()
		u.sh.count(c, b.Fields)
		u.sh.ends(c, b.Fields)
	case b.End:
		if u.failure(b.Fields) && c.elsewhere(g) {
			u.end(g)
			return nil
		}
		g.done()
		u.sh.count(c, b.Fields)
		u.sh.answered(c, b.Fields)
	case informational(b.Fields):
	default:
		c.only(g)
		u.sh.begins(c, b.Fields)
	}
	return nil
}

// unknown deals with a frame for a stream that nobody waits for.
func (u *upstream) unknown(id uint32) error {
	if id%2 == 0 || id >= u.next {
		return protocol("a frame for a stream that was not begun")
	}
	return nil
}

// data implements side. What is passed on is told to the connection at once: a client that does not read makes its own calls
// wait, by their windows, and nobody else's.
func (u *upstream) data(id uint32, b []byte, charged int, end bool) error {
	u.passed(charged)
	g := u.streams[id]
	if g == nil {
		return u.unknown(id)
	}
	if g.left -= int64(charged); g.left < 0 {
		return errFlow
	}
	u.heard = u.sh.loop.Now()
	c := g.c
	if !c.begun {
		u.broke(g, resources.Unknown, u.ep.Address+" sent an answer without headers", http2.ProtocolError)
		return nil
	}
	c.moved = u.heard
	c.RespBytes += int64(len(b))
	g.gone(charged - len(b))
	c.link.Conn.bytes(c, b)
	if end && u.streams[id] == g {
		g.done()
		u.sh.ends(c, nil)
	}
	return nil
}

// reset implements side.
func (u *upstream) reset(id uint32, code http2.Code) error {
	g := u.streams[id]
	if g == nil {
		return u.unknown(id)
	}
	u.heard = u.sh.loop.Now()
	switch c := g.c; {
	case code == http2.RefusedStream:
		if g.c != nil {
			g.c.Declined = true
		}
		u.refused(g, u.ep.Address+" refused the call")
		return nil
	case code == http2.Cancel && c.until > 0 && u.heard >= c.until-early:
		u.lost(g, u.fault(resources.Timeout, "no answer from "+u.ep.Address+" in time"), resources.SentSome)
		return nil
	}
	u.lost(g, u.fault(resources.Unknown, u.ep.Address+" gave the call up ("+code.String()+"); it may have been executed"), resources.SentSome)
	return nil
}

// refused ends an attempt that the server said it did not begin to work on.
func (u *upstream) refused(g *leg, what string) {
	u.lost(g, u.fault(resources.Unavailable, what), resources.SentNothing)
}

// lost ends an attempt that its server does not answer any more.
func (u *upstream) lost(g *leg, fault *resources.Fault, sent resources.Sent) {
	c := g.c
	if c.elsewhere(g) {
		u.end(g)
		return
	}
	c.up, g.c = nil, nil
	u.end(g)
	if c.Sent = sent; c.begun {
		c.Sent = resources.SentAnswered
	}
	u.sh.failed(c, fault)
}

// end takes an attempt out of the books.
func (u *upstream) end(g *leg) {
	delete(u.streams, g.id)
	u.freed()
}

// broke ends an attempt whose answer cannot be passed on.
func (u *upstream) broke(g *leg, code resources.Code, what string, why http2.Code) {
	u.rst(g.id, why)
	u.lost(g, u.fault(code, what), resources.SentSome)
}

// opened implements side.
func (u *upstream) opened(id uint32, n int64) error {
	g := u.streams[id]
	if g == nil {
		return u.unknown(id)
	}
	if g.window += n; g.window > http2.MaxWindow {
		return errFlow
	}
	g.pump()
	g.c.trim()
	return nil
}

// settled implements side.
func (u *upstream) settled(s http2.Setting) {
	switch s.ID {
	case http2.SettingMaxStreams:
		u.max, u.says = int(min(s.Value, mostStreams)), true
	case http2.SettingWindow:
		for _, g := range u.streams {
			g.window += int64(s.Value) - u.initial
		}
		u.blocked = true
	}
}

// widened implements side: what waited may go on.
func (u *upstream) widened() {
	if u.wire.settled && !u.says {
		u.max = mostStreams
	}
	u.freed()
	if !u.blocked || u.closed {
		return
	}
	u.blocked = false
	for _, g := range u.streams { // in any order, which is as fair
		g.pump()
		g.c.trim()
		if u.blocked {
			return
		}
	}
}

// broken implements side: no later frame can be trusted.
func (u *upstream) broken(err error) {
	u.sh.rt.Mismatch()
	u.sh.rt.Log("error", "a server broke the rules of HTTP/2; the connection is closed", "endpoint", u.ep.Address, "error", err)
	u.close(err)
}

// goneAway implements side: the server takes no more calls here, and does not work on those after the last one that it
// names.
func (u *upstream) goneAway(last uint32, code http2.Code, text []byte) {
	u.leaving = true
	u.pool.retire(u)
	if code != http2.NoError {
		u.sh.rt.Log("warn", "a server closes a connection", "endpoint", u.ep.Address, "code", code.String(), "text", clip(string(text)))
	}
	var late []*leg
	for id, g := range u.streams {
		if id > last {
			late = append(late, g)
		}
	}
	waiting := u.waiting
	u.waiting = nil
	for _, g := range late {
		if g.c != nil {
			u.refused(g, u.ep.Address+" is going away and did not begin the call")
		}
	}
	for _, g := range waiting {
		u.move(g)
	}
	u.leaveIfGone()
}

// move lets an attempt that was not begun wait for another connection to the same server, once.
func (u *upstream) move(g *leg) {
	c := g.c
	switch {
	case c == nil:
	case c.elsewhere(g):
	default:
		c.up, g.c = nil, nil
		c.Sent = resources.SentNothing
		if c.moves++; c.moves > 1 {
			u.sh.failed(c, u.fault(resources.Unavailable, u.ep.Address+" is going away and did not begin the call"))
			return
		}
		u.sh.send(c, u.ep)
	}
}

// ponged implements side.
func (u *upstream) ponged() { u.pinged = false }

// tend is called once a second: it asks servers that are silent whether they live, and closes what nobody uses.
func (u *upstream) tend(now int64) {
	switch {
	case !u.open:
	case u.load() == 0 && now-u.used > idleTime:
		u.close(errDone)
	case u.pinged && now-u.asked > max(min(u.sh.timeout(), 20e9), 1e9):
		u.close(errors.New("the server did not answer a PING"))
	case len(u.streams) > 0 && now-u.heard > int64(u.sh.r.set.Heartbeat):
		u.ping(now)
	default:
		u.leaveIfGone()
	}
}

// ping asks the server whether it lives, unless it was asked since it said something; tend draws the conclusion.
func (u *upstream) ping(now int64) {
	if u.pinged || u.asked > u.heard && now-u.asked < pingAgain {
		return
	}
	u.pinged, u.asked = true, now
	u.conn.SetOut(http2.AppendPing(u.conn.Out(32), [8]byte{'s', 'l', 'u', 'i', 'c', 'e'}, false))
}

// leaveIfGone closes the connection to an endpoint that is no longer one, or that takes no more calls here, when nothing is
// under way.
func (u *upstream) leaveIfGone() {
	if !u.leaving && u.next >= lastStream {
		u.leaving = true
		u.pool.retire(u)
	}
	if (u.leaving || u.ep.Gone()) && u.load() == 0 && !u.closed {
		u.close(errDone)
	}
}

// overdue is called when a call was not answered in time. A server or a network that is stuck is not waited for by
// everybody behind; a server that only takes its time answers a PING.
func (u *upstream) overdue(unsent bool) {
	switch now := u.sh.loop.Now(); {
	case u.closed || !u.open:
	case unsent: // they must not be executed late
		u.close(errors.New("the server does not take requests"))
	case now-u.heard >= u.sh.timeout():
		u.ping(now)
	}
}

// OnEOF implements loop.Handler.
func (u *upstream) OnEOF(*loop.Conn) { u.close(io.EOF) }

// OnDrained implements loop.Handler.
func (u *upstream) OnDrained(*loop.Conn) { u.widened() }

// OnClose implements loop.Handler.
func (u *upstream) OnClose(_ *loop.Conn, err error) {
	u.sh.r.life.Connections.Add(-1)
	u.leave(err, nil)
}

// failed ends a connection that never became one.
func (u *upstream) failed(fault *resources.Fault) {
	if fault == nil {
		fault = u.fault(resources.Unavailable, "the connection to "+u.ep.Address+" was given up")
	}
	u.leave(nil, fault)
}

// close gives the connection up. What was not answered fails.
func (u *upstream) close(err error) {
	if u.conn != nil {
		u.conn.Close(err)
	}
	u.leave(err, nil)
}

func (u *upstream) fault(code resources.Code, what string) *resources.Fault {
	return resources.NewFault(code, resources.FromUpstream, u.sh.rt.Name(), what)
}

// leave takes the connection out of its pool and fails what was not answered, once. unreached is why there never was one;
// nil: there was.
func (u *upstream) leave(err error, unreached *resources.Fault) {
	if u.closed {
		return
	}
	u.closed = true
	u.pool.remove(u)
	sent := uint64(0)
	what := "the connection to " + u.ep.Address + " was lost"
	if u.open {
		sent = u.conn.Sent()
		u.sh.rt.Connections(u.ep, mode, -1)
	}
	if err != nil && !errors.Is(err, io.EOF) && err != errDone {
		what += ": " + err.Error()
	}
	unsent := unreached
	if unsent == nil {
		unsent = u.fault(resources.Unavailable, what)
	}
	unknown := u.fault(resources.Unknown, what+"; the request may have been executed")
	all := slices.Clone(u.waiting)
	for _, g := range u.streams {
		all = append(all, g)
	}
	u.waiting = nil
	clear(u.streams)
	for _, g := range all {
		switch {
		case g.c == nil:
		case g.id == 0 || g.begin >= sent:
			u.lost(g, unsent, resources.SentNothing)
		default:
			u.lost(g, unknown, resources.SentSome)
		}
	}
}

// informational reports whether headers are not yet those of the answer (1xx).
func informational(fields []http2.Field) bool {
	return len(fields) > 0 && fields[0].Name == ":status" && len(fields[0].Value) == 3 && fields[0].Value[0] == '1'
}
