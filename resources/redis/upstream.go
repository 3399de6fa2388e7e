package redis

import (
	"bytes"
	"errors"
	"io"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
)

// Modes of upstream connections, as metrics name them.
const (
	modeShared = "shared"
	modeLeased = "leased"
	modePaired = "paired"
)

// States of an upstream.
const (
	upConnecting = iota
	upReady
	upClosed
)

// streamFrom is the length from which a bulk is passed on as it arrives instead of being gathered first.
const streamFrom = 32 << 10

// gatherMost is how much of a reply is gathered while it is not yet its turn; then the connection waits.
const gatherMost = 1 << 20

// upstream is one connection to a server. Replies come in the order of requests, so that a queue of expectations is all
// it takes to find out whose a reply is; an expectation is queued before the first byte of its request is written, and
// it leaves the queue only with its reply or with the connection.
type upstream struct {
	sh     *shard
	pool   *pool
	ep     *resources.Endpoint
	attr   *attr  // what the connection is now
	name   string // CLIENT SETNAME of the last lessee
	mode   string
	state  uint8
	slow   bool // see pool.slow
	raw    bool // everything goes to the lessee as it is
	asking bool // what the lessee wants is moving here: the server must be told each time
	stream bool // the head's reply is passed on as it arrives
	push   bool // what is passed on is a push
	lessee *session
	conn   *loop.Conn
	wait   []byte // requests that were made before the connection was ready

	ring       []entry // power of two; entry i is at i & (len-1)
	head, tail uint64
	scan       resp.ReplyScanner
	scanned    int // bytes of the head's reply that were looked at and not consumed

	timer    loop.Timer // of the deadlines
	hedge    loop.Timer // of the backup requests
	aside    loop.Timer // of the calls behind a long reply
	slowFrom int64      // when slow became true
	hedged   uint64     // entries before this one got theirs, or were answered
	last     int64      // when something arrived, or when it became idle
	late     uint64     // entries before this one are past their deadline and were answered, or nobody waits for them
	overdue  uint64     // the entry before this one was the last to be answered TIMEOUT
	blocked  *session
	waitHead bool // paused until the reply at the head is its session's turn
}

// entry expects one reply.
type entry struct {
	c     *call // nil: nobody wants the reply
	begin uint64
	end   uint64
	own   bool // the agent's: nobody ever wanted the reply
}

// submit queues a request of one or more whole commands that get one reply.
func (u *upstream) submit(c *call, req []byte) {
	u.expect(c, u.write(req))
	if c.Stages != nil {
		u.placed(c, req != nil)
	}
	if c.writes() {
		c.s.wrote = u.ep
	}
}

// write appends bytes and returns the position of the first.
func (u *upstream) write(b []byte) uint64 {
	if u.conn == nil {
		u.wait = append(u.wait, b...)
		return uint64(len(u.wait) - len(b))
	}
	at := u.conn.Position()
	u.conn.Write(b)
	return at
}

func (u *upstream) position() uint64 {
	if u.conn == nil {
		return uint64(len(u.wait))
	}
	return u.conn.Position()
}

// expect queues the expectation of a reply to what was written since begin; c is nil when it is to be dropped.
func (u *upstream) expect(c *call, begin uint64) {
	if u.tail-u.head == uint64(len(u.ring)) {
		u.growRing()
	}
	if u.tail == u.head {
		u.last = u.sh.loop.Now() // the server may be silent from now on
	}
	u.ring[u.tail&uint64(len(u.ring)-1)] = entry{c, begin, u.position(), c == nil}
	if c != nil {
		if c.up == nil {
			c.up, c.seq = u, u.tail
		} else {
			c.up2, c.seq2 = u, u.tail
		}
		if c.Deadline > 0 && !u.timer.Pending() {
			u.sh.loop.Set(&u.timer, c.Deadline)
		}
		if c.Backup > 0 && !u.hedge.Pending() {
			u.sh.loop.Set(&u.hedge, c.Start+c.Backup)
		}
	}
	u.tail++
}

// request returns what was written for an entry; nil when it was not kept. It is valid until anything else is written.
func (u *upstream) request(e *entry) []byte {
	if u.conn == nil {
		return u.wait[e.begin:e.end]
	}
	return u.conn.Kept(e.begin, int(e.end-e.begin))
}

func (u *upstream) growRing() {
	bigger := make([]entry, max(8, 2*len(u.ring)))
	for i := u.head; i < u.tail; i++ {
		bigger[i&uint64(len(bigger)-1)] = u.ring[i&uint64(len(u.ring)-1)]
	}
	u.ring = bigger
}

