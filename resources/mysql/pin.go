package mysql

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/protocols/sql"
	"github.com/sluice-mesh/sluice/resources"
)

// pin is a reason that ties a session to its connection until the session is reset. Transactions, locked tables and
// characteristics of the next transaction are no pins: the server says with each reply whether they are over.
type pin uint8

const (
	pinState   pin = 1 << iota // user variables, temporary tables, text PREPARE, and whatever else the tracker only hints at
	pinLock                    // user locks
	pinGlobal                  // FLUSH TABLES WITH READ LOCK and its like
	pinHandler                 // HANDLER ... OPEN
	pinCursor                  // a cursor is open
	pinLong                    // long data was sent for a statement that is not executed yet
	pinUnknown                 // a command or a statement whose effect is unknown
	pinPaired                  // the profile is tunnel, or the server does not report changes of the session
)

// pin ties the session to the connection that executes its command.
func (s *session) pin(p pin, why string) {
	if s.pins&p != 0 {
		return
	}
	s.pins |= p
	reason := why + ", " + s.cmd.String()
	if d := s.digest; d != nil {
		d.pins.Add(1)
		reason = fmt.Sprintf("%s, %s %016x", why, d.verb, s.scan.Digest)
	}
	s.reason = &reason
}

// What people are told of ties that are no pins: they come and go with every transaction.
var (
	whyTxn  = "an open transaction"
	whyNext = "SET TRANSACTION, for the next transaction"
	whyLock = "LOCK TABLES"
)

// why returns what people are told of the ties.
func (s *session) why(u *upstream) *string {
	switch {
	case s.pins != 0:
		return s.reason
	case u.locked:
		return &whyLock
	case u.status.Has(mysql.StatusInTrans):
		return &whyTxn
	}
	return &whyNext
}

// flagged pins for what a statement does that the server's tracker does not report.
func (s *session) flagged(f sql.Flags) {
	switch {
	case f&(sql.AssignsVar) != 0:
		s.pin(pinState, "a user variable was assigned")
	case f&sql.UserVar != 0 && s.scan.Verb == sql.VerbSet:
		s.pin(pinState, "a user variable was assigned")
	}
	if f&sql.TempTable != 0 {
		s.pin(pinState, "a temporary table")
	}
	if f&sql.TextPrepare != 0 {
		s.pin(pinState, "PREPARE in SQL")
	}
	switch {
	case f&sql.ReleasesLocks != 0:
		s.pins &^= pinLock
	case f&sql.UserLock != 0:
		s.pin(pinLock, "a user lock")
	}
	if f&sql.Sequence != 0 {
		s.pin(pinState, "a sequence, whose last value the connection remembers")
	}
	if f&sql.Call != 0 {
		s.pin(pinUnknown, "a procedure, which may do what no server reports")
	}
	if name := s.alien(); name != "" {
		s.pin(pinUnknown, "the function "+name+", which may do what no server reports")
	}
	if f&sql.GlobalReadLock != 0 {
		s.pin(pinGlobal, "a global read lock")
	}
	if f&sql.Handler != 0 {
		s.pin(pinHandler, "HANDLER")
	}
	if f&sql.SetTracker != 0 {
		s.pin(pinState, "the session tracker's own variables")
	}
	if f&sql.SetLogBin != 0 {
		s.pin(pinState, "sql_log_bin")
	}
	if f&sql.Broken != 0 {
		s.pin(pinUnknown, "a statement that could not be read to its end")
	}
	if s.pins&pinGlobal != 0 && s.scan.Verb == sql.VerbUnlock {
		s.pins &^= pinGlobal
	}
}

// tied returns the pins as the runtime shows them, with those that follow from the connection's own state.
func (s *session) tied(u *upstream) resources.Pin {
	var p resources.Pin
	if u.status.Has(mysql.StatusInTrans) || u.oneShot {
		p |= resources.PinTxn
	}
	if u.locked || s.pins&(pinState|pinLock|pinGlobal|pinHandler) != 0 {
		p |= resources.PinState
	}
	if s.pins&pinCursor != 0 {
		p |= resources.PinCursor
	}
	if s.pins&pinLong != 0 {
		p |= resources.PinPrepared
	}
	if s.pins&pinUnknown != 0 {
		p |= resources.PinUnknown
	}
	if s.pins&pinPaired != 0 {
		p |= resources.PinPaired
	}
	return p
}

