package mysql

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/protocols/sql"
	"github.com/sluice-mesh/sluice/resources"
)

// clientError is a failure of the connection to the client, where every other is one of the connection to the server.
type clientError struct{ err error }

func (e clientError) Error() string { return "client: " + e.err.Error() }

// attempt executes the command once, on a connection to ep, and passes the reply on. A fault means that no byte of a
// reply has reached the client, unless c.Sent says so.
func (s *session) attempt(ep *resources.Endpoint) *resources.Fault {
	c := &s.call
	c.Sent, s.over, s.serverErr = resources.SentNothing, false, false
	u, fault := s.connection(ep)
	if fault != nil {
		return fault
	}
	s.busy.Store(u)
	err := s.exchangeOn(u)
	if !s.busy.CompareAndSwap(u, nil) && err == nil {
		err = errCut
	}
	if !s.spared() {
		u.killed = true
	}
	if err == nil {
		if s.serverErr {
			c.Outcome = resources.OutcomeError
		}
		s.settle(u)
		s.reopened = false
		return nil
	}
	return s.unexecuted(u, err)
}

// unexecuted deals with a command that did not come to its end on u.
func (s *session) unexecuted(u *upstream, err error) *resources.Fault {
	var refused errRefused
	switch {
	case errors.As(err, &refused):
		return s.refusedBy(u, refused)
	case err == errExpired:
		s.settle(u)
		return s.expired(u)
	case err == errForgotten:
		s.settle(u)
		return u.p.fault(resources.Unavailable, missing)
	case err == errElsewhere:
		s.settle(u)
		return s.elsewhere(u)
	case err == errBehind:
		s.settle(u)
		return s.behind(u)
	}
	return s.broke(u, err)
}

// expired is the fault of a command whose time was over.
func (s *session) expired(u *upstream) *resources.Fault {
	c := &s.call
	f := u.p.fault(resources.Timeout, "did not answer within "+time.Duration(c.Deadline-c.Start).Round(time.Millisecond).String()+" (policy.timeout)")
	f.Source = resources.FromUpstream
	return f
}

// connection returns the connection that executes the command: the one that the session is tied to, the one that knows
// what the statement asks for, or one of the pool.
func (s *session) connection(ep *resources.Endpoint) (*upstream, *resources.Fault) {
	if u := s.up; u != nil {
		if u.usable() {
			return u, s.recalled(u)
		}
		s.drop(u) // a server that speaks unasked says that it has closed the connection
		f := u.p.fault(resources.Unavailable, "closed the connection of this session")
		f.Close = true
		return nil, f
	}
	if s.r.tunnel() {
		return s.r.pool(ep).take(s)
	}
	u, fault := s.untied(ep)
	if fault != nil {
		return nil, fault
	}
	return u, s.recalled(u)
}

// exchangeOn waits until u has what the session has seen, and exchanges, where it can wait for u.
func (s *session) exchangeOn(u *upstream) error {
	if !u.usedBy(s) {
		return s.exchangeAside(u)
	}
	if err := s.catchUp(u); err != nil {
		return err
	}
	return s.exchange(u)
}

func (s *session) exchangeAside(u *upstream) (err error) {
	s.aside(func() {
		if err = s.catchUp(u); err == nil {
			err = s.exchange(u)
		}
	})
	return err
}

// exchange sends the command and passes its reply on.
func (s *session) exchange(u *upstream) error {
	if s.scan.Flags&asks != 0 && !s.r.tunnel() {
		if err := s.sureOfInsert(u); err != nil {
			return err
		}
		if !s.recalls(u) { // what was asked of u by now has overwritten it
			return errForgotten
		}
	}
	if s.instead != nil {
		return s.answer(u, s.instead)
	}
	before, err := s.send(u)
	if err == nil && before {
		err = s.agree(u)
	}
	if err != nil {
		return err
	}
	if s.patched {
		return s.relayPatched(u)
	}
	return s.relay(u)
}