func (u *upstream) at(i uint64) *entry { return &u.ring[i&uint64(len(u.ring)-1)] }

// attached makes a connection that logged in usable.
func (u *upstream) attached(c *loop.Conn) {
	c.SetHandler(u)
	u.sh.servers.Add(1)
	if u.state == upClosed {
		c.Close(errDone)
		return
	}
	u.state = upReady
	u.conn = c
	u.sh.rt.Connections(u.ep, u.mode, 1)
	c.Keep()
	u.expire(u.sh.loop.Now())
	u.dropLate()
	c.Write(u.wait)
	u.wait = nil
	u.placedAll()
	if u.lessee != nil {
		u.lessee.pinReady()
	}
}

// dropLate takes requests out that nobody waits for any more, so that they are not executed late. It is called before
// anything was written.
func (u *upstream) dropLate() {
	if u.late == u.head {
		return
	}
	var wait []byte
	to := u.head
	for i := u.head; i < u.tail; i++ {
		e := *u.at(i)
		if u.abandoned(i) || e.own && u.abandoned(i+1) && bytes.Equal(u.wait[e.begin:e.end], asking) {
			continue // ASKING speaks of the request behind it, and must not of another
		}
		begin := uint64(len(wait))
		wait = append(wait, u.wait[e.begin:e.end]...)
		if c := e.c; c != nil {
			if c.up == u && c.seq == i {
				c.seq = to
			} else {
				c.seq2 = to
			}
		}
		*u.at(to) = entry{e.c, begin, uint64(len(wait)), e.own}
		to++
	}
	u.tail, u.late, u.overdue, u.wait = to, u.head, u.head, wait
}

// abandoned reports whether nobody waits for the reply to entry i, which is late, or whose client is gone.
func (u *upstream) abandoned(i uint64) bool {
	return i < u.late && u.at(i).c == nil && !u.at(i).own
}

// OnData implements loop.Handler: it finds the replies and gives each to the head of the queue.
func (u *upstream) OnData(_ *loop.Conn, b []byte) int {
	u.last = u.sh.loop.Now()
	off := 0
	for off < len(b) && u.state == upReady {
		if u.raw { // maybe since the reply before
			return off + u.relayRaw(b[off:])
		}
		if u.scanned == 0 && !u.stream {
			if n := resp.ScanSimple(b[off:]); n > 0 {
				if !u.frame(b[off:off+n], b[off]) {
					return len(b)
				}
				off += n
				continue
			}
		}
		n, done, err := u.scan.Scan(b[off+u.scanned:])
		if err != nil {
			u.garbled(err)
			return len(b)
		}
		u.scanned += n
		if !done {
			return off + u.partial(b[off:])
		}
		reply := b[off : off+u.scanned]
		off += u.scanned
		u.scanned = 0
		if u.stream {
			u.pass(reply)
			u.passed()
		} else if !u.frame(reply, u.scan.Kind()) {
			return len(b)
		}
	}
	return off
}

// partial deals with a reply that is not whole: b holds what there is of it and is not consumed. It returns how much to
// consume.
func (u *upstream) partial(b []byte) int {
	if u.stream {
		u.pass(b)
		u.scanned = 0
		return len(b)
	}
	push := u.isPush(b, u.scan.Kind())
	if !push && u.head != u.tail {
		if c := u.at(u.head).c; c != nil && c.Stages != nil {
			c.Stages.Arrives(u.last)
		}
	}
	if len(b) < streamFrom || !u.streamable(b, push) {
		if len(b) > gatherMost && !push && !u.waitHead && u.early() {
			u.waitHead = true
			u.conn.Pause()
			u.pool.setSlow(u, true)
		}
		return 0
	}
	u.stream, u.push = true, push
	u.pass(b)
	u.scanned = 0
	return len(b) + bug.miscounts(len(b))
}

// streamable reports whether the reply of which b is the beginning can be passed on before it is whole.
func (u *upstream) streamable(b []byte, push bool) bool {
	if push {
		return u.lessee != nil
	}
	if u.head == u.tail {
		return false
	}
	c := u.at(u.head).c
	if c == nil {
		return true // dropped as it arrives
	}
	return c.whole == nil && !c.after.reads() && c.s.head == c && b[0] != '-' && b[0] != '!'
}

// early reports whether the reply at the head has to wait for others of its session, so that gathering it has to end.
func (u *upstream) early() bool {
	if u.head == u.tail {
		return false
	}
	c := u.at(u.head).c
	return c != nil && c.whole == nil && c.s.head != c
}