// settle decides, after a command, whether the session keeps its connection.
func (s *session) settle(u *upstream) {
	if !u.tracked || s.r.set.Profile == profileTunnel {
		s.pin(pinPaired, "one connection for each client")
	}
	tied := s.tied(u)
	if u.untold && tied&^resources.PinTxn == 0 && !u.status.Has(mysql.StatusInTrans) && !u.killed {
		if err := s.inquire(u); err != nil {
			s.drop(u)
			return
		}
		tied = s.tied(u)
	}
	if tied == 0 && s.collation && !u.killed {
		if err := s.askCollation(u); err != nil {
			s.drop(u)
			return
		}
	}
	if tied != 0 && (s.pins == 0 || s.told != s.reason) {
		s.told = s.why(u)
		s.rs.SetPinReason(s.told)
	}
	if tied != s.rs.Pins() {
		s.r.rt.Pinned(s.rs, tied)
	}
	if tied != 0 {
		s.keep(u)
		if s.unsure && tied == resources.PinTxn && !u.p.hold(s) {
			s.aside(s.carry) // others wait, maybe for nothing
		}
		return
	}
	s.up, s.unsure = nil, false
	if u.killed {
		s.drop(u)
		return
	}
	s.last = u
	s.part(u)
}

// keep ties u to the session.
func (s *session) keep(u *upstream) {
	if s.held == u {
		s.held = nil
	}
	s.up, u.idleSince = u, clock.Now()
}

// releases reports whether the statement ends its transaction and the session: COMMIT RELEASE, or any COMMIT where
// completion_type says so.
func (s *session) releases() bool {
	if v := s.scan.Verb; v != sql.VerbCommit && v != sql.VerbRollback || s.digest == nil || s.scan.Flags.Has(sql.Multi) {
		return false
	}
	switch text := s.digest.text; {
	case strings.HasSuffix(text, " no release"), strings.HasPrefix(text, "rollback to "), strings.HasPrefix(text, "rollback work to "):
		return false
	case strings.HasSuffix(text, " release"):
		return true
	case strings.HasSuffix(text, " chain"):
		return false
	}
	kind, _ := s.vars.get("completion_type")
	return kind == "RELEASE" && !s.status.Has(mysql.StatusMoreResults)
}

// recoverWithin is how long a server may take to reset a connection that its session left behind in some state.
const recoverWithin = 2 * time.Second

// recover makes a connection clean whose session ended or lost it, so that transactions are rolled back and locks released
// at once, and gives it back; what cannot be cleaned is closed, which has the same effect.
func (u *upstream) recover() {
	u.owner, u.user = nil, nil
	if u.alone || u.p.r.tunnel() {
		u.quit()
		return
	}
	u.deadline(time.Now().Add(recoverWithin))
	u.out = appendCommand(u.out[:0], mysql.ComResetConnection, "")
	u.out = appendCommand(u.out, mysql.ComQuery, u.afterReset(false))
	err := u.write(u.out)
	for range 2 {
		if err == nil {
			err = u.okReply()
		}
	}
	if err != nil {
		u.discard()
		return
	}
	u.deadline(time.Time{})
	u.fresh()
	u.p.put(u)
}

// fresh notes that the connection was reset. The database stays, prepared statements do not.
func (u *upstream) fresh() {
	u.vars, u.oneShot, u.locked, u.dirty, u.dbStale, u.taint = nil, false, false, false, true, nil
	u.untold = false
	u.owner, u.warnOf, u.warned, u.insertID, u.idUnknown = nil, nil, false, 0, false
	clear(u.stmts)
	u.head, u.tail = nil, nil
	u.drop = u.drop[:0]
}
