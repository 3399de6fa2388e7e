package mysql

import (
	"bytes"
	"strings"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/protocols/sql"
	"github.com/sluice-mesh/sluice/resources"
)

// Errors that say something about the server and not about the statement. The next check would find it out too; the error
// tells it at once.

// readOnly reports whether a server refused a statement because it does not take writes. The number 1290 is that of any
// option that forbids a statement, --skip-grant-tables too.
func readOnly(se *mysql.ServerError) bool {
	switch se.Code {
	case 1290:
		return bytes.Contains(se.Message, []byte("read-only")) || bytes.Contains(se.Message, []byte("read_only"))
	case 1836:
		return true
	}
	return false
}

// unprepared reports whether a node of a Galera cluster refused a statement because it is cut off, or not synchronised. The
// number is that of an unknown command.
func unprepared(se *mysql.ServerError) bool {
	return se.Code == 1047 && bytes.Contains(se.Message, []byte("WSREP"))
}

// codes reacts to errors that say something about the server.
func (s *session) codes(u *upstream, se *mysql.ServerError) {
	k := &u.p.known
	switch {
	case readOnly(se):
		if resources.Role(k.role.Swap(uint32(resources.RoleReplica))) != resources.RoleReplica {
			s.r.rt.Report(u.ep(), resources.Health{Ready: true, Role: resources.RoleReplica, Version: u.version,
				Detail: "it refuses writes: " + string(se.Message)})
			s.r.recheck(u.ep().GroupID)
		}
		// Tied to it by what only it knows, the session could never write again. It ends with the server's answer.
		if s.up == u && !u.status.Has(mysql.StatusInTrans) {
			s.over = true
		}
	case unprepared(se), se.Code == 1053, se.Code == 1077, se.Code == 1079: // it shuts down
		if k.state.Swap(fitDead) != fitDead {
			s.r.rt.Report(u.ep(), resources.Health{Detail: se.Error()})
			s.r.recheck(u.ep().GroupID)
		}
	case se.Code == 3100, se.Code == 3101: // group replication: it is no member any more, or the group lost its majority
		s.r.recheck(u.ep().GroupID)
	}
}

// What the session's transaction has executed.
const (
	begunNot   uint8 = iota // there is none, or something was executed in it
	begunNow                // the last command was its BEGIN
	begunFirst              // this command is its first one
)

// noteBegin keeps track of transactions in which nothing was executed yet: these may begin anew elsewhere.
func (s *session) noteBegin() {
	if ending := s.scan.Verb == sql.VerbCommit || s.scan.Verb == sql.VerbRollback; ending != s.ending.Load() {
		s.ending.Store(ending)
	}
	switch {
	case s.cmd == mysql.ComStmtPrepare:
	case s.scan.Verb == sql.VerbBegin && s.cmd == mysql.ComQuery && s.up == nil && s.digest != nil && plainBegin(s.digest.text):
		s.begun = begunNow
	case s.begun == begunNow:
		s.begun = begunFirst
	default:
		s.begun = begunNot
	}
}

func plainBegin(text string) bool {
	return strings.EqualFold(text, "begin") || strings.EqualFold(text, "start transaction")
}

// once are the flags of statements that cannot be said to have done nothing when they end with an error, or that leave
// something behind.
const once = sql.Call | sql.Multi | sql.Compound | sql.Broken | sql.AssignsVar | sql.UserVar | sql.TempTable | sql.UserLock |
	sql.TextPrepare | sql.IntoFile | sql.LoadLocal | sql.Handler | sql.GlobalReadLock

// misplaced reports whether an error means that the server executed nothing of the command because it does not take
// writes, so that the primary may be asked instead. That is so for one statement that is a transaction of its own, or the
// first of one, and that the server refused as a whole; its answer is kept.
func (s *session) misplaced(u *upstream, se *mysql.ServerError) bool {
	if !readOnly(se) && !unprepared(se) || s.cmd != mysql.ComQuery && s.cmd != mysql.ComStmtExecute {
		return false
	}
	if s.r.tunnel() { // what it said to this server before, nobody else knows
		return false
	}
	if s.scan.Flags&once != 0 || s.passed() || s.call.Sent == resources.SentAnswered {
		return false
	}
	switch s.scan.Verb {
	case sql.VerbInsert, sql.VerbReplace, sql.VerbUpdate, sql.VerbDelete:
	case sql.VerbSelect:
		if s.call.Class != resources.ClassRead || s.up != nil {
			return false
		}
	default:
		return false
	}
	switch {
	case s.up == nil && !s.call.Pinned:
		if !s.status.Has(mysql.StatusAutocommit) || s.status.Has(mysql.StatusInTrans) {
			return false
		}
	case s.up == u && s.begun == begunFirst && s.pins == 0 && s.tied(u) == resources.PinTxn && s.r.set.Hold > 0:
	default:
		return false
	}
	s.refusal = se.Clone()
	return true
}
