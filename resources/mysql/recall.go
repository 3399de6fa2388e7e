package mysql

import (
	"strings"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/protocols/sql"
	"github.com/sluice-mesh/sluice/resources"
)

// source returns the connection that knows what the statement asks for, out of those that the session may still have;
// nil when there is none. It is taken out of its pool.
func (s *session) source(ep *resources.Endpoint) *upstream {
	d, f := &s.diag, s.scan.Flags
	if f.Has(sql.ReadsInsertID) && d.insert {
		return nil // it is held
	}
	for _, x := range [...]struct {
		flag sql.Flags
		u    *upstream
	}{{sql.ReadsFoundRows, d.foundAt}, {sql.ReadsWarnings, d.warnAt}, {sql.ReadsRowCount, d.rowsAt}} {
		if !f.Has(x.flag) || x.u == nil || x.u == s.held || x.u.ep() != ep || x.u.class != s.class || !x.u.p.reclaim(x.u) {
			continue
		}
		if s.lost(x.u)&x.flag == 0 && x.u.usable() {
			return x.u
		}
		x.u.p.put(x.u)
	}
	return nil
}

// lost returns what the statement asks for and u does not know.
func (s *session) lost(u *upstream) (lost sql.Flags) {
	d, f := &s.diag, s.scan.Flags
	if f.Has(sql.ReadsFoundRows) && !(d.foundAt == u && u.foundOf == s) {
		lost |= sql.ReadsFoundRows
	}
	if f.Has(sql.ReadsRowCount) && !(d.rowsAt == u && u.owner == s) {
		lost |= sql.ReadsRowCount
	}
	if f.Has(sql.ReadsWarnings) && !s.listOn(u) {
		switch {
		case d.pending:
			lost |= sql.ReadsWarnings
		case u.warned && u == s.up:
			lost |= sql.ReadsWarnings
		case u.warned:
			u.dirty = true // a reset empties the list
		}
	}
	if f.Has(sql.ReadsRowCount) || f.Has(sql.ReadsWarnings) && s.listOn(u) { // what comes before the statement changes them
		m := s.moves(u)
		if f.Has(sql.ReadsRowCount) && (m != moves{} || s.unprepared(u) && s.foreign(u)) {
			lost |= sql.ReadsRowCount
		}
		if f.Has(sql.ReadsWarnings) && m.reset && s.listOn(u) && d.pending {
			lost |= sql.ReadsWarnings
		}
	}
	return lost
}

// recall finds out how the statement is answered on u, which does not know all that it asks for. It returns false when it
// cannot be answered.
func (s *session) recall(u *upstream) bool {
	if s.scan.Flags.Has(sql.ReadsInsertID) && s.diag.gone {
		return false
	}
	lost := s.lost(u)
	if lost == 0 {
		return true
	}
	d, text := &s.diag, ""
	if s.digest != nil {
		text = s.digest.text
	}
	w := d.warnings
	if w == nil && !d.pending {
		w = &carried{status: s.status} // there are none
	}
	switch asked := askedFor(text); {
	case asked == 0 || s.caps.Has(mysql.MariaDBCacheMetadata) && !s.caps.Has(mysql.ClientLongPassword):
		return false
	case asked == 'f' && d.hasFound:
		s.patch = int64(d.found)
	case asked == 'r' && d.rows != rowsUnknown:
		s.patch = d.rows
	case w == nil:
		return false
	case asked == 'c':
		s.patch = int64(w.count)
	case asked == 'e':
		s.patch = int64(w.fatal)
	case s.cmd != mysql.ComQuery || w.status != s.status || !w.vars.same(s.vars):
		return false
	case asked == 'W' && w.all != nil:
		s.instead = w.all
	case asked == 'E' && w.errors != nil:
		s.instead = w.errors
	default:
		return false
	}
	s.patched = s.instead == nil
	return true
}

// askedFor recognizes the statements that ask for one thing and nothing else: 'f' FOUND_ROWS(), 'r' ROW_COUNT(), 'c' and
// 'e' the numbers of warnings and errors, 'W' and 'E' the lists; 0 is anything else.
func askedFor(digest string) byte {
	switch digest {
	case "show warnings":
		return 'W'
	case "show errors":
		return 'E'
	case "show count(*) warnings":
		return 'c'
	case "show count(*) errors":
		return 'e'
	}
	rest, ok := strings.CutPrefix(digest, "select ")
	if !ok {
		return 0
	}
	rest = strings.TrimSuffix(rest, " from dual")
	what, alias, _ := strings.Cut(rest, " ")
	alias = strings.TrimPrefix(alias, "as ")
	if strings.ContainsAny(alias, " ,(") {
		return 0
	}
	switch strings.Replace(what, "@@session.", "@@", 1) {
	case "found_rows()":
		return 'f'
	case "row_count()":
		return 'r'
	case "@@warning_count":
		return 'c'
	case "@@error_count":
		return 'e'
	}
	return 0
}

// missing says that the session asks for what no connection knows any more.
const missing = "does not know any more what the statement before left behind: its connection went to another client meanwhile; " +
	"ask in the same command, or inside a transaction"
