package mysql

import (
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/protocols/sql"
	"github.com/sluice-mesh/sluice/resources"
)

// command executes one command. It returns false when the session ends.
func (s *session) command() bool {
	defer s.done()
	s.start = clock.Now()
	s.scan, s.stmt, s.digest, s.text = sql.Statement{}, nil, nil, nil
	if s.zip != nil {
		s.zip.began()
	}
	if s.r.tunnel() {
		return s.tunnelled()
	}
	switch s.cmd {
	case mysql.ComQuit:
		return false
	case mysql.ComQuery:
		return s.query()
	case mysql.ComStmtPrepare:
		return s.prepare()
	case mysql.ComStmtExecute, mysql.ComStmtBulkExecute, mysql.ComStmtFetch, mysql.ComStmtReset,
		mysql.ComStmtSendLongData, mysql.ComStmtClose:
		return s.prepared()
	case mysql.ComInitDB, mysql.ComFieldList, mysql.ComStatistics, mysql.ComPing:
		return s.govern(s.r.ops.commands[s.cmd])
	case mysql.ComResetConnection:
		return s.resetConnection()
	case mysql.ComChangeUser:
		return s.changeUser()
	case mysql.ComSetOption:
		return s.setOption()
	case mysql.ComProcessKill:
		return s.processKill()
	case mysql.ComProcessInfo, mysql.ComRefresh, mysql.ComDebug, mysql.ComShutdown:
		return s.govern(s.r.ops.commands[s.cmd])
	}
	// Whatever else there is means something between this client and one server: from here on they are alone.
	return s.alone()
}

// query executes the statement or statements of a COM_QUERY.
func (s *session) query() bool {
	_, text, err := mysql.ParseQuery(s.req[mysql.HeaderLen:], s.class.caps)
	if err != nil {
		return s.malformed()
	}
	s.text = text
	sql.Scan(text, s.dialect(), &s.scan)
	if !s.rest.Done() {
		s.scan.Flags |= sql.Broken // its end was not seen
		s.scan.Kind = strictest(s.scan.Kind)
	}
	s.digest = s.r.digests.find(&s.scan, text, s.dialect())
	if s.scan.Flags&sql.Kill != 0 && s.scan.KillID != 0 {
		if done, ok := s.killText(); done {
			return ok
		}
	}
	if s.scan.Flags&sql.LoadLocal != 0 && !s.r.set.LocalInfile {
		s.fail(1148, "42000", "sluice: "+s.r.rt.Name()+": LOAD DATA LOCAL is switched off (settings.local-infile)")
		return s.skip()
	}
	return s.govern(s.digest.opOf(s.r))
}

// strictest is what a statement counts as whose end is not known.
func strictest(k sql.Kind) sql.Kind {
	if k == sql.Read {
		return sql.Unknown
	}
	return k
}

// govern executes the command as a call: it passes the filters, gets an endpoint, is sent and answered, and is tried
// elsewhere where the rules of retries allow it. It returns false when the session ends.
func (s *session) govern(op resources.OpID) bool {
	c := &s.call
	info := s.r.rt.Ops().Info(op)
	class := info.Class
	if s.text != nil {
		class = classOf[s.scan.Kind]
	}
	*c = resources.Call{
		Session: s.rs, View: s, Start: s.start, Op: op, Class: class, Retry: retryOf(class),
		ReqBytes: int64(len(s.req)),
	}
	s.place(c)
	s.enter(phaseRun)
	stop := s.begin(c)
	if stop != nil {
		return s.stopped(stop)
	}
	s.delayed(c)
	s.ends.Store(c.Deadline)
	defer s.ends.Store(0)
	ep, fault := s.route(c)
	for waits := 0; ; {
		if fault == nil {
			fault = s.attempt(ep)
			if to, f, again := s.again(ep, fault, waits); again {
				ep, fault, waits = to, f, waits+1
				continue
			}
		}
		c.Now = clock.Now()
		if fault != nil {
			c.Fault, c.Outcome = fault, resources.OutcomeOf(fault)
		}
		if s.r.rt.End(c) == resources.Done {
			break
		}
		ep, fault = c.Endpoint, nil
	}
	s.count(c.Outcome)
	if c.Fault != nil {
		return s.failed(c)
	}
	return !s.over
}

// delayed holds the command back as a fault injection asks for.
func (s *session) delayed(c *resources.Call) {
	if c.Delay == 0 {
		return
	}
	s.aside(func() {
		t := time.NewTimer(time.Duration(c.Delay))
		defer t.Stop()
		select {
		case <-t.C:
		case <-s.r.ctx.Done():
		}
	})
}

// place says where the call must go: to the connection that the session is tied to, to the one that knows what the
// statement asks for, or to the primary.
func (s *session) place(c *resources.Call) {
	f := s.scan.Flags
	switch {
	case s.up == nil && (s.r.tunnel() || s.pins&pinUnknown != 0):
		c.Primary = true // and there it stays
	case s.up != nil:
		c.Pinned, c.Endpoint = true, s.up.ep()
		if s.status.Has(mysql.StatusInTrans) {
			c.Retry = resources.RetryNever
		}
	case f&asks != 0 && s.held != nil && (f&sql.ReadsInsertID != 0 && s.diag.insert || s.held == s.last):
		c.Pinned, c.Endpoint = true, s.held.ep()
	case f&asks != 0 && s.last != nil && !s.last.ep().Gone():
		c.Pinned, c.Endpoint = true, s.last.ep()
	}
	if !s.status.Has(mysql.StatusAutocommit) || f&(sql.LockingRead|sql.UserLock|sql.AssignsVar|sql.Sequence|sql.SetsInsertID|
		sql.CalcFoundRows|sql.Handler|sql.GlobalReadLock|sql.IntoFile|sql.Call|sql.TempTable) != 0 {
		c.Primary = true
	}
	if c.Class == resources.ClassRead && s.text != nil {
		s.hint(c)
	}
}

// hint applies a comment of the form /* sluice: primary */ in front of a read.
func (s *session) hint(c *resources.Call) {
	h := s.scan.Hint
	if h.Len == 0 {
		return
	}
	for k, v := range sql.Hints(h.Of(s.text)) {
		if string(k) == "primary" || string(k) == "reads" && string(v) == "primary" {
			c.Primary = true
		}
	}
}

// malformed ends a session whose client sent something that is no command.
func (s *session) malformed() bool {
	s.fail(1835, "HY000", "Malformed communication packet.")
	return false
}

// fail answers the command with an error; the session goes on.
func (s *session) fail(code uint16, state, text string) {
	s.enter(phaseSend)
	s.refuse(1, code, state, text)
}

// ok answers the command with an OK of the agent's own: for what changes nothing but the session.
func (s *session) ok(seq byte) bool {
	s.out = mysql.AppendOK(s.out[:0], seq, 0, &mysql.OK{Status: s.status}, s.caps)
	return s.client.write(s.out) == nil
}

// okDB answers a login with an OK that tells of the session's database, as servers do.
func (s *session) okDB(seq byte) bool {
	ok := mysql.OK{Status: s.status, Track: mysql.AppendTrack(nil, mysql.TrackSchema, "", s.db)}
	s.out = mysql.AppendOK(s.out[:0], seq, 0, &ok, s.caps)
	return s.client.write(s.out) == nil
}
