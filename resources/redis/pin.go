package redis

import (
	"bytes"
	"errors"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
)

// A session gets a connection of its own (a pin) when a request would make a shared one mean something else to others,
// and gives it back when the server's replies prove that it is clean:
//
//	MULTI, WATCH         until EXEC, DISCARD or UNWATCH was answered
//	blocking commands    until the reply; the connection is closed when the client leaves before
//	SUBSCRIBE ...        until the count of subscriptions is 0
//	MONITOR, SYNC ...    for life; bytes are passed on as they are
//	tracking, CLIENT ID  for life
//	unknown commands     for life, unless the server did not know them either

// mode returns how the session's connections are counted.
func (s *session) mode() string {
	if s.pins&resources.PinPaired != 0 {
		return modePaired
	}
	return modeLeased
}

// sendLeased routes a call and gives the session a connection of its own for it.
func (s *session) sendLeased(c *call, req []byte) {
	if c.cmd.special == spWait && s.wrote != nil && !s.sh.partitioned {
		c.Pinned, c.Endpoint = true, s.wrote // it asks about what was written, and nobody else can know
	}
	ep, fault := s.sh.rt.Route(&c.Call)
	if fault != nil {
		s.sh.refuse(c, fault)
		return
	}
	if s.sh.partitioned {
		s.place = nil
		if key, ok := s.Key(0); ok {
			s.place = append(s.place, key...)
		}
	}
	s.takePin(c, ep, req)
}

// takePin lends the session a connection to ep and sends the call on it.
func (s *session) takePin(c *call, ep *resources.Endpoint, req []byte) {
	a := s.attr
	if old := s.pin; old != nil { // which redirected the request
		s.pin = nil
		old.pool.giveBack(old)
	}
	u := s.sh.pool(ep, a).lease(s, s.mode())
	if u == nil {
		s.sh.refuse(c, resources.NewFault(resources.Unavailable, resources.FromAgent, s.sh.rt.Name(), "too many connections to "+ep.Address+" are lent; settings.leases says how many may be"))
		return
	}
	s.pin = u
	s.prepare(c)
	u.asking = c.asked
	c.asked = false
	if u.name != s.name {
		at := u.write(resp.AppendCommand(nil, "CLIENT", "SETNAME", s.name))
		u.expect(nil, at)
		u.name = s.name
	}
	if c.cmd.special == spWait {
		// WAIT speaks of the last write of its connection. The server notes its position after each command, so that any
		// command before WAIT makes it speak of all writes so far, this client's among them.
		at := u.write(ping)
		u.expect(nil, at)
	}
	s.submitPinned(c, req)
}

var ping = []byte("*1\r\n$4\r\nPING\r\n")

// sendPinned sends a call on the session's own connection.
func (s *session) sendPinned(c *call, req []byte) {
	c.Pinned, c.Endpoint = true, s.pin.ep
	if _, fault := s.sh.rt.Route(&c.Call); fault != nil {
		s.sh.refuse(c, fault)
		return
	}
	s.prepare(c)
	s.submitPinned(c, req)
}

func (s *session) submitPinned(c *call, req []byte) {
	if c.after == afterAbort {
		req = resp.AppendCommand(nil, "DISCARD")
	}
	if s.pin.asking && !s.inTxn(c) {
		at := s.pin.write(asking)
		s.pin.expect(nil, at)
	}
	s.pin.submit(c, req)
}

// inTxn reports whether the server takes a call for a part of a transaction that it knows, such as its EXEC. ASKING
// would be one too; but what it says before MULTI holds to the end.
func (s *session) inTxn(c *call) bool {
	switch c.after {
	case afterMulti, afterBegin:
		return false
	case afterExec, afterDiscard, afterAbort:
		return true
	}
	return s.txn.open && !s.txn.unsent
}

// prepare says what the reply will mean for the session, and notes what the request does to a transaction.
func (s *session) prepare(c *call) {
	if c.prepared { // it is sent again, and s.req may be another request by now
		switch c.after {
		case afterBlocking:
			s.setPins(s.pins | resources.PinBlocking)
		case afterMulti, afterBegin:
			s.txn.lost = false // nothing but MULTI itself was on the lost connection
		}
		return
	}
	c.prepared = true
	sp := c.cmd.special
	if s.txn.open {
		c.Retry = resources.RetryNever
		switch sp {
		case spExec, spDiscard:
			if s.req.Argc != 1 {
				return // refused; the transaction goes on
			}
			c.after = afterExec
			if sp == spDiscard {
				c.after = afterDiscard
			} else if s.txn.doomed {
				c.after = afterAbort
			}
			s.txn = txnState{}
		case spNone, spScan, spKeyScan, spMulti, spWatch, spUnwatch, spBlocking, spXRead, spWait, spGetName, spReply, spPeek:
		default:
			c.after, c.attr = afterState, nil // it takes effect with EXEC, and nobody will tell
		}
		return
	}
	switch sp {
	case spMulti:
		if s.req.Argc == 1 {
			c.after = afterMulti
			s.txn.open = true
		}
	case spWatch:
		c.after = afterWatch
	case spUnwatch:
		c.after = afterUnwatch
		s.txn.doomed = false
	case spXRead:
		if s.blocks() {
			s.prepareBlocking(c)
		}
	case spBlocking, spWait:
		s.prepareBlocking(c)
	case spSubscribe, spUnsubscribe:
		c.expect = s.req.Argc - 1
		if c.expect == 0 && sp == spUnsubscribe {
			c.expect = -1
		}
	case spMonitor:
		c.after = afterMonitor
	case spState:
		switch {
		case c.cmd.name == "CLIENT|CACHING":
			c.after = afterTracking
		case c.cmd.name != "CLIENT|TRACKING":
			c.after = afterState
		case bytes.EqualFold(s.req.Arg(s.buf, 2), []byte("OFF")):
			c.after = afterTrackingOff // which is all that tracking leaves behind
		default:
			c.after = afterTracking
		}
	case spUnknown:
		c.after = afterUnknown
	case spSetName:
		if s.req.Argc == 3 {
			c.after, c.name = afterName, string(s.req.Arg(s.buf, 2))
		}
	}
}

