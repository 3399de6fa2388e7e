package mysql

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/protocols/sql"
	"github.com/sluice-mesh/sluice/resources"
)

// stmt is a statement that the client prepared. The client knows it by a number of the agent's; each connection that
// executes it knows it by one of its own.
type stmt struct {
	id      uint32
	key     string // database, reading and text
	db      string // in which it was prepared
	reading reading
	text    []byte
	scan    sql.Statement
	digest  *digest
	params  int
	columns int
	types   []byte // of the parameters, as the client last sent them
	cursor  bool   // a cursor of it is open
	long    bool   // long data was sent for it
	cut     bool   // text is its beginning only: it can be executed nowhere but where the client prepared it
	fault   *resources.Fault
}

// kept is a statement that is prepared on a connection. They form a list, the newest first.
type kept struct {
	key        string
	id         uint32
	types      []byte // of its parameters, as they were last sent here
	prev, next *kept
}

// prepare executes COM_STMT_PREPARE. It always goes to a server: what it says of columns and parameters is never older
// than the tables.
func (s *session) prepare() bool {
	s.text = s.req[mysql.HeaderLen+1:]
	sql.Scan(s.text, s.dialect(), &s.scan)
	s.digest = s.r.digests.find(&s.scan, s.text, s.dialect())
	flags := s.scan.Flags
	s.scan.Flags = 0 // nothing is executed
	st := &stmt{text: append([]byte(nil), s.text...), digest: s.digest, scan: s.scan}
	st.scan.Flags = flags
	st.db, st.cut = s.db, !s.rest.Done()
	s.preparing = st
	return s.govern(s.r.ops.commands[mysql.ComStmtPrepare])
}

// answeredPrepare takes COM_STMT_PREPARE_OK and puts the agent's number into it.
func (s *session) answeredPrepare(u *upstream, packet []byte) {
	ok, err := mysql.ParsePrepareOK(packet[mysql.HeaderLen:], u.caps)
	if err != nil {
		return
	}
	if u.owner != s {
		u.owner = nil
	}
	st := s.preparing
	st.params, st.columns = int(ok.Params), int(ok.Columns)
	if s.r.tunnel() {
		s.tunnelPrepared(st, ok.ID)
		return
	}
	if st.cut {
		s.pin(pinUnknown, "a prepared statement that is too long to be prepared again")
	}
	s.listed(u, ok.Warnings > 0)
	st.reading = s.reading(u)
	st.key = st.db + "\x00" + string(st.reading.sql()) + "\x00" + string(st.text)
	if st.cut {
		st.key = "\x01" + utoa(uint32(s.rs.ID)) + "." + utoa(s.nextID)
	}
	u.keep(st.key, ok.ID, s.r.set.Pool.Stmts)
	s.nextID++
	st.id = s.nextID
	if s.stmts == nil {
		s.stmts = map[uint32]*stmt{}
	}
	s.stmts[st.id] = st
	mysql.PutStmtID(packet[mysql.HeaderLen:], st.id)
}

// prepared executes a command on a prepared statement.
func (s *session) prepared() bool {
	payload := s.req[mysql.HeaderLen:]
	id, ok := mysql.StmtID(payload)
	if !ok {
		return s.malformed()
	}
	if id == 0xffffffff && s.preparing != nil { // MariaDB: the statement that was prepared last
		id = s.preparing.id
	}
	st := s.stmts[id]
	if st == nil {
		if s.cmd == mysql.ComStmtClose || s.cmd == mysql.ComStmtSendLongData {
			return s.skip()
		}
		s.fail(1243, "HY000", "Unknown prepared statement handler ("+utoa(id)+") given to "+s.cmd.String())
		return s.skip()
	}
	s.stmt = st
	switch s.cmd {
	case mysql.ComStmtClose:
		return s.closeStmt(st)
	case mysql.ComStmtSendLongData:
		return s.longData(st)
	case mysql.ComStmtReset:
		if s.up == nil {
			st.fault = nil
			s.diag.rows, s.diag.rowsAt = 0, nil // as behind every OK
			return s.ok(1)
		}
		defer func() { st.long, st.cursor, st.fault = false, false, nil; s.loosen() }()
		return s.govern(s.r.ops.commands[s.cmd])
	case mysql.ComStmtFetch:
		return s.govern(s.r.ops.commands[s.cmd])
	}
	s.scan, s.digest, s.text = st.scan, st.digest, st.text
	if st.fault != nil {
		f := st.fault
		st.fault = nil
		s.fault(f)
		return s.skip()
	}
	if err := s.rememberTypes(st, payload); err != nil {
		return s.malformed()
	}
	ok = s.govern(st.digest.opOf(s.r))
	if st.long {
		st.long = false
		s.loosen()
	}
	return ok
}

