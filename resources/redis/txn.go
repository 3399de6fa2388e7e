package redis

import (
	"slices"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
)

// txnState is a transaction as far as its requests were sent. What the server made of them is in the session's pins.
type txnState struct {
	open   bool // MULTI was sent, EXEC and DISCARD were not
	doomed bool // something in it was refused, or a watch was lost: EXEC must not run
	lost   bool // its connection is gone
	unsent bool // MULTI was answered, but not sent: which server it is for is not known before its first key
}

const notUnit = -1

// unit handles a transaction that is in the buffer as a whole, from MULTI to EXEC: it is written to a shared connection in
// one piece, so that nobody else's request comes between, and needs no connection of its own. It returns how many bytes
// it has, 0 when it has to wait, or notUnit.
func (s *session) unit(multi *command) int {
	if s.req.Argc != 1 || s.txn.doomed || s.sh.r.partitioned() {
		return notUnit
	}
	total, count := s.unitEnd()
	if total == 0 || s.n+count > maxInFlight {
		return notUnit
	}
	calls, delay, refused := s.unitBegin(total, multi)
	switch {
	case refused:
		s.unitRefused(calls)
	case delay > 0:
		s.unitCalls = append([]*call(nil), calls...)
		c := calls[0]
		c.Delay = delay
		s.park(c)
		return 0
	default:
		s.unitSend(calls, total)
	}
	return total
}

// unitResume sends a unit whose injected delay is over.
func (s *session) unitResume() int {
	calls := s.unitCalls
	s.unitCalls = nil
	total, _ := s.unitEnd()
	s.unitSend(calls, total)
	return total
}

// unitEnd looks for the end of the transaction that begins at s.buf. It returns 0 when the end is not there or something in
// between needs a connection of its own.
func (s *session) unitEnd() (total, count int) {
	t := s.sh.r.table.Load()
	off := s.req.Size
	for count = 2; ; count++ {
		var r resp.Request
		b := s.buf[off:]
		st, err := r.Scan(b, &s.lim)
		if err != nil || st != resp.Complete {
			return 0, 0
		}
		off += r.Size
		cmd := t.lookup(&r, b)
		switch {
		case cmd.special == spExec && r.Argc == 1:
			return off, count
		case !cmd.special.plain() || cmd.flags&flagNoMulti != 0:
			return 0, 0
		}
	}
}

// unitBegin runs the filters for each request of a unit. An entry is nil when its call was answered by a filter.
func (s *session) unitBegin(total int, multi *command) (calls []*call, delay int64, refused bool) {
	t := s.sh.r.table.Load()
	whole, first := s.buf, s.req
	calls = s.sh.unit[:0]
	cmd := multi
	for off := 0; ; {
		c := s.newCall(cmd)
		c.Primary, c.Retry = true, resources.RetryNever
		stop := s.sh.rt.Begin(&c.Call)
		if c.Stages != nil {
			s.watch(c)
		}
		if stop != nil {
			s.stopped(c, stop)
			c, refused = nil, true
		} else {
			delay = max(delay, c.Delay)
		}
		calls = append(calls, c)
		if off += s.req.Size; off >= total {
			break
		}
		s.buf = whole[off:]
		s.req.Reset()
		_, _ = s.req.Scan(s.buf, &s.lim) // complete: unitEnd saw it
		cmd = t.lookup(&s.req, s.buf)
	}
	s.buf, s.req = whole, first
	s.sh.unit = calls
	return calls, delay, refused
}

// unitRefused answers a unit of which a filter refused a request, as the server does when it refused one.
func (s *session) unitRefused(calls []*call) {
	now := s.sh.loop.Now()
	for i, c := range calls {
		if c == nil {
			continue
		}
		c.Now, c.Outcome = now, resources.OutcomeError
		s.sh.end(c)
		switch i {
		case 0:
			s.answer(c, replyOK)
		case len(calls) - 1:
			s.answer(c, replyExecAbort)
		default:
			s.answer(c, replyQueued)
		}
	}
}

