package mysql

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
)

// In the profile tunnel a client has a connection of its own from its first command on, made with exactly its capabilities
// and without the settings that the agent needs where connections are shared. Commands pass the filters, and go to that
// connection and come back as they are: statement ids, session state and warnings are the server's. What the agent still
// does itself is what it must: logins (the passwords are its own) and KILL (the connection ids of the greetings are).
//
// Where a session of the profile pooled sends something that only the server understands it becomes as much as a tunnel:
// it keeps its connection until its end, and nobody gets that connection after it.

// tunnel reports whether each client has a connection of its own.
func (r *Resource) tunnel() bool { return r.set.Profile == profileTunnel }

// passed are the capabilities of clients with which connections to servers are made.
func (r *Resource) passed() mysql.Caps {
	if r.tunnel() {
		return passedOn | mysql.ClientSessionTrack
	}
	return passedOn &^ mysql.MariaDBCacheMetadata
}

// wanted is what the agent wants of a server beside what its client can do.
func (r *Resource) wanted() mysql.Caps {
	if r.tunnel() {
		return wantedCaps &^ mysql.ClientSessionTrack
	}
	return wantedCaps
}

// tunnelled executes a command of a session whose profile is tunnel.
func (s *session) tunnelled() bool {
	switch s.cmd {
	case mysql.ComQuit:
		return false
	case mysql.ComQuery:
		return s.query()
	case mysql.ComStmtPrepare:
		return s.prepare()
	case mysql.ComStmtExecute, mysql.ComStmtBulkExecute:
		return s.tunnelExecute()
	case mysql.ComStmtSendLongData:
		if st := s.ownStmt(); st != nil {
			return s.longData(st)
		}
		return s.unanswered()
	case mysql.ComStmtClose:
		if st := s.ownStmt(); st != nil {
			delete(s.stmts, st.id)
			s.unpin()
		}
		return s.unanswered()
	case mysql.ComStmtReset:
		if st := s.ownStmt(); st != nil {
			st.long, st.fault = false, nil
			s.unpin()
		}
	case mysql.ComChangeUser:
		return s.changeUser()
	case mysql.ComResetConnection:
		return s.tunnelReset()
	case mysql.ComSetOption:
		return s.setOption()
	case mysql.ComProcessKill:
		return s.processKill()
	}
	return s.whatever()
}

// enterTunnel gives the session the connection by which its database was found. Not every server may be what a session
// stays at.
func (s *session) enterTunnel(u *upstream) {
	if s.r.rt.Choose(true) == nil {
		u.quit()
		return
	}
	s.pin(pinPaired, "one connection for each client")
	s.keep(u)
	s.r.rt.Pinned(s.rs, s.tied(u))
}

// ownStmt returns what is known of the statement that the command names by the server's number of it; nil: nothing.
func (s *session) ownStmt() *stmt {
	id, ok := mysql.StmtID(s.req[mysql.HeaderLen:])
	if !ok {
		return nil
	}
	if id == mysql.LastPrepared {
		return s.preparing
	}
	return s.stmts[id]
}

// tunnelPrepared takes note of the number that the server gave a statement.
func (s *session) tunnelPrepared(st *stmt, id uint32) {
	if s.stmts == nil {
		s.stmts = map[uint32]*stmt{}
	}
	st.id = id
	s.stmts[id] = st
}

// tunnelExecute executes a prepared statement, as the operation that its text is.
func (s *session) tunnelExecute() bool {
	st := s.ownStmt()
	if st == nil {
		return s.whatever()
	}
	if f := st.fault; f != nil { // of its long data, which has no answer of its own
		st.fault = nil
		s.fault(f)
		return s.skip() && !f.Close
	}
	s.scan, s.digest, s.text = st.scan, st.digest, st.text
	ok := s.govern(st.digest.opOf(s.r))
	if st.long {
		st.long = false
		s.unpin()
	}
	return ok
}

// tunnelReset executes COM_RESET_CONNECTION where the session's state is.
func (s *session) tunnelReset() bool {
	if s.up == nil {
		return s.local(s.r.ops.commands[s.cmd], func() bool { return s.ok(1) })
	}
	ok := s.govern(s.r.ops.commands[s.cmd])
	if ok && !s.serverErr && s.call.Fault == nil {
		s.stmts, s.preparing = nil, nil
		s.unpin()
	}
	return ok
}

// unanswered passes a command on that has no answer, not even when there is nobody to pass it to.
func (s *session) unanswered() bool {
	u := s.up
	if u == nil {
		return s.skip()
	}
	if err := u.write(s.req); err != nil {
		return false
	}
	return s.rest.Done() || s.upload(u) == nil
}

