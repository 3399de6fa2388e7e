package redis

import (
	"bytes"
	"errors"
	"strings"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
)

const (
	// maxInFlight is how many requests of one client may wait for their replies; then the agent stops reading from it.
	maxInFlight = 1024
	// loginTime is how long a client may take to log in, and to send the rest of a request that it began.
	loginTime = int64(10e9)
	// slowest is the least rate of a request that takes longer than loginTime, in bytes for each second.
	slowest = int64(1024)
)

// Reasons for which a session does not look at its next request. All must be gone before it does.
const (
	holdIdle   = 1 << iota // until everything so far is answered
	holdReply              // until a reply that decides what the next request means
	holdDelay              // until an injected delay is over
	holdFull               // until fewer requests are in flight
	holdClient             // until the client takes its replies
	holdServer             // until the server takes a large request
)

// session is one client connection. Its requests form a queue in which replies wait for their turn.
type session struct {
	rs   *resources.Session
	sh   *shard
	conn *loop.Conn
	attr *attr
	cur  *command // of the request being looked at
	buf  []byte   // the request being looked at; nil otherwise
	req  resp.Request
	lim  resp.Limits

	head, tail *call // unanswered, and answered out of order
	n          int   // length of the queue

	hold      uint8
	eof       bool // the client sends no more
	closing   bool // the connection ends with the last reply
	ended     bool
	over      bool // the last reply was written; those to requests behind it are not
	loggedIn  bool
	replyOff  bool // CLIENT REPLY OFF
	skipNext  bool // CLIENT REPLY SKIP
	parked    *call
	unitCalls []*call   // of a parked unit
	upload    *upload   // a large request on its way
	blocking  *upstream // is paused because this client is slow

	name   string // CLIENT SETNAME
	caller string // the application, when the client has no name
	user   string
	pin    *upstream
	pins   resources.Pin
	heavy  bool                // it wrote or got a long value; see attr.heavy
	tied   bool                // PinState for something else than tracking
	wrote  *resources.Endpoint // where the last write went; nil: there was none
	txn    txnState
	place  []byte // partitioned: the first key that pin was lent for; nil: none
	chans  int    // subscriptions to channels
	pats   int    // to patterns
	shch   int    // to shard channels

	last    int64 // when the client sent something
	partial int64 // when an unfinished request began; 0: none

	nextSession, prevSession *session
}

func newSession(sh *shard, rs *resources.Session) *session {
	s := &session{rs: rs, sh: sh, attr: sh.base, lim: sh.r.limits, loggedIn: len(sh.r.users) == 0}
	s.lim.Unauthenticated = !s.loggedIn
	return s
}

// attached begins the session on its loop.
func (s *session) attached(c *loop.Conn) {
	s.conn = c
	s.last = s.sh.loop.Now()
	c.SetHandler(s)
	s.sh.link(s)
	if s.sh.r.set.Profile == profileTransparent {
		s.setPins(resources.PinPaired)
	}
	if s.sh.noDials {
		c.Close(nil)
	} // while the resource drains it may still ask something: who connected a moment ago does
}

// OnData implements loop.Handler: it handles as many requests as it may.
func (s *session) OnData(c *loop.Conn, b []byte) int {
	s.last = s.sh.loop.Now()
	off := 0
	for off < len(b) && s.hold == 0 && !s.closing && !c.Closed() {
		switch {
		case s.upload != nil:
			off += s.uploadMore(b[off:])
			continue
		case s.pins&resources.PinMonitor != 0 && s.pin != nil && s.pin.raw:
			s.pin.conn.Write(b[off:])
			return len(b)
		case s.n >= maxInFlight:
			s.wait(holdFull)
			return off
		case c.Pending() > loop.HighWater:
			s.wait(holdClient)
			c.WantDrained()
			return off
		}
		s.buf = b[off:]
		n := s.next()
		s.buf = nil
		if n == 0 {
			break
		}
		off += n
		s.partial = 0
	}
	if s.closing {
		return len(b)
	}
	if off == len(b) {
		s.partial = 0
	} else if s.partial == 0 || off > 0 {
		s.partial = s.last
	}
	return off
}

