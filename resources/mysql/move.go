package mysql

import (
	"errors"
	"strconv"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/protocols/sql"
	"github.com/sluice-mesh/sluice/resources"
)

// A session moves: its next statement is executed on a connection that others have used. What makes the connection the
// session's own goes in front of the statement, in one write:
//
//	COM_RESET_CONNECTION   if others left variables there
//	COM_INIT_DB            if another database is chosen there, and after each reset, which forgets its character set
//	SET ...                the trackers after a reset, and the session's variables
//	SET last_insert_id     if the statement may read it, or might seem to make one
//	BEGIN                  if a transaction begins anew, see hold.go

// moved is a part of what goes in front of a statement.
type moved uint8

const (
	movedReset moved = iota
	movedDB
	movedVars
	movedInsertID
	movedBegin
)

// moves are the parts of a prelude that a statement needs.
type moves struct {
	dbFirst  bool // in front of the reset
	reset    bool
	db       bool
	vars     bool
	insertID bool
	begin    bool
}

// untied returns a connection to ep for a session that is tied to none.
func (s *session) untied(ep *resources.Endpoint) (*upstream, *resources.Fault) {
	if h := s.held; h != nil && (h.ep() != ep || h.class != s.class) && s.diag.insert && s.scan.Kind != sql.Read {
		s.aside(s.carry) // the new id must not hide the one there
		if s.up != nil {
			return s.up, nil
		}
	}
	if h := s.held; h != nil && h.ep() == ep && h.class == s.class {
		switch {
		case !h.usable():
			s.drop(h)
		case !s.resets(h):
			return h, nil
		default: // what it is held for would be reset, too
			s.aside(s.carry)
			if s.up != nil {
				return s.up, nil
			}
		}
	}
	if s.scan.Flags&asks != 0 {
		if u := s.source(ep); u != nil {
			return u, nil
		}
	}
	p := s.r.pool(ep)
	u, fault := p.take(s)
	if fault == nil && s.db == "" && u.db != "" { // no server can be told to leave a database
		u.end()
		return p.dialAside(s)
	}
	return u, fault
}

// recalls finds out how the command is answered on u, and reports whether it can be.
func (s *session) recalls(u *upstream) bool {
	s.instead, s.patched = nil, false
	return s.scan.Flags&asks == 0 || s.r.tunnel() || s.recall(u)
}

// recalled gives u back if it cannot answer what the statement asks for.
func (s *session) recalled(u *upstream) *resources.Fault {
	if s.recalls(u) {
		return nil
	}
	f := u.p.fault(resources.Unavailable, missing)
	if u != s.up && u != s.held {
		u.p.put(u)
	}
	return f
}

// resets reports whether the command is executed on u after a reset only.
func (s *session) resets(u *upstream) bool {
	if s.scan.Flags&sql.ReadsWarnings != 0 {
		s.lost(u) // a list of somebody else's is emptied by a reset
	}
	return s.moves(u).reset
}

// choosesDB reports whether the command chooses a database itself. Then it does not matter that the present one may be gone.
func (s *session) choosesDB() bool {
	return s.cmd == mysql.ComInitDB || s.cmd == mysql.ComQuery && s.scan.Verb == sql.VerbUse && !s.scan.Flags.Has(sql.Multi)
}

// moves says what must come before the command on u.
func (s *session) moves(u *upstream) (m moves) {
	same := u.vars.same(s.vars)
	m.reset = u.dirty || u.untold && s.up != u || u.taint != nil && u.taint != s || !same && u.vars != nil
	switch choose := s.db != "" && !s.choosesDB() && !(u == s.held && s.diagnoses()); {
	case choose && s.dbStale:
		m.dbFirst = u.db != s.db
		m.reset = m.reset || m.dbFirst || !u.dbStale
	case choose:
		m.db = m.reset || u.dbStale || u.db != s.db
	}
	m.vars = m.reset || !same
	m.insertID = s.needsInsertID(u, m.reset)
	m.begin = s.reopened
	return m
}

