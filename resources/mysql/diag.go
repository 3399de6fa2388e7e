package mysql

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/protocols/sql"
)

// What a statement leaves behind on its connection, for the next statement of the same session to ask for: warnings, the
// row count, FOUND_ROWS() and LAST_INSERT_ID(). None of it is worth tying a session to a connection for ever, and none may
// be answered wrong. So the session holds the connection until its next statement, and longer when an insert id is on it;
// when others wait for a connection, or after holdFor, what can be carried over is fetched and the connection is let go.
//
//	LAST_INSERT_ID()   is set on the next connection, before a statement that asks for it
//	ROW_COUNT()        is known from each reply, FOUND_ROWS() and the counts of warnings are fetched: they are put into
//	                   the answer to a statement that asks for one of them and for nothing else
//	SHOW WARNINGS      and SHOW ERRORS are answered with what the server said when they were fetched
//
// A statement that asks for what is lost, or in a way that is not understood, is refused, never answered with something else.
type diag struct {
	insert   bool      // the newest insert id is on held, or where the session is tied, and not carried over yet
	unsure   bool      // ... unless LAST_INSERT_ID() is 0 there: then it still is insertID
	gone     bool      // the newest insert id went with a connection that was lost
	insertOn *upstream // where insert says it is
	insertID uint64    // what LAST_INSERT_ID() is, unless insert is set
	recent   bool      // the last statement left warnings or more behind where it was executed
	rows     int64     // what ROW_COUNT() is, or rowsUnknown
	pending  bool      // there may be warnings

	rowsAt  *upstream // knows ROW_COUNT(), if u.owner is the session still
	foundAt *upstream // knows FOUND_ROWS(), if u.foundOf is the session still
	warnAt  *upstream // knows the warnings, likewise

	// What was carried over.
	hasFound bool
	found    uint64
	warnings *carried // nil: not carried over
}

// carried are warnings that were fetched.
type carried struct {
	status       mysql.Status
	vars         *vars  // under which they were fetched: definitions name the character set of results
	all, errors  []byte // replies to SHOW WARNINGS and SHOW ERRORS
	count, fatal uint64 // how many warnings there are, and how many of them are errors
}

// rowsUnknown stands for a ROW_COUNT() that only the connection knows. The others are counts, or -1.
const rowsUnknown = -2

// newDiag is what a new session would be told.
func newDiag() diag { return diag{hasFound: true, found: 1} }

// holdFor is how long a session that is silent holds a connection for what its last statement left behind.
const holdFor = int64(200 * time.Millisecond)

// asks are the statements that read what another left behind.
const asks = sql.ReadsInsertID | sql.ReadsFoundRows | sql.ReadsRowCount | sql.ReadsWarnings

// inserts are the statements after which LAST_INSERT_ID() may be another even though the reply does not say so.
const inserts = sql.SetsInsertID | sql.Returning | sql.Call | sql.Compound | sql.TextPrepare

// of notes that u was asked something for s: what the last statement left behind there is overwritten.
func (u *upstream) of(*session) { u.owner, u.foundOf = nil, nil }

// left notes what a statement left behind on u. rows says that the result had rows.
func (s *session) left(u *upstream, ok *mysql.OK, rows bool) {
	d, f := &s.diag, s.scan.Flags
	u.owner, d.rowsAt = s, u
	switch get := f.Has(sql.ReadsWarnings) && f.Has(sql.AssignsVar); {
	case get && f.Has(sql.Multi): // whether GET DIAGNOSTICS was the last statement is not known
		d.rows = rowsUnknown
	case get && s.scan.Verb == sql.VerbGet: // leaves it as it is
	case rows:
		d.rows = -1
	default:
		d.rows = int64(ok.AffectedRows)
	}
	switch {
	case s.statement() && s.scan.Verb == sql.VerbSelect:
		d.foundAt, d.hasFound, u.foundOf = u, false, s
	case !(d.foundAt == u && u.foundOf == s) && !s.keepsFound():
		d.foundAt, d.hasFound = nil, false // it may have changed what was not here
	}
	s.listed(u, ok.Warnings > 0)
	if ok.InsertID != 0 || s.statement() && f.Has(inserts) {
		s.inserted(u)
	}
	d.recent = s.listOn(u) && d.pending || f.Has(sql.CalcFoundRows) || s.scan.Kind != sql.Read
}