// unitSend routes a unit by its first request that has a key, and writes it in one piece.
func (s *session) unitSend(calls []*call, total int) {
	first := calls[0]
	for _, c := range calls {
		if c.HasKey {
			first.Key, first.HasKey = c.Key, true
			break
		}
	}
	ep, fault := s.sh.rt.Route(&first.Call)
	if fault != nil {
		for _, c := range calls {
			s.sh.refuse(c, fault)
		}
		return
	}
	u := s.sh.pool(ep, s.attr).lane(s)
	b := s.buf[:total]
	for i, c := range calls {
		var r resp.Request
		_, _ = r.Scan(b, &s.lim)
		req := b[:r.Size]
		if r.Inline {
			req = r.AppendCanonical(nil, b)
		}
		c.Pinned = true
		if i > 0 {
			c.Endpoint = ep
			_, _ = s.sh.rt.Route(&c.Call) // pinned: it stays
		} else {
			c.unit = len(calls)
		}
		u.submit(c, req)
		b = b[r.Size:]
	}
}

// unitUnsent returns of how many calls the unit is that begins at the head of a connection that is lost; 0 when none
// does, or when it cannot be sent as it was.
func (u *upstream) unitUnsent() int {
	first := u.at(u.head).c
	n := uint64(first.unit)
	if n == 0 || u.head+n > u.tail || u.at(u.head+n-1).end-u.at(u.head).begin > againMost {
		return 0
	}
	for i := u.head; i < u.head+n; i++ {
		if e := u.at(i); e.c == nil || e.c.s != first.s || u.request(e) == nil {
			return 0
		}
	}
	return first.unit
}

// unitAgain ends an attempt for the n calls of a unit at the head, of which nothing was written, and sends all of it
// where the runtime has the first one go. It leaves the last of them at the head.
func (u *upstream) unitAgain(n int, fault *resources.Fault) {
	sh, s := u.sh, u.at(u.head).c.s
	calls := make([]*call, n)
	reqs := make([][]byte, n)
	ended := make([]bool, n)
	var to *resources.Endpoint
	for i := range n {
		e := u.at(u.head + uint64(i))
		c := e.c
		calls[i], reqs[i], e.c = c, u.request(e), nil
		c.up = nil
		c.Now, c.Sent, c.Fault, c.Outcome = sh.loop.Now(), resources.SentNothing, fault, resources.OutcomeOf(fault)
		if i == 0 || to != nil {
			c.Pinned, c.Retry = false, resources.RetryUnsent
		}
		if to != nil {
			c.Place = &resources.Places{GroupID: to.GroupID, Primary: to} // where the first one goes
		}
		ended[i] = sh.rt.End(&c.Call) != resources.Again
		if i == 0 && !ended[i] {
			to = c.Endpoint
		}
		c.Pinned, c.Retry = true, resources.RetryNever
	}
	u.head += uint64(n) - 1
	if !slices.Contains(ended, true) {
		v := sh.pool(to, u.attr).lane(s)
		for i, c := range calls {
			v.submit(c, reqs[i])
		}
		return
	}
	for i, c := range calls {
		if !ended[i] {
			c.Fault, c.Outcome = fault, resources.OutcomeOf(fault)
			sh.end(c)
		}
		s.fault(c, c.Fault)
	}
}

// beginLater answers MULTI of a partitioned resource.
func (s *session) beginLater(cmd *command) int {
	c := s.newCall(cmd)
	if stop := s.sh.rt.Begin(&c.Call); stop != nil {
		s.multiRefused()
		s.stopped(c, stop)
		return s.req.Size
	}
	s.txn.open, s.txn.unsent = true, true
	c.Now, c.RespBytes = s.sh.loop.Now(), int64(len(replyOK))
	s.sh.end(c)
	s.answer(c, replyOK)
	return s.req.Size
}