// next looks at the first request of s.buf and returns how many bytes were dealt with; 0 when it has to wait.
func (s *session) next() int {
	st, err := s.req.Scan(s.buf, &s.lim)
	if err != nil {
		s.protocolError(err)
		return len(s.buf)
	}
	n := 0
	switch st {
	case resp.Empty:
		n = s.req.Size
	case resp.Complete:
		n = s.request()
	case resp.Large:
		return s.uploadStart()
	}
	if n > 0 {
		s.req.Reset()
	}
	return n
}

// protocolError answers as Redis does and ends the connection.
func (s *session) protocolError(err error) {
	text := err.Error()
	var pe *resp.ProtocolError
	if errors.As(err, &pe) {
		text = pe.Text
	}
	c := s.sh.newCall()
	s.enqueue(c)
	c.last = true
	s.closing = true
	s.answer(c, resp.AppendError(nil, text))
}

// request handles the complete request at the start of s.buf. It returns how many bytes were dealt with, which is more
// than the request when it began a transaction that is there as a whole; 0 when the request has to wait.
func (s *session) request() int {
	size := s.req.Size
	if c := s.parked; c != nil {
		return s.unpark(c)
	}
	cmd := s.sh.r.table.Load().lookup(&s.req, s.buf)
	s.cur = cmd
	switch {
	case cmd.special == spUnknown && crossProtocol(s.req.Arg(s.buf, 0)):
		s.closing = true
		s.local(cmd, nil, true)
	case !s.loggedIn && cmd.misused():
		s.local(cmd, resp.AppendError(nil, "ERR wrong number of arguments for '"+strings.ToLower(cmd.name)+"' command"), false)
	case !s.loggedIn && cmd.flags&flagNoAuth == 0:
		s.local(cmd, noAuth, false)
	case cmd.special == spNone && s.pin == nil && s.pins == 0 && !s.txn.open:
		if s.sh.partitioned && (cmd.split.all() || len(cmd.keys) > 0) {
			if n := s.splitRequest(cmd); n != notSplit {
				return n
			}
		}
		c := s.newCall(cmd)
		if s.begin(c) {
			s.dispatch(c, s.canonical())
		} else if s.hold&holdDelay != 0 {
			return 0
		}
	default:
		return s.specialRequest(cmd)
	}
	return size
}

var noAuth = []byte("-NOAUTH Authentication required.\r\n")

// crossProtocol reports whether a command is the beginning of an HTTP request, with which a browser may be made to talk to
// a server of its network. The rest of it might be commands, so the connection is closed, as Redis does.
func crossProtocol(name []byte) bool {
	return bytes.EqualFold(name, []byte("POST")) || bytes.EqualFold(name, []byte("Host:"))
}

// canonical returns the request in the form that upstreams get: its own bytes, or an array for an inline request.
func (s *session) canonical() []byte {
	if !s.req.Inline {
		return s.buf[:s.req.Size]
	}
	return s.req.AppendCanonical(nil, s.buf)
}

// newCall makes a call of the current request and puts it at the end of the queue.
func (s *session) newCall(cmd *command) *call {
	c := s.sh.newCall()
	c.cmd = cmd
	c.Session, c.View = s.rs, s
	c.Start = s.sh.loop.Now()
	c.Op, c.Class, c.Retry = cmd.op, cmd.class, cmd.retry
	c.ReqBytes = int64(s.req.Size)
	c.Primary = cmd.class != resources.ClassRead || cmd.special == spKeyScan || cmd.special == spScan
	if key, ok := cmd.firstKey(&s.req, s.buf); ok {
		s.setKey(c, key)
		if cmd.only > 0 {
			c.OnlyKey = key
		}
	}
	s.enqueue(c)
	c.mute = s.replyOff || s.skipNext
	s.skipNext = false
	return c
}

// setKey routes a call by a key.
func (s *session) setKey(c *call, key []byte) {
	c.HasKey = true
	switch s.sh.r.set.Topology {
	case topologyHashed:
		c.Key = s.sh.hash(tagged(key, s.sh.r.set.HashTag))
	case topologyCluster:
		c.Key = s.sh.hash(key)
		c.Place = s.sh.r.place(resp.Slot(key))
	default:
		c.Key = s.sh.hash(key)
	}
}

func (s *session) enqueue(c *call) {
	c.s = s
	if s.tail == nil {
		s.head = c
	} else {
		s.tail.next = c
	}
	s.tail = c
	s.n++
}