// prepareBlocking lets a command wait as long as it says, and for its answer as long as any. It is not sent again after its connection was lost: what came
// meanwhile may have gone to the lost one, and "$" of XREAD means another place the second time.
func (s *session) prepareBlocking(c *call) {
	if own, ok := s.blockTime(c.cmd); ok && own == 0 {
		c.Deadline = 0
	} else if ok && c.Deadline > 0 {
		c.Deadline += own
	}
	if c.Retry == resources.RetryIdempotent {
		c.Retry = resources.RetryUnsent
	}
	c.after = afterBlocking
	s.setPins(s.pins | resources.PinBlocking)
}

// follow draws the consequences of a reply and returns what the client gets.
func (s *session) follow(c *call, b []byte) []byte {
	failed := isError(b)
	switch c.after {
	case afterAttr, afterHello:
		if !failed {
			s.becomeAttr(c.attr, c.name, c.user)
			if s.pin != nil {
				s.pin.attr, s.pin.name = c.attr, s.name
			}
			if c.after == afterHello {
				b = s.helloReply(b)
			}
		}
		s.resume(holdReply)
	case afterName:
		if !failed {
			s.setName(c.name)
			s.pin.name = c.name
		}
	case afterMulti:
		if failed {
			s.txn = txnState{}
		} else if s.pin != nil {
			s.setPins(s.pins | resources.PinTxn)
		}
	case afterBegin:
		s.begun(failed)
	case afterExec:
		s.setPins(s.pins &^ (resources.PinTxn | resources.PinWatch))
	case afterDiscard:
		if !failed {
			s.setPins(s.pins &^ (resources.PinTxn | resources.PinWatch))
		}
	case afterAbort:
		s.setPins(s.pins &^ (resources.PinTxn | resources.PinWatch))
		b = replyExecAbort
	case afterWatch:
		if !failed && s.pin != nil {
			s.setPins(s.pins | resources.PinWatch)
		}
	case afterUnwatch:
		if !failed {
			s.setPins(s.pins &^ resources.PinWatch)
		}
	case afterBlocking:
		s.setPins(s.pins &^ resources.PinBlocking)
	case afterState:
		if !failed && s.pin != nil {
			s.tied = true
			s.setPins(s.pins | resources.PinState)
		}
	case afterTracking:
		if !failed && s.pin != nil {
			s.setPins(s.pins | resources.PinState)
		}
	case afterTrackingOff:
		if !failed && !s.tied {
			s.setPins(s.pins &^ resources.PinState)
		}
	case afterUnknown:
		if !failed && s.pin != nil {
			s.setPins(s.pins | resources.PinUnknown)
		}
	case afterMonitor:
		if !failed && s.pin != nil {
			s.pin.raw = true
			s.setPins(s.pins | resources.PinMonitor)
		}
	case afterScan:
		b = s.scanReply(c, b)
	}
	return b
}

// release gives the connection back when the server proved that it is clean. It is called with nothing in flight.
func (s *session) release() {
	if s.pin != nil && s.clean() && s.parked == nil {
		u := s.pin
		s.pin = nil
		u.pool.giveBack(u)
	}
}

// clean reports whether the server proved that the session's own connection is like any other again. That everything was
// answered is for the pool to see.
func (s *session) clean() bool {
	return s.upload == nil && (s.pins == 0 && !s.txn.open || bug.sharesModes())
}

// dropPin gives the connection back, or closes it unless it is clean.
func (s *session) dropPin() {
	u := s.pin
	if u == nil {
		return
	}
	s.pin = nil
	if s.clean() {
		u.pool.giveBack(u)
		return
	}
	u.close(errDone)
}

// pinReady tells that the session's own connection can be written to.
func (s *session) pinReady() { s.pinDrained() }

// pinDrained goes on with a large request.
func (s *session) pinDrained() {
	if s.hold&holdServer != 0 {
		s.resume(holdServer)
	}
}