// alone executes a command that means something between this client and one server only, and gives the session that
// connection for good.
func (s *session) alone() bool {
	s.pin(pinUnknown, s.cmd.String())
	ok := s.whatever()
	if u := s.up; u != nil {
		u.alone = true
	}
	return ok
}

// whatever executes a command of which only the frame is known.
func (s *session) whatever() bool { return s.govern(s.r.ops.commands[s.cmd]) }

// followed reports whether a command's reply has an end that can be told from its packets.
func followed(cmd mysql.Command) bool {
	switch cmd {
	case mysql.ComQuery, mysql.ComInitDB, mysql.ComFieldList, mysql.ComCreateDB, mysql.ComDropDB, mysql.ComRefresh,
		mysql.ComShutdown, mysql.ComStatistics, mysql.ComProcessInfo, mysql.ComProcessKill, mysql.ComDebug, mysql.ComPing,
		mysql.ComRegisterSlave, mysql.ComStmtPrepare, mysql.ComStmtExecute, mysql.ComStmtSendLongData, mysql.ComStmtClose,
		mysql.ComStmtReset, mysql.ComSetOption, mysql.ComStmtFetch, mysql.ComResetConnection, mysql.ComStmtBulkExecute:
		return true
	}
	return false
}

// errStreamed ends a session that was passed on byte by byte until one side hung up.
var errStreamed = errors.New("the stream ended")

// stream passes the reply to a command on of which nobody knows where it ends. An error, or an OK where that ends it, is an
// ordinary reply, and the session goes on. Everything else is the beginning of a conversation that only the two sides
// understand: from there on bytes are passed on in both directions, until one of them hangs up.
func (s *session) stream(u *upstream) error {
	if err := u.need(mysql.HeaderLen, bufferSize); err != nil {
		return err
	}
	if s.call.Stages != nil {
		s.arrives(u)
	}
	n, _ := mysql.Header(u.buffered())
	n += mysql.HeaderLen
	if n > mysql.HeaderLen && n <= bufferSize {
		if err := u.need(n, bufferSize); err != nil {
			return err
		}
		first := u.buffered()[mysql.HeaderLen]
		if len(u.buffered()) == n && (first == 0xff || first == 0 && !s.cmd.Endless()) {
			s.serverErr = first == 0xff
			return s.pass(u, n)
		}
	}
	return s.splice(u)
}

// splice connects the two sides until one of them ends.
func (s *session) splice(u *upstream) error {
	s.call.Sent = resources.SentAnswered
	s.client.use(s.size) // the command, which was sent
	s.req, s.text, s.size = nil, nil, 0
	s.enter(phaseStream)
	s.aside(func() { s.pumpBoth(u) })
	return errStreamed
}

// pumpBoth passes on in both directions what comes. It blocks.
func (s *session) pumpBoth(u *upstream) {
	if s.client.surface() != nil || u.surface() != nil {
		return
	}
	over := func() {
		s.client.cut(false)
		u.cut(false)
	}
	var up sync.WaitGroup
	up.Go(func() {
		pump(u.nc, &s.client)
		over()
	})
	pump(s.client.nc, &u.wire)
	over()
	up.Wait()
}

// pump passes on what from has read already, and then what comes. It waits for to before it reads more.
func pump(to net.Conn, from *wire) {
	if b := from.buffered(); len(b) > 0 {
		_, err := to.Write(b)
		from.use(len(b))
		if err != nil {
			return
		}
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		n, err := from.nc.Read(*buf)
		if n > 0 {
			if _, err := to.Write((*buf)[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// quit closes a connection that nobody else may use, and tells the server that this is no accident.
func (u *upstream) quit() {
	u.deadline(time.Now().Add(recoverWithin))
	_ = u.write(appendCommand(nil, mysql.ComQuit, ""))
	u.discard()
}

// local executes a command that the agent answers by itself. It passes the filters and is counted as any other.
func (s *session) local(op resources.OpID, answer func() bool) bool {
	c := &s.call
	*c = resources.Call{
		Session: s.rs, View: s, Start: s.start, Op: op, Class: s.r.rt.Ops().Info(op).Class, Retry: resources.RetryNever,
		ReqBytes: int64(len(s.req)),
	}
	if stop := s.begin(c); stop != nil {
		return s.stopped(stop)
	}
	ok := answer()
	c.Now = clock.Now()
	s.r.rt.End(c)
	return ok
}