// pass gives a part of the head's reply to its client.
func (u *upstream) pass(b []byte) {
	s, c := u.lessee, (*call)(nil)
	if !u.push && u.head != u.tail {
		if c = u.at(u.head).c; c == nil {
			if u.scan.BulkLeft() > longReply {
				u.pool.setSlow(u, true) // it takes as long to drop
			}
			return
		}
		s = c.s
		if c.up2 != nil {
			c.settle(u)
		}
		c.parted, c.Sent = true, resources.SentAnswered
		c.RespBytes += int64(len(b))
		if c.Deadline > 0 {
			c.Deadline = max(c.Deadline, u.last+u.sh.timeout())
		}
	}
	if s == nil || s.over || s.conn.Closed() || c != nil && c.mute {
		return
	}
	s.conn.Write(b)
	if s.conn.Pending() > loop.HighWater {
		s.conn.WantDrained()
		u.blocked, s.blocking = s, u
		u.conn.Pause()
		u.pool.setSlow(u, true)
	} else if long := c != nil && c.RespBytes+u.scan.BulkLeft() > longReply; long && !u.slow {
		s.heavy = true
		u.pool.setSlow(u, true) // nothing new should wait behind a reply of this length
	}
}

// passed ends a reply that was passed on in parts.
func (u *upstream) passed() {
	u.stream = false
	u.pool.setSlow(u, false)
	if u.push || u.head == u.tail {
		return
	}
	if c := u.pop(); c != nil {
		c.Now, c.Outcome = u.last, resources.OutcomeOK
		u.sh.end(c)
		c.s.follow(c, nil)
		c.s.finished(c, nil)
	}
}

// unblock goes on after a slow client took what it was sent.
func (u *upstream) unblock() {
	u.blocked = nil
	if u.state == upReady {
		u.last = u.sh.loop.Now() // the server could send nothing meanwhile
		u.conn.Resume()
		if !u.stream {
			u.pool.setSlow(u, false)
		}
	}
}

// disown makes entry i one whose reply nobody wants: it is dropped when it comes.
func (u *upstream) disown(i uint64) {
	u.at(i).c = nil
	if i == u.head {
		u.ready() // what is dropped need not wait for its turn
	}
}

// ready goes on when the reply at the head became its session's turn.
func (u *upstream) ready() {
	if u.waitHead && u.state == upReady {
		u.waitHead = false
		u.conn.Resume()
	}
}

// frame deals with one whole reply or push. It returns false when the connection was given up.
func (u *upstream) frame(b []byte, kind byte) bool {
	if u.lessee != nil && u.lessee.subscriptions(u) {
		if handled := u.lessee.published(u, b, kind); handled {
			return u.state == upReady
		}
	}
	if kind == '>' {
		if u.lessee != nil {
			u.lessee.push(b) // invalidations of CLIENT TRACKING
		} else {
			u.sh.rt.Dropped("push")
		}
		return true
	}
	if u.head == u.tail {
		if bug.ignoresExtra() {
			return true
		}
		u.garbled(errors.New("a reply came that nobody asked for"))
		return false
	}
	var req []byte
	if e := u.at(u.head); kind == '-' && e.c != nil && notExecuted(b) {
		req = append(req, u.request(e)...)
	}
	c := u.pop()
	if c == nil {
		return true
	}
	c.Now = u.last
	c.RespBytes = int64(len(b))
	if c.Stages != nil {
		c.Stages.Arrives(u.last)
	}
	if c.up2 != nil {
		c.forgetOther(u)
	}
	if req != nil && u.sh.errored(c, b, req) {
		return true
	}
	if kind == '-' || kind == '!' {
		c.Outcome = resources.OutcomeError
	} else {
		c.Outcome = resources.OutcomeOK
	}
	u.sh.end(c)
	c.s.answer(c, b)
	return true
}

// pop takes the head of the queue; nil when nobody wants its reply.
func (u *upstream) pop() *call {
	e := u.at(u.head)
	c := e.c
	e.c = nil
	u.conn.Release(e.end)
	u.head++
	if u.late < u.head {
		u.late = u.head
	}
	u.waitHead = false
	return c
}

// isPush reports whether a reply answers no request: pushes of RESP3 and, while the lessee has subscriptions, messages.
func (u *upstream) isPush(b []byte, kind byte) bool {
	if kind == '>' {
		return true
	}
	return u.lessee != nil && u.lessee.subscriptions(u) && kind == '*' && !u.lessee.attr.resp3 && published(b) != pubOther
}