// send writes the command, with what makes the connection the session's own in front of it. It reports whether replies to
// that come before the command's: they are read after it was sent when it only reads, so that moving costs no round trip; a
// command that may write is sent only when the connection is known to be what it should be.
func (s *session) send(u *upstream) (before bool, err error) {
	if s.scan.Flags&asks == 0 {
		if err := s.sureOfInsert(u); err != nil {
			return false, err
		}
	}
	u.out = u.out[:0]
	u.closeDropped()
	s.prelude(u)
	c := &s.call
	if len(u.pre) > 0 && (s.unprepared(u) || c.Class != resources.ClassRead || !s.rest.Done() || len(s.req) > bufferSize) {
		if err := u.write(u.out); err != nil {
			return false, err
		}
		if err := s.agree(u); err != nil {
			return false, err
		}
		u.out = u.out[:0]
	}
	if s.stmt != nil {
		if err := s.resolve(u); err != nil {
			return false, err
		}
	}
	c.Sent = resources.SentSome
	if c.Stages != nil {
		c.Stages.Placed(nil)
	}
	if len(u.out) == 0 {
		if err := u.write(s.req); err != nil {
			return false, err
		}
	} else {
		u.out = append(u.out, s.req...)
		if err := u.write(u.out); err != nil {
			return false, err
		}
	}
	if cap(u.out) > bufferSize {
		u.out = nil
	}
	if !s.rest.Done() {
		err = s.upload(u)
	}
	if c.Stages != nil {
		c.Stages.Written = clock.Now()
	}
	return len(u.pre) > 0, err
}

// arrives notes, of a call that is watched, when bytes of the answer are there.
func (s *session) arrives(u *upstream) {
	if len(u.buffered()) > 0 {
		s.call.Stages.Arrives(clock.Now())
	}
}

// relay passes the reply on as it comes. What is read of the server goes to the client before more is read: a slow client
// slows its own server down, and costs no memory.
func (s *session) relay(u *upstream) error {
	c := &s.call
	if !followed(s.cmd) {
		return s.stream(u)
	}
	s.reply.Start(s.cmd, u.caps)
	if n := s.rest.Frames(); n > 1 {
		s.reply.SetSeq(byte(n))
	}
	if s.reply.Done() { // there is none
		return nil
	}
	ready := 0 // bytes at the start of what is buffered that go to the client
	for {
		if c.Stages != nil {
			s.arrives(u)
		}
		n, step, err := s.reply.Next(u.buffered()[ready:])
		if err != nil {
			return s.mismatch(u, err)
		}
		switch step {
		case mysql.NeedMore:
			if ready > 0 {
				if err := s.pass(u, ready); err != nil {
					return err
				}
				ready = 0
			}
			if err := u.fill(mysql.MaxOKPacket + bufferSize); err != nil {
				return err
			}
			continue
		case mysql.Forward, mysql.Progress:
			ready += n
		case mysql.Prepared:
			s.answeredPrepare(u, u.buffered()[ready:ready+n])
			ready += n
		case mysql.Middle, mysql.Terminal:
			m, instead, err := s.terminal(u, u.buffered()[ready:ready+n], step)
			if err != nil {
				return err
			}
			if instead != nil && ready == 0 && c.Sent != resources.SentAnswered {
				u.use(n)
				return instead
			}
			if m < n { // it became shorter: what follows moves up behind it
				b := u.buffered()
				u.w = u.r + ready + m + copy(b[ready+m:], b[ready+n:])
			}
			ready += m
		case mysql.Infile:
			_, seq := mysql.Header(u.buffered()[ready:])
			ready += n
			if err := s.pass(u, ready); err != nil {
				return err
			}
			ready = 0
			if err := s.localInfile(u, seq); err != nil {
				return err
			}
			continue
		default:
			return errors.New("unexpected packet in a reply")
		}
		if s.reply.Done() {
			if extra := len(u.buffered()) - ready; extra > 0 {
				return s.mismatch(u, fmt.Errorf("%d bytes behind the reply", extra))
			}
			c.RespBytes += int64(ready)
			return s.pass(u, ready)
		}
	}
}

// mismatch counts a reply that is none, and says what was wrong with it. The connection is closed.
func (s *session) mismatch(u *upstream, err error) error {
	s.r.rt.Mismatch()
	s.r.rt.Log("error", "a server's reply makes no sense", "endpoint", u.ep().Address, "command", s.cmd.String(), "error", err)
	return err
}