// begin runs the filters. It returns false when the call does not go on: it was answered, or is parked for a delay.
func (s *session) begin(c *call) bool {
	s.rs.LastOp.Store(uint32(c.Op))
	stop := s.sh.rt.Begin(&c.Call)
	if c.Stages != nil {
		s.watch(c)
	}
	if stop != nil {
		if c.cmd.special == spMulti {
			s.multiRefused()
		}
		s.stopped(c, stop)
		return false
	}
	if c.Delay > 0 {
		s.park(c)
		return false
	}
	return true
}

// stopped answers a call that a filter ended.
func (s *session) stopped(c *call, stop *resources.Stop) {
	reply := s.sh.r.AppendStop(c.reply[:0], &c.Call, stop)
	c.Now = s.sh.loop.Now()
	c.Fault, c.Outcome = stop.Fault, stop.Outcome
	c.RespBytes = int64(len(reply))
	c.last = c.last || stop.Fault != nil && (stop.Fault.Close || c.cmd.special == spMulti) // see fault
	if s.txn.open {
		s.txn.doomed = true
		if sp := c.cmd.special; sp == spExec || sp == spDiscard {
			s.abandonTxn()
		}
	}
	s.sh.end(c)
	s.answer(c, reply)
}

// park holds a call, and with it the session, for an injected delay. Its request stays unconsumed.
func (s *session) park(c *call) {
	s.parked = c
	s.wait(holdDelay)
	gen := c.gen
	t := &loop.Timer{F: func(int64) {
		if s.parked == c && c.gen == gen && !s.ended {
			s.resume(holdDelay)
		}
	}}
	s.sh.loop.Set(t, c.Start+c.Delay)
}

// unpark goes on with a request whose injected delay is over.
func (s *session) unpark(c *call) int {
	s.parked = nil
	switch {
	case s.unitCalls != nil:
		return s.unitResume()
	case c.parts != nil:
		s.sendParts(c)
	case c.cmd.special == spScan && c.after == afterScan:
		s.sh.send(c, s.attr, s.scanRewritten(c))
	case c.attr != nil && s.pin == nil && !c.lease:
		ch, _ := s.parseChange(c.cmd)
		s.wait(holdReply)
		s.sh.send(c, c.attr, ch.bytes(s))
	case c.attr != nil:
		ch, _ := s.parseChange(c.cmd)
		s.dispatch(c, ch.bytes(s))
	default:
		s.dispatch(c, s.canonical())
	}
	return s.req.Size
}

// dispatch sends a call that the filters let pass: on the session's own connection if it has one or needs one, else on a
// shared one.
func (s *session) dispatch(c *call, req []byte) {
	switch {
	case s.pin != nil && !c.elsewhere:
		s.sendPinned(c, req)
	case c.lease:
		s.sendLeased(c, req)
	default:
		s.sh.send(c, s.attr, req)
	}
}

// local answers a request without a server; filters see it all the same. last ends the connection with it.
func (s *session) local(cmd *command, reply []byte, last bool) {
	c := s.newCall(cmd)
	c.last = last
	stop := s.sh.rt.Begin(&c.Call)
	if c.Stages != nil {
		s.watch(c)
	}
	if stop != nil {
		s.stopped(c, stop)
		return
	}
	c.Now = s.sh.loop.Now()
	c.RespBytes = int64(len(reply))
	if isError(reply) {
		c.Outcome = resources.OutcomeError
	}
	s.sh.end(c)
	s.answer(c, reply)
}

// answer gives a call its reply. It is written when it is its turn; c must not be used afterwards.
func (s *session) answer(c *call, b []byte) {
	if c.whole != nil {
		s.sh.part(c, b)
		return
	}
	if c.after != afterNothing {
		b = s.follow(c, b)
	}
	if s.upload != nil && s.upload.c == c {
		s.uploadCut(c)
	}
	if s.head != c {
		c.reply = append(c.reply[:0], b...)
		c.answered = true
		return
	}
	s.finished(c, b)
}

// fault answers a call with a fault.
func (s *session) fault(c *call, f *resources.Fault) {
	if f.Close || c.cmd.special == spMulti || c.cmd.special == spSubscribe && resources.OutcomeOf(f).Failure() {
		// Who could not subscribe because of a lost server comes again when his connection is lost, and only then: client
		// libraries take an error for an answer, and wait for messages. MULTI never fails on a server that works, and
		// some libraries then leave the replies to the rest of the transaction unread, for the next call to stumble over.
		c.last = true
	}
	s.answer(c, appendFault(c.reply[:0], f))
}