// garbled gives up a connection whose bytes make no sense: any later reply might be somebody else's.
func (u *upstream) garbled(err error) {
	u.sh.rt.Mismatch()
	u.sh.rt.Log("error", "replies cannot be matched with requests; the connection is closed", "endpoint", u.ep.Address, "error", err)
	u.close(err)
}

// relayRaw passes everything to the lessee.
func (u *upstream) relayRaw(b []byte) int {
	s := u.lessee
	s.conn.Write(b)
	if s.conn.Pending() > loop.HighWater {
		s.conn.WantDrained()
		u.blocked, s.blocking = s, u
		u.conn.Pause()
	}
	return len(b)
}

// OnEOF implements loop.Handler.
func (u *upstream) OnEOF(*loop.Conn) { u.close(io.EOF) }

// OnDrained implements loop.Handler: the server took what a large request had put up.
func (u *upstream) OnDrained(*loop.Conn) {
	if u.lessee != nil {
		u.lessee.pinDrained()
	}
}

// close gives the connection up. What was not answered fails.
func (u *upstream) close(err error) {
	if u.state == upClosed {
		return
	}
	if u.conn == nil {
		u.failed(nil, "")
		return
	}
	u.state = upClosed
	u.conn.Close(err)
	u.leave(err)
}

// OnClose implements loop.Handler.
func (u *upstream) OnClose(_ *loop.Conn, err error) {
	u.sh.servers.Add(-1)
	if u.state == upReady {
		u.state = upClosed
		u.leave(err)
	}
}

// leave takes the connection out of its pool and fails what was not answered.
func (u *upstream) leave(err error) {
	u.sh.loop.Cancel(&u.timer)
	u.sh.loop.Cancel(&u.hedge)
	u.sh.loop.Cancel(&u.aside)
	u.sh.rt.Connections(u.ep, u.mode, -1)
	lessee := u.lessee
	u.pool.remove(u)
	u.lessee = nil
	sent := u.conn.Sent()
	what := "the connection to " + u.ep.Address + " was lost"
	if err != nil && !errors.Is(err, io.EOF) && err != errDone {
		what += ": " + err.Error()
	}
	unknown := resources.NewFault(resources.Unknown, resources.FromUpstream, u.sh.rt.Name(), what+"; the request may have been executed")
	unsent := resources.NewFault(resources.Unavailable, resources.FromUpstream, u.sh.rt.Name(), what)
	if lessee != nil {
		lessee.pinLost(u)
	}
	for ; u.head < u.tail; u.head++ {
		e := u.at(u.head)
		c := e.c
		if c == nil || c.dropOther(u) {
			continue
		}
		if n := u.unitUnsent(); n > 0 && e.begin >= sent {
			u.unitAgain(n, unsent)
			continue
		}
		e.c = nil
		fault := unsent
		c.Sent = max(c.Sent, resources.SentNothing)
		if e.begin < sent && !bug.claimsUnsent() {
			fault = unknown
			c.Sent = max(c.Sent, resources.SentSome)
		}
		u.sh.failed(c, fault, u.request(e))
	}
	if s := u.blocked; s != nil {
		u.blocked, s.blocking = nil, nil
	}
}

// failed ends a connection that never became one.
func (u *upstream) failed(fault *resources.Fault, said string) {
	if u.state == upClosed {
		return
	}
	u.state = upClosed
	u.sh.loop.Cancel(&u.timer)
	u.sh.loop.Cancel(&u.hedge)
	u.sh.loop.Cancel(&u.aside)
	lessee := u.lessee
	u.pool.remove(u)
	u.lessee = nil
	if fault == nil {
		fault = resources.NewFault(resources.Unavailable, resources.FromUpstream, u.sh.rt.Name(), "the connection to "+u.ep.Address+" was given up")
	}
	if lessee != nil {
		lessee.pinLost(u)
	}
	for ; u.head < u.tail; u.head++ {
		e := u.at(u.head)
		c := e.c
		if c == nil || c.dropOther(u) {
			continue
		}
		if n := u.unitUnsent(); n > 0 {
			u.unitAgain(n, fault)
			continue
		}
		e.c = nil
		if said != "" && c.attr != nil {
			// The client asked for just this login: the server's words are its answer.
			c.Now, c.Outcome = u.sh.loop.Now(), resources.OutcomeError
			u.sh.end(c)
			c.s.answer(c, resp.AppendError(nil, said))
			continue
		}
		u.sh.failed(c, fault, u.request(e))
	}
	u.wait = nil
}