// unprepared reports whether the command is about a statement that u does not know yet.
func (s *session) unprepared(u *upstream) bool { return s.stmt != nil && u.stmts[s.stmt.key] == nil }

// resolve makes sure that the statement is prepared on u and puts u's number for it into the command.
func (s *session) resolve(u *upstream) error {
	st := s.stmt
	k := u.stmts[st.key]
	if k != nil {
		u.touch(k)
	} else if st.cut {
		return errPrelude{errors.New("a prepared statement of more than a megabyte is not kept any more: prepare it again")}
	} else {
		present := s.reading(u)
		if err := s.asPrepared(u, st.db, st.reading, present); err != nil {
			return err
		}
		u.out = appendCommand(u.out, mysql.ComStmtPrepare, string(st.text))
		if err := u.write(u.out); err != nil {
			return err
		}
		u.out = u.out[:0]
		id, err := u.prepareReply()
		if back := s.asPrepared(u, s.db, present, st.reading); back != nil {
			return back
		}
		if err != nil {
			return err
		}
		k = u.keep(st.key, id, s.r.set.Pool.Stmts)
	}
	// The connection may know other types than the client's, from whoever executed the statement here last.
	if s.statement() && st.params > 0 && !bytes.Equal(k.types, st.types) {
		k.types = append(k.types[:0], st.types...)
		return s.withTypes(st, k.id)
	}
	mysql.PutStmtID(s.req[mysql.HeaderLen:], k.id)
	return nil
}

// closeStmt forgets a statement. There is no reply. It stays prepared where it was executed, for whoever prepares the same
// text next; the number of those is bounded.
func (s *session) closeStmt(st *stmt) bool {
	delete(s.stmts, st.id)
	if st.cursor || st.long {
		if u := s.up; u != nil { // only the server can end it
			if k := u.stmts[st.key]; k != nil {
				u.forgetStmt(k)
			}
		}
		st.cursor, st.long = false, false
		s.loosen()
	}
	return true
}

func (s *session) openCursor() {
	s.stmt.cursor = true
	s.pin(pinCursor, "an open cursor")
}

func (s *session) closeCursor() {
	s.stmt.cursor = false
	s.unpin()
}

// unpin takes back the pins of cursors and long data that are over.
func (s *session) unpin() {
	cursor, long := false, false
	for _, st := range s.stmts {
		cursor, long = cursor || st.cursor, long || st.long
	}
	if !cursor {
		s.pins &^= pinCursor
	}
	if !long {
		s.pins &^= pinLong
	}
}

// loosen gives the connection back when nothing ties it any more.
func (s *session) loosen() {
	s.unpin()
	if u := s.up; u != nil {
		s.settle(u)
	}
}

// keep notes that a statement is prepared on the connection. The one that was used the longest ago goes when there are
// too many.
func (u *upstream) keep(key string, id uint32, most int) *kept {
	if old := u.stmts[key]; old != nil {
		u.drop = append(u.drop, old.id)
		old.id, old.types = id, old.types[:0]
		u.touch(old)
		return old
	}
	if u.stmts == nil {
		u.stmts = map[string]*kept{}
	}
	if len(u.stmts) >= most {
		u.forgetStmt(u.tail)
	}
	k := &kept{key: key, id: id, next: u.head}
	if u.head != nil {
		u.head.prev = k
	} else {
		u.tail = k
	}
	u.head = k
	u.stmts[key] = k
	return k
}

// touch moves a statement to the front of the list.
func (u *upstream) touch(k *kept) {
	if u.head == k {
		return
	}
	u.unlink(k)
	k.prev, k.next = nil, u.head
	u.head.prev = k
	u.head = k
}

func (u *upstream) unlink(k *kept) {
	if k.prev != nil {
		k.prev.next = k.next
	} else {
		u.head = k.next
	}
	if k.next != nil {
		k.next.prev = k.prev
	} else {
		u.tail = k.prev
	}
}

// forgetStmt closes a statement, together with the next command.
func (u *upstream) forgetStmt(k *kept) {
	u.unlink(k)
	delete(u.stmts, k.key)
	u.drop = append(u.drop, k.id)
}

// closeDropped appends the commands that close what was dropped.
func (u *upstream) closeDropped() {
	for _, id := range u.drop {
		u.out = mysql.AppendHeader(u.out, 5, 0)
		u.out = append(u.out, byte(mysql.ComStmtClose), byte(id), byte(id>>8), byte(id>>16), byte(id>>24))
	}
	u.drop = u.drop[:0]
}