// finished writes the reply of the head of the queue and those behind it that were waiting.
func (s *session) finished(c *call, b []byte) {
	for {
		if !c.mute && !s.ended && !s.over && len(b) > 0 {
			s.conn.Write(b)
		}
		if c.last && !s.ended {
			s.closing, s.over = true, true
			s.conn.CloseAfterFlush()
		}
		s.head = c.next
		if s.head == nil {
			s.tail = nil
		}
		s.n--
		s.sh.recycle(c)
		c = s.head
		if c == nil {
			s.idle()
			return
		}
		if !c.answered {
			break
		}
		b = c.reply
	}
	if c.up != nil && c.up.waitHead {
		c.up.ready()
	}
	if s.hold&holdFull != 0 && s.n <= maxInFlight/2 {
		s.resume(holdFull)
	}
}

// idle runs when everything is answered.
func (s *session) idle() {
	if s.ended {
		return
	}
	s.release()
	if s.heavy && !s.attr.heavy && s.pin == nil {
		a := *s.attr
		a.heavy = true
		s.attr = s.sh.intern(a)
	}
	if s.hold != 0 {
		s.resume(holdIdle | holdFull)
	}
	s.boundary(true)
}

// wait stops looking at requests for a reason.
func (s *session) wait(why uint8) {
	s.hold |= why
	s.conn.Pause()
}

// resume takes reasons away and goes on when none is left.
func (s *session) resume(why uint8) {
	if s.hold &^= why; s.hold == 0 && !s.ended {
		s.conn.Resume()
	}
}

// OnEOF implements loop.Handler. Requests that came before are still answered; what waits for something else than a
// reply is over.
func (s *session) OnEOF(c *loop.Conn) {
	s.eof = true
	if s.upload != nil || s.pins&(resources.PinBlocking|resources.PinSubscribe|resources.PinMonitor) != 0 {
		c.Close(nil)
		return
	}
	s.finish()
}

// OnDrained implements loop.Handler: the client took what it was sent.
func (s *session) OnDrained(*loop.Conn) {
	if u := s.blocking; u != nil {
		s.blocking = nil
		u.unblock()
	}
	s.resume(holdClient)
}

// cut ends the connection in the middle of something.
func (s *session) cut(err error) {
	if !s.ended {
		s.conn.Close(err)
	}
}

// OnClose implements loop.Handler. What is in flight is counted as canceled; its replies will be dropped.
func (s *session) OnClose(*loop.Conn, error) {
	s.ended = true
	now := s.sh.loop.Now()
	for c := s.head; c != nil; {
		next := c.next
		c.forget()
		switch {
		case c.answered || c.cmd == nil:
		case c.whole == nil && c.parts != nil:
			s.sh.abandon(c, now)
		default:
			c.Now, c.Outcome, c.Retry = now, resources.OutcomeCanceled, resources.RetryNever
			s.sh.end(c)
		}
		s.sh.recycle(c)
		c = next
	}
	s.head, s.tail, s.n = nil, nil, 0
	if u := s.blocking; u != nil {
		s.blocking = nil
		u.unblock()
	}
	s.dropPin()
	s.setPins(0)
	s.sh.unlink(s)
	s.sh.rt.Closed(s.rs)
}

// sweep ends a session that was silent for too long.
func (s *session) sweep(now, idle int64) {
	if s.sh.draining {
		s.boundary(false)
	}
	switch {
	case s.hold != 0 || s.ended:
	case s.partial > 0 && now-s.partial > loginTime && int64(s.conn.Buffered()) < slowest*(now-s.partial)/1e9:
		s.cut(errors.New("a request was not finished in time"))
	case s.n > 0 || s.pins&^resources.PinPaired != 0:
	case !s.loggedIn && now-s.rs.Opened > loginTime:
		s.cut(errors.New("no login in time"))
	case now-s.last > idle:
		s.cut(errors.New("idle for too long"))
	}
}

// setPins records why the session has a connection of its own.
func (s *session) setPins(p resources.Pin) {
	if p != s.pins {
		s.pins = p
		s.sh.rt.Pinned(s.rs, p)
	}
}