// prelude appends to u.out what makes u's state the session's, and notes its parts in u.pre.
func (s *session) prelude(u *upstream) {
	u.pre = u.pre[:0]
	m := s.moves(u)
	if m.dbFirst {
		s.movesTo(u)
	}
	if m.reset {
		u.out = appendCommand(u.out, mysql.ComResetConnection, "")
		u.fresh()
		u.pre = append(u.pre, movedReset)
	}
	if m.db {
		s.movesTo(u)
	}
	if m.vars {
		at := len(u.out)
		u.out = appendCommand(u.out, mysql.ComQuery, "SET ")
		if m.reset {
			u.out = append(u.out[:len(u.out)-len("SET ")], u.afterReset(s.wasReset)...)
			if s.vars != nil {
				u.out = append(u.out, ',')
			}
		}
		u.out = s.vars.append(u.out)
		patchLength(u.out[at:])
		u.pre = append(u.pre, movedVars)
	}
	if m.insertID {
		u.out = appendSetInsertID(u.out, s.diag.insertID)
		u.pre = append(u.pre, movedInsertID)
	}
	if m.begin {
		u.out = appendCommand(u.out, mysql.ComQuery, "BEGIN")
		u.pre = append(u.pre, movedBegin)
	}
	if len(u.pre) > 0 {
		u.owner = nil // ROW_COUNT() is that of the prelude now
	}
}

// movesTo adds that u gets the session's database.
func (s *session) movesTo(u *upstream) {
	u.out = appendCommand(u.out, mysql.ComInitDB, s.db)
	u.pre = append(u.pre, movedDB)
}

// afterReset is the statement that a connection needs after each reset. asReset says that the client knows of the reset:
// it has asked for one itself.
func (u *upstream) afterReset(asReset bool) string {
	if u.caps.Has(mysql.ClientInteractive) && !asReset { // what a login makes of it, and a reset does not
		return u.trackers() + ",@@SESSION.wait_timeout=@@SESSION.interactive_timeout"
	}
	return u.trackers()
}

// patchLength corrects the length in the header of the packet that b is.
func patchLength(b []byte) {
	n := len(b) - mysql.HeaderLen
	b[0], b[1], b[2] = byte(n), byte(n>>8), byte(n>>16)
}

func appendSetInsertID(dst []byte, id uint64) []byte {
	at := len(dst)
	dst = appendCommand(dst, mysql.ComQuery, setInsertID)
	dst = strconv.AppendUint(dst, id, 10)
	patchLength(dst[at:])
	return dst
}

// errPrelude is a server's refusal of what came before a command.
type errPrelude struct{ err error }

func (e errPrelude) Error() string { return "the session could not be moved: " + e.err.Error() }

// errRefused is a server's refusal that the client gets to hear as it is: its database is gone, or a table of a statement
// that it had prepared. The command itself was not executed.
type errRefused struct {
	err  *mysql.ServerError
	sent bool // the command was, and its reply must not be looked at
}

func (e errRefused) Error() string { return e.err.Error() }

// agree reads the replies to the prelude. After a refusal the connection is what it was, as far as the replies say; but a
// command that was sent with it, which only reads, was executed in some other state.
func (s *session) agree(u *upstream) error {
	var refused error
	for _, m := range u.pre {
		err := u.okReply()
		var se *mysql.ServerError
		switch {
		case err == nil:
			s.movedOn(u, m)
		case !errors.As(err, &se):
			return err
		case m == movedDB && refused == nil:
			refused = errRefused{err: se.Clone(), sent: s.call.Sent != resources.SentNothing}
		default:
			return errPrelude{se.Clone()}
		}
	}
	u.pre = u.pre[:0]
	return refused
}

// movedOn notes that a part of the prelude was executed.
func (s *session) movedOn(u *upstream, m moved) {
	switch m {
	case movedReset:
		u.dirty = false
	case movedDB:
		u.db, u.dbStale = s.db, s.dbStale
	case movedVars:
		u.vars = s.vars
	case movedInsertID:
		u.insertID, u.idUnknown = s.diag.insertID, false
	}
}

// refused tells the client what the server said to the prelude.
func (s *session) refusedBy(u *upstream, e errRefused) *resources.Fault {
	c, d := &s.call, &s.diag
	d.recent, d.rows, d.rowsAt, d.pending, d.warnAt, d.warnings = false, -1, nil, true, nil, nil
	if e.sent {
		s.drop(u)
	} else { // on u there is this error, and nothing else
		s.warned(u, true)
		d.recent = true
		s.settle(u)
	}
	if s.skipRest() != nil {
		s.over = true
		return nil
	}
	c.Outcome, c.Sent = resources.OutcomeError, resources.SentAnswered
	s.phase.Store(phaseSend)
	s.refuse(1, e.err.Code, string(e.err.State[:]), string(e.err.Message))
	return nil
}