// pinLost tells that the session's own connection is gone; its calls fail right after.
func (s *session) pinLost(u *upstream) {
	if s.pin != u {
		return
	}
	s.pin = nil
	switch {
	case s.ended:
	case s.pins&(resources.PinSubscribe|resources.PinMonitor|resources.PinState|resources.PinUnknown) != 0:
		// What the connection knew cannot be told to another. The client sees what it would see without an agent.
		s.conn.CloseAfterFlush()
		s.closing = true
	case s.txn.open:
		s.txn.lost = true
	case s.pins&resources.PinWatch != 0:
		s.txn.doomed = true
	}
	s.setPins(s.pins & resources.PinPaired)
	s.chans, s.pats, s.shch = 0, 0, 0
	s.resume(holdServer)
}

// Kinds of frames on a connection with subscriptions.
const (
	pubOther = iota
	pubMessage
	pubSubscribe
	pubPsubscribe
	pubSsubscribe
	pubUnsubscribe
	pubPunsubscribe
	pubSunsubscribe
)

// published tells what an array or push is by its first element.
func published(b []byte) int {
	i := 0
	for i < len(b) && b[i] != '\n' {
		i++
	}
	if i+1 >= len(b) || b[i+1] != '$' {
		return pubOther
	}
	j := i + 2
	for j < len(b) && b[j] != '\n' {
		j++
	}
	end := j + 1
	for end < len(b) && b[end] != '\r' {
		end++
	}
	if j+1 > len(b) {
		return pubOther
	}
	switch string(b[j+1 : end]) {
	case "message", "pmessage", "smessage":
		return pubMessage
	case "subscribe":
		return pubSubscribe
	case "psubscribe":
		return pubPsubscribe
	case "ssubscribe":
		return pubSsubscribe
	case "unsubscribe":
		return pubUnsubscribe
	case "punsubscribe":
		return pubPunsubscribe
	case "sunsubscribe":
		return pubSunsubscribe
	}
	return pubOther
}

func (s *session) subscribed() bool { return s.chans+s.pats+s.shch > 0 }

// subscriptions reports whether frames on u may be messages or confirmations: there are subscriptions, or the next
// expected answer is to a request about them.
func (s *session) subscriptions(u *upstream) bool {
	if s.pin != u {
		return false
	}
	if s.subscribed() {
		return true
	}
	if u.head == u.tail {
		return false
	}
	c := u.at(u.head).c
	return c != nil && c.cmd.special >= spSubscribe && c.cmd.special <= spUnsubscribe
}

// published deals with a frame on a connection with subscriptions. It returns false when the frame is an ordinary reply.
func (s *session) published(u *upstream, b []byte, kind byte) bool {
	if kind != '>' && (kind != '*' || s.attr.resp3) {
		return false
	}
	what := published(b)
	switch what {
	case pubOther:
		return false
	case pubMessage:
		if kind == '*' && !s.subscribed() {
			return false
		}
		s.push(b)
		return true
	}
	s.push(b)
	s.confirmed(u, what, b)
	return true
}

// confirmed counts one confirmation. Its last element is the number of subscriptions that the connection has now, to
// channels and patterns together or to shard channels.
func (s *session) confirmed(u *upstream, what int, b []byte) {
	v := value(b)
	if len(v.Elems) != 3 {
		u.garbled(errors.New("a confirmation of a subscription is malformed"))
		return
	}
	now := int(v.Elems[2].Int)
	both := s.chans + s.pats
	switch what {
	case pubSubscribe:
		s.chans += now - both
	case pubPsubscribe:
		s.pats += now - both
	case pubUnsubscribe:
		s.chans -= both - now
	case pubPunsubscribe:
		s.pats -= both - now
	default:
		s.shch = now
	}
	if s.subscribed() {
		s.setPins(s.pins | resources.PinSubscribe)
	} else {
		s.setPins(s.pins &^ resources.PinSubscribe)
	}
	if u.head == u.tail {
		return // an unsubscription that nobody asked for: a shard channel moved
	}
	c := u.at(u.head).c
	if c == nil || c.cmd.special != spSubscribe && c.cmd.special != spUnsubscribe {
		return
	}
	c.RespBytes += int64(len(b))
	left := map[int]int{pubUnsubscribe: s.chans, pubPunsubscribe: s.pats, pubSunsubscribe: s.shch}[what]
	if c.expect > 0 {
		c.expect--
	}
	if c.expect == 0 || c.expect < 0 && left == 0 {
		u.pop()
		c.Now, c.Outcome = u.last, resources.OutcomeOK
		s.sh.end(c)
		s.finished(c, nil)
	}
}

// push writes a frame that is no reply.
func (s *session) push(b []byte) {
	if s.ended || s.replyOff {
		return
	}
	s.conn.Write(b)
	if s.conn.Pending() > loop.HighWater && s.blocking == nil && s.pin != nil {
		s.conn.WantDrained()
		s.pin.blocked, s.blocking = s, s.pin
		s.pin.conn.Pause()
	}
}