// listOn reports whether the session's list of warnings is the one on u.
func (s *session) listOn(u *upstream) bool { return s.diag.warnAt == u && u.warnOf == s }

// listed notes what a command has done to the list of warnings. some says that it gave warnings itself.
func (s *session) listed(u *upstream, some bool) {
	d := &s.diag
	switch {
	case some || s.clears():
		s.warned(u, some)
	case !s.listOn(u) && !s.keepsList():
		d.warnAt, d.warnings = nil, nil // it may have emptied the list, which was not here
	}
}

// keepsList reports whether the command, which gave no warnings, certainly leaves the list of them as it is: it uses no
// table.
func (s *session) keepsList() bool {
	f := s.scan.Flags
	switch {
	case s.cmd == mysql.ComPing, s.cmd == mysql.ComInitDB:
		return true
	case !s.readWhole():
		return false
	case askedFor(s.digest.text) != 0, s.diagnoses():
		return true
	case !s.statement(), s.scan.NTables != 0, s.alien() != "",
		f.Has(sql.Multi | sql.ExecutableComment | sql.Broken | sql.Sequence | sql.Call | sql.TextPrepare | sql.Compound):
		return false
	}
	switch s.scan.Verb {
	case sql.VerbSelect:
		return !strings.Contains(s.digest.text, "from")
	case sql.VerbSet, sql.VerbDo, sql.VerbBegin, sql.VerbCommit, sql.VerbRollback, sql.VerbSavepoint, sql.VerbRelease, sql.VerbUse:
		return !strings.Contains(s.digest.text, "select")
	}
	return false
}

// diagnoses reports whether the statement shows the list of warnings, or counts it. It needs no database then, and changes
// nothing.
func (s *session) diagnoses() bool {
	if s.digest == nil || s.cmd != mysql.ComQuery || !s.scan.Flags.Has(sql.ReadsWarnings) || s.scan.Flags.Has(sql.Multi|sql.ExecutableComment|sql.Broken) {
		return false
	}
	text := s.digest.text
	return strings.HasPrefix(text, "show warnings") || strings.HasPrefix(text, "show errors") || askedFor(text) != 0
}

// statement reports whether the command executes SQL.
func (s *session) statement() bool {
	return s.cmd == mysql.ComQuery || s.cmd == mysql.ComStmtExecute || s.cmd == mysql.ComStmtBulkExecute
}

// readWhole reports whether the text of the statement's digest is there, up to its end.
func (s *session) readWhole() bool {
	return s.digest != nil && s.digest.text != "" && len(s.digest.text) < sql.MaxDigestText/2
}

// keepsFound reports whether the statement certainly leaves FOUND_ROWS() as it is. Of those that answer with rows most set
// it, but not EXPLAIN, VALUES, CHECK TABLE and some kinds of SHOW.
func (s *session) keepsFound() bool {
	if !s.statement() {
		return true
	}
	if s.diagnoses() && strings.HasPrefix(s.digest.text, "show ") && !strings.HasPrefix(s.digest.text, "show count") {
		return s.r.maria()
	}
	switch s.scan.Verb {
	case sql.VerbInsert, sql.VerbReplace, sql.VerbUpdate, sql.VerbDelete, sql.VerbSet, sql.VerbBegin, sql.VerbCommit, sql.VerbRollback,
		sql.VerbSavepoint, sql.VerbRelease, sql.VerbUse, sql.VerbDo:
		return s.readWhole() && !strings.Contains(s.digest.text, "select")
	}
	return false
}