// beginNow handles the request behind a MULTI that was not sent. Where that request goes, MULTI is sent first; the request
// waits for its reply. It returns how many bytes were dealt with; 0 when the request has to wait.
func (s *session) beginNow(cmd *command) int {
	doomed := s.txn.doomed
	switch {
	case cmd.special == spMulti:
		s.local(cmd, replyNested, false)
	case cmd.special == spWatch:
		s.local(cmd, replyWatchInside, false)
	case cmd.special == spExec && doomed:
		s.txn = txnState{}
		s.local(cmd, replyExecAbort, false)
	case cmd.special == spExec:
		s.txn = txnState{}
		s.local(cmd, replyNothing, false)
	case cmd.special == spDiscard:
		s.txn = txnState{}
		s.local(cmd, replyOK, false)
	case !s.onePlace(cmd):
		s.txn.doomed = true
		s.local(cmd, replyCrossSlot, false)
	case s.idleFirst():
		// The client's MULTI was a call of its own: this one has no filters, like a part.
		skip := s.skipNext
		c := s.newCall(s.sh.r.table.Load().named("MULTI"))
		s.skipNext = skip
		c.mute, c.lease, c.after, c.Primary = true, true, afterBegin, true
		c.Deadline = c.Start + s.sh.timeout()
		if key, ok := s.Key(0); ok {
			s.setKey(c, key)
		}
		s.wait(holdReply)
		s.sendLeased(c, requestMulti)
		return 0
	default:
		return 0
	}
	return s.req.Size
}

var (
	requestMulti     = []byte("*1\r\n$5\r\nMULTI\r\n")
	replyNothing     = []byte("*0\r\n")
	replyNested      = []byte("-ERR MULTI calls can not be nested\r\n")
	replyWatchInside = []byte("-ERR WATCH inside MULTI is not allowed\r\n")
)

// begun goes on with a transaction that beginNow sent. One that did not begin is lost: nothing of it may be executed.
func (s *session) begun(failed bool) {
	s.txn.unsent = false
	switch {
	case failed:
		s.txn.lost = true
		if u := s.pin; u != nil {
			s.pin = nil
			u.close(errDone)
		}
	case s.pin != nil:
		s.setPins(s.pins | resources.PinTxn)
	}
	s.resume(holdReply)
}

// multiRefused deals with a MULTI that a filter refuses. When the client sent the rest of the transaction without waiting
// for the answer, nothing of it may be executed: each request would be, by itself.
func (s *session) multiRefused() {
	if s.txn.open || len(s.buf) <= s.req.Size {
		return
	}
	s.txn = txnState{open: true, lost: true}
	if s.pin != nil && s.pins&resources.PinWatch != 0 { // the end of a transaction forgets what is watched
		at := s.pin.write(unwatch)
		s.pin.expect(nil, at)
		s.setPins(s.pins &^ resources.PinWatch)
	}
}

// abandonTxn ends a transaction whose end a filter refused: to the client it is over, whatever the answer was.
func (s *session) abandonTxn() {
	sent := !s.txn.unsent
	s.txn = txnState{}
	if s.pin == nil || !sent {
		return
	}
	at := s.pin.write(discard)
	s.pin.expect(nil, at)
	s.setPins(s.pins &^ (resources.PinTxn | resources.PinWatch))
}

var (
	discard = []byte("*1\r\n$7\r\nDISCARD\r\n")
	unwatch = []byte("*1\r\n$7\r\nUNWATCH\r\n")
)

// lostTxn answers requests of a transaction whose connection is gone, or whose MULTI was refused, until it ends.
func (s *session) lostTxn(cmd *command) {
	switch cmd.special {
	case spExec:
		s.txn = txnState{}
		s.local(cmd, replyExecAbort, false)
	case spDiscard:
		s.txn = txnState{}
		s.local(cmd, replyOK, false)
	default:
		s.local(cmd, resp.AppendError(nil, "UNAVAILABLE sluice: "+s.sh.rt.Name()+": the connection of this transaction was lost, or its MULTI was refused; nothing of it is executed"), false)
	}
}