// pass sends the first n bytes of what is buffered to the client.
func (s *session) pass(u *upstream, n int) error {
	if n == 0 {
		return nil
	}
	s.call.Sent = resources.SentAnswered
	s.phase.Store(phaseSend)
	err := s.client.write(u.buffered()[:n])
	u.use(n)
	s.phase.Store(phaseRun)
	if err != nil {
		return clientError{err}
	}
	return nil
}

// terminal looks at an OK, EOF or ERR packet and, where the client understands less than the agent asked of the server,
// makes it shorter in place. It returns its new size, and what has become of the command instead, if the client should hear
// something else.
func (s *session) terminal(u *upstream, packet []byte, step mysql.Step) (size int, instead, err error) {
	payload := packet[mysql.HeaderLen:]
	if payload[0] == 0xff {
		se, err := mysql.ParseERR(payload, u.caps)
		if err != nil {
			return 0, nil, err
		}
		switch {
		case s.misplaced(u, &se):
			instead = errElsewhere
		case (se.Code == 1317 || se.Code == 1969 || se.Code == 3024) && s.late():
			instead = errExpired
		}
		s.serverError(u, &se)
		return len(packet), instead, nil
	}
	if payload[0] == 0xfe && !u.caps.Has(mysql.ClientDeprecateEOF) {
		e, err := mysql.ParseEOF(payload, u.caps)
		if err != nil {
			return 0, nil, err
		}
		// An EOF cannot tell what has changed in the session, only that something has.
		u.untold = e.Status.Has(mysql.StatusSessionStateChanged)
		if u.untold && s.caps.Has(mysql.ClientProtocol41) && !s.r.tunnel() {
			e.Status &^= mysql.StatusSessionStateChanged
			binary.LittleEndian.PutUint16(payload[3:], uint16(e.Status))
		}
		s.learn(u, &mysql.OK{Status: e.Status}, 0)
		s.ended(u, &mysql.OK{Status: e.Status, Warnings: e.Warnings}, step, true)
		return len(packet), nil, nil
	}
	ok, err := mysql.ParseOK(payload, u.caps)
	if err != nil {
		return 0, nil, err
	}
	u.untold = false
	s.learn(u, &ok, s.scan.Flags)
	s.ended(u, &ok, step, payload[0] == 0xfe)
	if s.r.tunnel() {
		return len(packet), nil, nil
	}
	if s.caps.Has(mysql.ClientSessionTrack) {
		if len(ok.Track) == 0 && !ok.Status.Has(mysql.StatusSessionStateChanged) {
			return len(packet), nil, nil
		}
		ok.Track = s.visible(ok.Track)
	} else if !u.caps.Has(mysql.ClientSessionTrack) || !ok.Status.Has(mysql.StatusSessionStateChanged) && len(ok.Info) == 0 {
		return len(packet), nil, nil
	}
	s.out = mysql.AppendOK(s.out[:0], packet[3], payload[0], &ok, s.caps)
	if len(s.out) > len(packet) {
		return 0, nil, errors.New("an OK packet grew")
	}
	return copy(packet, s.out), nil, nil
}

// ended takes note of the end of a result, of one with rows or of one without.
func (s *session) ended(u *upstream, ok *mysql.OK, step mysql.Step, rows bool) {
	if step == mysql.Middle {
		if ok.Status.Has(mysql.StatusCursorExists) && s.stmt != nil {
			s.openCursor()
		}
		if ok.Warnings > 0 {
			s.warned(u, true)
		}
		return
	}
	if s.stmt != nil && ok.Status.Has(mysql.StatusCursorExists) && s.cmd == mysql.ComStmtExecute {
		s.openCursor()
	}
	if s.stmt != nil && ok.Status.Has(mysql.StatusLastRowSent) {
		s.closeCursor()
	}
	s.flagged(s.scan.Flags)
	s.left(u, ok, rows && s.cmd != mysql.ComSetOption)
	if s.releases() {
		s.over, u.killed = true, true
	}
	if s.cmd == mysql.ComInitDB {
		s.chose(u, string(s.req[mysql.HeaderLen+1:]))
	}
}