// clears reports whether the statement certainly begins with an empty list of warnings: one that uses tables, also when it
// is only prepared. SELECT 1 leaves the list as it is.
func (s *session) clears() bool {
	f := s.scan.Flags
	switch {
	case s.cmd == mysql.ComStmtPrepare && s.preparing != nil:
		f = s.preparing.scan.Flags
	case !s.statement():
		return false
	}
	if s.scan.NTables == 0 || f.Has(sql.Multi|sql.ExecutableComment|sql.Broken) {
		return false
	}
	switch s.scan.Verb {
	case sql.VerbSelect, sql.VerbInsert, sql.VerbReplace, sql.VerbUpdate, sql.VerbDelete:
		return true
	}
	return false
}

// warned notes that the session's list of warnings is the one on u.
func (s *session) warned(u *upstream, some bool) {
	d := &s.diag
	d.warnAt, d.pending, d.warnings = u, some, nil
	u.warnOf, u.warned = s, some
}

// inserted notes that LAST_INSERT_ID() on u is the session's, if a new one was made at all. Before a statement that may
// make one, u was given the session's old one, or had none.
func (s *session) inserted(u *upstream) {
	d := &s.diag
	if !d.insert {
		d.insert, d.unsure = true, d.gone || u.insertID != d.insertID
	}
	d.insertOn = u
	u.idUnknown = true
}

// part lets a session and a connection that is tied by nothing part: the connection is held or given back.
func (s *session) part(u *upstream) {
	d := &s.diag
	insert := d.insert && d.insertOn == u
	if h := s.held; h != nil && h != u {
		if d.insert && !insert { // one is held already; this one is asked while nobody took it
			u.p.put(u)
			return
		}
		s.letGo()
	}
	if insert || d.recent && (u.owner == s || s.listOn(u)) {
		s.held = u
		if !u.p.hold(s) {
			s.aside(s.carry)
		}
		return
	}
	if s.held == u {
		s.held = nil
		u.p.unhold(s)
	}
	u.p.put(u)
}

// letGo gives the held connection back without asking it for anything.
func (s *session) letGo() {
	if u := s.held; u != nil {
		s.held, s.diag.recent = nil, false
		s.diag.losing(u)
		u.p.unhold(s)
		u.p.put(u)
	}
}

// carry fetches what can be carried over and gives the held connection back. s.mu is held, and no command is executed.
//
// A session that is tied by a transaction only, of which it is not known whether it is still open, asks for that and lets
// go of its connection if it is not.
func (s *session) carry() {
	u := s.held
	if s.up != nil {
		u = s.up
	}
	if u == nil {
		return
	}
	u.user = nil
	u.deadline(time.Now().Add(recoverWithin))
	if err := s.fetch(u); err != nil {
		s.drop(u)
		return
	}
	u.deadline(time.Time{})
	if s.up != nil {
		s.loosen()
		return
	}
	if s.tied(u) != 0 { // it changed something that the server told only now
		s.held = nil
		u.p.unhold(s)
		s.settle(u)
		return
	}
	s.letGo()
}

// fetch asks u for everything that the session may want to know later.
func (s *session) fetch(u *upstream) error {
	d := &s.diag
	err := s.inquire(u)
	if err != nil || s.up != nil || s.tied(u) != 0 {
		return err
	}
	found, list := d.foundAt == u && u.foundOf == s, d.pending && s.listOn(u)
	if d.insert || found || list {
		if err = s.fetchNumbers(u); err != nil {
			return err
		}
	}
	if w := d.warnings; list && w != nil {
		w.status, w.vars = s.status, s.vars
		if w.all, err = s.capture(u, "SHOW WARNINGS"); err == nil {
			w.errors, err = s.capture(u, "SHOW ERRORS")
		}
	}
	if found {
		d.foundAt = nil
	}
	if list {
		d.warnAt = nil
	}
	u.foundOf, u.warnOf, u.taint = nil, nil, nil
	return err
}

// inquire asks u for its status flags and for changes of the session that it has not told yet.
func (s *session) inquire(u *upstream) error {
	u.out = appendCommand(u.out[:0], mysql.ComPing, "")
	if err := u.write(u.out); err != nil {
		return err
	}
	p, _, err := u.packet(1 << 20)
	if err != nil {
		return err
	}
	ok, err := mysql.ParseOK(p, u.caps)
	if err == nil {
		u.untold = false
		s.learn(u, &ok, s.scan.Flags)
		s.unsure = false
	}
	u.owner = nil
	u.release()
	return err
}