// answer answers the command with a reply that was fetched before.
func (s *session) answer(u *upstream, reply []byte) error {
	d := &s.diag
	s.call.Sent = resources.SentAnswered
	s.call.RespBytes += int64(len(reply))
	d.rows, d.rowsAt = -1, nil
	if !s.keepsFound() {
		d.foundAt, d.hasFound = nil, false
	}
	u.owner = nil
	s.phase.Store(phaseSend)
	err := s.client.write(reply)
	s.phase.Store(phaseRun)
	if err != nil {
		return clientError{err}
	}
	return nil
}

// relayPatched passes the reply on with s.patch as the only value of its only row: the statement asks for nothing but what
// the agent knows, and u does not.
func (s *session) relayPatched(u *upstream) error {
	reply, err := u.gather(s, true)
	if err != nil {
		return err
	}
	if s.call.Stages != nil {
		s.call.Stages.Arrives(clock.Now())
	}
	out, row := make([]byte, 0, len(reply)+20), 2
	if !u.caps.Has(mysql.ClientDeprecateEOF) {
		row++
	}
	for i := 0; len(reply) >= mysql.HeaderLen; i++ {
		n, seq := mysql.Header(reply)
		payload := reply[mysql.HeaderLen : mysql.HeaderLen+n]
		if reply = reply[mysql.HeaderLen+n:]; i == row && payload[0] != 0xfe && payload[0] != 0xff {
			payload = s.patchedRow()
		}
		out, _ = mysql.AppendPacket(out, seq, payload)
	}
	s.call.Sent = resources.SentAnswered
	s.call.RespBytes += int64(len(out))
	s.phase.Store(phaseSend)
	err = s.client.write(out)
	s.phase.Store(phaseRun)
	if err != nil {
		return clientError{err}
	}
	return nil
}

func (s *session) patchedRow() []byte {
	if s.cmd != mysql.ComQuery {
		row := []byte{0, 0}
		for i := range 8 {
			row = append(row, byte(uint64(s.patch)>>(8*i)))
		}
		return row
	}
	return mysql.AppendLenencString(nil, strconv.FormatInt(s.patch, 10))
}

// gather reads a reply whole, and shortens it as the client needs it. With note, what it says about the session is noted.
func (u *upstream) gather(s *session, note bool) ([]byte, error) {
	s.reply.Start(mysql.ComQuery, u.caps) // COM_STMT_EXECUTE has the same form
	var all []byte
	for !s.reply.Done() {
		n, step, err := s.reply.Next(u.buffered())
		if err != nil {
			return nil, s.mismatch(u, err)
		}
		if step == mysql.NeedMore {
			if err := u.fill(maxWarnings); err != nil {
				return nil, err
			}
			continue
		}
		if len(all)+n > maxWarnings {
			return nil, errTooLong
		}
		m := n
		switch {
		case step != mysql.Terminal && step != mysql.Middle:
		case note:
			if m, _, err = s.terminal(u, u.buffered()[:n], step); err != nil {
				return nil, err
			}
		case u.caps.Has(mysql.ClientDeprecateEOF) && step == mysql.Terminal && u.buffered()[mysql.HeaderLen] == 0xfe:
			ok, err := mysql.ParseOK(u.buffered()[mysql.HeaderLen:n], u.caps)
			if err != nil {
				return nil, err
			}
			ok.Track, ok.Status = nil, ok.Status&^mysql.StatusSessionStateChanged
			all = mysql.AppendOK(all, u.buffered()[3], 0xfe, &ok, s.caps)
			m = 0
		}
		all = append(all, u.buffered()[:m]...)
		u.use(n)
	}
	return all, nil
}

// maxWarnings bounds what is kept of replies. Servers keep 64 warnings.
const maxWarnings = 64 << 10

// capture returns the whole reply to a query of the agent's own, as the client would get it.
func (s *session) capture(u *upstream, query string) ([]byte, error) {
	u.out = appendCommand(u.out[:0], mysql.ComQuery, query)
	if err := u.write(u.out); err != nil {
		return nil, err
	}
	return u.gather(s, false)
}