// serverError takes note of an error that the server answered with. The status flags do not come with it: whether a
// transaction is still open is not known, so the session stays where it is when one was.
func (s *session) serverError(u *upstream, se *mysql.ServerError) {
	s.serverErr = true
	s.flagged(s.scan.Flags &^ (sql.TempTable | sql.GlobalReadLock))
	s.status &^= mysql.StatusMoreResults // which the result before the error announced
	u.owner, s.diag.rowsAt = s, u
	s.diag.recent, s.diag.rows = true, -1 // SHOW WARNINGS tells of the error
	s.warned(u, true)
	if d := &s.diag; !(d.foundAt == u && u.foundOf == s) && !s.keepsFound() && !s.unbegun(se.Code) {
		d.foundAt, d.hasFound = nil, false // it may have set it, up to where it failed
	}
	s.unsure = u.status.Has(mysql.StatusInTrans) || u.oneShot
	if s.statement() && (s.scan.Kind == sql.Write || s.scan.Kind == sql.Unknown) {
		s.inserted(u) // maybe
	}
	if s.statement() && s.scan.Kind != sql.Read {
		u.taint = s // what it changed before it failed is told with the next OK
	}
	s.codes(u, se)
}

// unbegun reports whether an error of this code says that no part of the statement was executed: it could not be read, or
// a table of it is not there.
func (s *session) unbegun(code uint16) bool {
	const parts = sql.Multi | sql.Call | sql.Compound | sql.TextPrepare | sql.ExecutableComment
	return (code == 1064 || code == 1146) && !s.scan.Flags.Has(parts) && s.alien() == ""
}

// What became of a command that the server answered with an error that the client does not get.
var (
	errElsewhere = errors.New("no primary")   // the server is no primary: nothing was executed
	errExpired   = errors.New("time is over") // it was killed because it took too long
	errCut       = errors.New("the connection was cut")
	errForgotten = errors.New("what it asks for is forgotten")
)

// late reports whether the command's time is over.
func (s *session) late() bool { return s.call.Deadline != 0 && clock.Now() >= s.call.Deadline }

// broke deals with a connection that failed in the middle of a command.
func (s *session) broke(u *upstream, err error) *resources.Fault {
	c := &s.call
	tied := s.up == u
	s.drop(u)
	switch err {
	case errStreamed:
		s.over = true
		return nil
	case errTooLarge:
		s.over = true
		c.Fault = s.tooLarge()
		c.Outcome = resources.OutcomeOf(c.Fault)
		return nil
	}
	if errors.As(err, new(clientError)) {
		s.over = true
		c.Outcome = resources.OutcomeCanceled
		return nil
	}
	var pre errPrelude
	if errors.As(err, &pre) {
		c.Sent, c.Declined = resources.SentNothing, true // what was executed was a read, and its answer is dropped
		f := u.p.fault(resources.Unavailable, pre.Error())
		f.Close = true // the client can only begin anew
		return f
	}
	what := "closed the connection"
	code := resources.Unknown
	if d := c.Deadline; d != 0 && clock.Now() >= d {
		code, what = resources.Timeout, "did not answer within "+time.Duration(d-c.Start).Round(time.Millisecond).String()
	} else if c.Sent == resources.SentNothing {
		code = resources.Unavailable
	} else if c.Class != resources.ClassRead {
		what += "; the statement may have been executed"
	}
	f := u.p.fault(code, what)
	f.Source = resources.FromUpstream
	if tied || c.Sent == resources.SentAnswered {
		f.Close = true
	}
	return f
}

// drop gives up a connection that cannot be used any more, and what the session had there.
func (s *session) drop(u *upstream) {
	if s.up == u {
		s.up, s.unsure = nil, false
		s.pins &= pinPaired
		s.r.rt.Pinned(s.rs, 0)
	}
	if s.held == u {
		s.held, s.diag.recent = nil, false
		u.p.unhold(s)
	}
	s.diag.losing(u)
	if s.last == u {
		s.last = nil
	}
	u.discard()
}