// fetchNumbers fetches LAST_INSERT_ID(), FOUND_ROWS() and how many warnings there are, and takes the insert id off u, so
// that nobody else's can be taken for it.
func (s *session) fetchNumbers(u *upstream) error {
	d := &s.diag
	text, err := u.ask("SELECT CONCAT_WS(' ', LAST_INSERT_ID(), FOUND_ROWS(), @@warning_count, @@error_count) LIMIT 1")
	if err != nil {
		return err
	}
	var v [4]uint64
	parts := strings.Fields(string(text))
	for i := range v {
		if len(parts) == len(v) {
			v[i], err = strconv.ParseUint(parts[i], 10, 64)
		}
		if err != nil || len(parts) != len(v) {
			return errors.New("strange numbers: " + string(text))
		}
	}
	if d.foundAt == u && u.foundOf == s {
		d.found, d.hasFound = v[1], true
	}
	if d.pending && s.listOn(u) {
		d.warnings = &carried{count: v[2], fatal: v[3]}
	}
	if !d.insert {
		return nil
	}
	if v[0] != 0 || !d.unsure {
		d.insertID, d.gone = v[0], false
	}
	d.insert, d.unsure = false, false
	if v[0] != 0 {
		if err := u.simple(mysql.ComQuery, setInsertID+"0"); err != nil {
			return err
		}
	}
	u.insertID, u.idUnknown = 0, false
	return nil
}

// losing notes that u is lost, with what it knew.
func (d *diag) losing(u *upstream) {
	if d.insert && d.insertOn == u {
		d.insert, d.unsure, d.gone = false, false, true
	}
}

// sureOfInsert makes LAST_INSERT_ID() on u the session's, where it may have been made on another connection before.
func (s *session) sureOfInsert(u *upstream) error {
	d := &s.diag
	if !d.insert || !d.unsure || u != s.held && u != s.up || !s.readsInsertID() {
		return nil
	}
	text, err := u.ask("SELECT LAST_INSERT_ID() LIMIT 1")
	if err != nil {
		return err
	}
	u.owner, u.foundOf = nil, nil
	v, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil {
		return err
	}
	if d.unsure = false; v == 0 {
		d.insert, u.insertID, u.idUnknown = false, 0, false
	} else {
		d.gone = false
	}
	return nil
}

const setInsertID = "SET @@SESSION.last_insert_id="

// needsInsertID reports whether the statement must find the session's insert id on u, which is reset before it or not.
func (s *session) needsInsertID(u *upstream, reset bool) bool {
	if !s.statement() || s.diag.insert && (u == s.held || u == s.up) {
		return false
	}
	id, unknown := u.insertID, u.idUnknown
	if reset {
		id, unknown = 0, false
	}
	if !unknown && !s.diag.gone && id == s.diag.insertID {
		return false
	}
	if s.readsInsertID() {
		return true
	}
	return (s.scan.Kind == sql.Write || s.scan.Kind == sql.Unknown) && (unknown || id != 0)
}

// readsInsertID reports whether the statement may look at the session's insert id.
func (s *session) readsInsertID() bool {
	if s.scan.Flags.Has(sql.ReadsInsertID | sql.SetsInsertID | sql.Call | sql.Compound | sql.TextPrepare | sql.Multi | sql.ExecutableComment | sql.Broken) {
		return true
	}
	if s.scan.Verb == sql.VerbShow && s.digest != nil && strings.Contains(s.digest.text, " variables") {
		return true // last_insert_id is one of them
	}
	return s.alien() != ""
}

// alien returns the name of a function that the statement calls and that is not the server's own.
func (s *session) alien() string {
	switch {
	case s.digest == nil || !s.statement():
		return ""
	case s.digest.text == "" && s.text != nil: // the table of digests is full
		return callsOf(&s.scan, "", s.text)
	}
	return s.digest.alien
}