// prepareReply reads the reply to a COM_STMT_PREPARE of the agent's own.
func (u *upstream) prepareReply() (uint32, error) {
	var rep mysql.Reply
	rep.Start(mysql.ComStmtPrepare, u.caps)
	var id uint32
	for !rep.Done() {
		n, step, err := rep.Next(u.buffered())
		if err != nil {
			return 0, err
		}
		b := u.buffered()
		switch step {
		case mysql.NeedMore:
			if err := u.fill(mysql.MaxOKPacket); err != nil {
				return 0, err
			}
			continue
		case mysql.Prepared:
			ok, err := mysql.ParsePrepareOK(b[mysql.HeaderLen:n], u.caps)
			if err != nil {
				return 0, err
			}
			if id = ok.ID; ok.Warnings > 0 {
				u.warnOf, u.warned = nil, true
			}
		case mysql.Terminal:
			if b[mysql.HeaderLen] == 0xff {
				se, err := mysql.ParseERR(b[mysql.HeaderLen:n], u.caps)
				if err != nil {
					return 0, err
				}
				u.use(n)
				u.warnOf, u.warned = nil, true
				return 0, errRefused{err: se.Clone()}
			}
		}
		u.use(n)
	}
	return id, nil
}

// longData passes a part of a parameter on. There is no reply; what goes wrong is told when the statement is executed.
func (s *session) longData(st *stmt) bool {
	if st.fault != nil {
		return s.skip()
	}
	s.scan, s.digest = st.scan, st.digest
	c := &s.call
	*c = resources.Call{Session: s.rs, View: s, Start: s.start, Op: s.r.ops.commands[s.cmd], Class: classOf[st.scan.Kind], Primary: true}
	s.place(c)
	if stop := s.r.rt.Begin(c); stop != nil {
		st.fault = stop.Fault
		c.Now = clock.Now()
		s.r.rt.End(c)
		return s.skip()
	}
	ep, fault := s.r.rt.Route(c)
	if fault == nil {
		st.long = true
		s.pin(pinLong, "long data of a statement")
		fault = s.attempt(ep)
	}
	c.Now, c.Retry = clock.Now(), resources.RetryNever
	if fault != nil {
		c.Fault, c.Outcome, st.fault = fault, resources.OutcomeOf(fault), fault
	}
	s.r.rt.End(c)
	return !s.over
}

// rememberTypes keeps the types of a statement's parameters: clients send them once, connections need them once each.
func (s *session) rememberTypes(st *stmt, payload []byte) error {
	switch {
	case st.params == 0:
		return nil
	case s.cmd == mysql.ComStmtBulkExecute:
		e, err := mysql.ParseBulkExecute(payload, st.params)
		if err == nil && e.TypesEnd > e.Types {
			st.types = append(st.types[:0], payload[e.Types:e.TypesEnd]...)
		}
		return err
	case s.cmd != mysql.ComStmtExecute:
		return nil
	}
	e, err := mysql.ParseExecute(payload, st.params, s.class.caps)
	if err != nil {
		return err
	}
	if e.NewTypes {
		st.types = append(st.types[:0], payload[e.Types:e.TypesEnd]...)
	}
	return nil
}

// withTypes puts the statement's number on this connection into the command, and the types of its parameters, which the
// connection has not seen.
func (s *session) withTypes(st *stmt, id uint32) error {
	payload := s.req[mysql.HeaderLen:]
	mysql.PutStmtID(payload, id)
	at, told := 0, false
	if s.cmd == mysql.ComStmtBulkExecute {
		e, err := mysql.ParseBulkExecute(payload, st.params)
		if err != nil {
			return err
		}
		told = e.TypesEnd > e.Types
	} else {
		e, err := mysql.ParseExecute(payload, st.params, s.class.caps)
		if err != nil {
			return err
		}
		at, told = e.Types, e.NewTypes
	}
	if told || len(st.types) == 0 {
		return nil
	}
	size, _ := mysql.Header(s.req)
	large := !s.rest.Done() && size+len(st.types) >= mysql.MaxPayload
	if !large {
		size += len(st.types)
	}
	body := mysql.AppendHeader(nil, size, 0)
	if s.cmd == mysql.ComStmtBulkExecute {
		body = mysql.AppendBulkWithTypes(body, payload, st.types)
	} else {
		body = mysql.AppendExecuteWithTypes(body, payload, at, st.types)
	}
	if large {
		frames := &mysql.Reframer{Extra: len(st.types)}
		begin, err := frames.Append(nil, body)
		if err != nil {
			return moreFrames(err)
		}
		s.frames, body = frames, begin
	}
	s.req = body
	return nil
}

// moreFrames makes an error of [mysql.Reframer] one that says that nothing was executed: a server waits for the end.
func moreFrames(err error) error {
	if err != nil {
		return errPrelude{fmt.Errorf("the types of its parameters, which this server has not seen, are put into the command: %w", err)}
	}
	return nil
}
