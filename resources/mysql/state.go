package mysql

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/protocols/sql"
)

// vars are session variables that differ from those of a fresh connection, by name. A vars is never changed; the nil vars
// is a fresh connection's.
type vars struct {
	key  string // all of it in one text: equal keys mean equal variables
	list []variable
}

type variable struct{ name, value string }

// same reports whether connections with v and o behave alike.
func (v *vars) same(o *vars) bool {
	return v == o || v != nil && o != nil && v.key == o.key
}

// with returns v with one variable changed.
func (v *vars) with(name, value string) *vars {
	n := &vars{}
	if v != nil {
		n.list = slices.Clone(v.list)
	}
	i, found := slices.BinarySearchFunc(n.list, name, func(a variable, name string) int { return strings.Compare(a.name, name) })
	if found {
		if n.list[i].value == value {
			return v
		}
		n.list[i].value = value
	} else {
		n.list = slices.Insert(n.list, i, variable{name, value})
	}
	n.key = string(n.append(nil))
	return n
}

// without returns v without one variable.
func (v *vars) without(name string) *vars {
	if _, ok := v.get(name); !ok {
		return v
	}
	n := &vars{}
	for _, x := range v.list {
		if x.name != name {
			n.list = append(n.list, x)
		}
	}
	if len(n.list) == 0 {
		return nil
	}
	n.key = string(n.append(nil))
	return n
}

// get returns the value of a variable, and whether it differs from a fresh connection's at all.
func (v *vars) get(name string) (string, bool) {
	if v == nil {
		return "", false
	}
	for _, x := range v.list {
		if x.name == name {
			return x.value, true
		}
	}
	return "", false
}

// append writes the assignments of a SET statement: a=1,b='x'. Names come from servers; values are quoted so that they
// mean the same whatever sql_mode says about backslashes.
func (v *vars) append(dst []byte) []byte {
	if v == nil {
		return dst
	}
	for i, x := range v.list {
		if i > 0 {
			dst = append(dst, ',')
		}
		if x.name == names {
			dst = append(append(dst, "NAMES "...), x.value...)
			continue
		}
		dst = append(dst, "@@SESSION."...)
		dst = append(dst, x.name...)
		dst = append(dst, '=')
		if x.value == "" && nullable(x.name) {
			dst = append(dst, "NULL"...)
			continue
		}
		dst = appendValue(dst, x.value)
	}
	return dst
}

// appendValue writes a value as SQL: numbers as they are, since many variables refuse text, and everything else in
// hexadecimal, which no sql_mode and no character set reads differently.
func appendValue(dst []byte, v string) []byte {
	if isNumber(v) {
		return append(dst, v...)
	}
	if v == "" {
		return append(dst, "''"...)
	}
	if plain(v) {
		dst = append(dst, '\'')
		dst = append(dst, v...)
		return append(dst, '\'')
	}
	const digits = "0123456789ABCDEF"
	dst = append(dst, "_utf8 0x"...)
	for i := range len(v) {
		dst = append(dst, digits[v[i]>>4], digits[v[i]&15])
	}
	return dst
}

// nullable reports whether an empty value of a variable stands for NULL: these cannot be empty otherwise.
func nullable(name string) bool {
	switch name {
	case "character_set_results", "default_tmp_storage_engine", "enforce_storage_engine", "innodb_ft_user_stopword_table",
		"innodb_tmpdir":
		return true
	}
	return false
}

func isNumber(v string) bool {
	digits, dots := 0, 0
	for i := range len(v) {
		switch c := v[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '-' && i == 0:
		case c == '.':
			dots++
		default:
			return false
		}
	}
	return digits > 0 && dots <= 1
}

// plain reports whether v can stand between apostrophes under every sql_mode and character set.
func plain(v string) bool {
	for i := range len(v) {
		c := v[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_-+:,./ @", c) >= 0) {
			return false
		}
	}
	return true
}

// unkept are variables that servers report and that are no state to carry over: they follow from what was executed.
func unkept(name string) bool {
	switch name {
	case "last_gtid", "gtid_next", "warning_count", "error_count", "in_transaction", "session_track_system_variables",
		"session_track_state_change", "session_track_transaction_info", "session_track_schema", "session_track_gtids":
		return true
	}
	return false
}

// unmovable are variables that mean something on the connection where they were set only, or for the next statement only.
func unmovable(name string) bool {
	switch name {
	case "insert_id", "timestamp", "rand_seed1", "rand_seed2", "pseudo_thread_id", "pseudo_slave_mode", "sql_log_bin",
		"skip_replication", "gtid_domain_id", "gtid_seq_no", "server_id", "sql_log_off", "proxy_user", "external_user",
		"binlog_format", "debug", "debug_sync", "profiling", "optimizer_trace":
		return true
	}
	return strings.HasPrefix(name, "wsrep_")
}

// trackers make a server report everything that changes in a session. It must be said again after each reset.
const trackers = "SET @@SESSION.session_track_system_variables='*',@@SESSION.session_track_state_change=ON," +
	"@@SESSION.session_track_transaction_info='CHARACTERISTICS'"

// learn takes what an OK packet says about the session. u is the connection that it came from.
func (s *session) learn(u *upstream, ok *mysql.OK, flags sql.Flags) {
	s.setStatus(ok.Status)
	u.status, s.unsure = ok.Status, false
	if ok.Status.Has(mysql.StatusSessionStateChanged) && len(ok.Track) > 0 {
		s.tracked(u, ok.Track, flags)
	}
}

// tracked reads the records of the server's session tracker.
func (s *session) tracked(u *upstream, block []byte, flags sql.Flags) {
	changed, known := false, false
	var charsets, collations uint8 // that are reported
	for tr := mysql.Track(block); tr.Next(); {
		switch tr.Kind {
		case mysql.TrackSystemVariable:
			known = s.assigned(u, string(tr.Name), tr.Value) || known
			for i, of := range [...]string{"connection", "database", "server"} {
				switch string(tr.Name) {
				case "character_set_" + of:
					charsets |= 1 << i
				case "collation_" + of:
					collations |= 1 << i
				}
			}
		case mysql.TrackSchema:
			known = true
			// Inside a procedure its own database is chosen. When it ends in an error nobody tells of the way back.
			if !s.status.Has(mysql.StatusMoreResults) || !flags.Has(sql.Call|sql.TextPrepare) || flags.Has(sql.Multi) {
				s.chose(u, string(tr.Value))
			}
		case mysql.TrackState:
			changed = true
		case mysql.TrackGTIDs:
			s.wrote(u, tr.Value)
		case mysql.TrackTxnCharacteristics:
			// Of an open transaction the status flags tell; a deadlock ends one, and this record still stands.
			u.oneShot = len(tr.Value) > 0 && !bytes.Contains(tr.Value, []byte("START"))
		case mysql.TrackTxnState:
			u.locked = len(tr.Value) >= 8 && tr.Value[7] == 'L'
		}
	}
	if charsets&^collations != 0 && !s.onlyFor() {
		s.collated(u, charsets&^collations)
	}
	if changed && (!known || flags&stateUnseen != 0) {
		s.pin(pinState, "session state that only the server knows")
	}
}

// names stands among the variables for SET NAMES x COLLATE y, which gives results a collation that no variable shows. It
// sorts before all of them: what is set later holds.
const names = "NAMES"

// collated deals with character sets of which the server does not say that their collations changed with them. They are
// the character sets' own, but for SET NAMES x COLLATE y, and for SET CHARACTER SET, which takes the database's.
func (s *session) collated(u *upstream, which uint8) {
	for i, of := range [...]string{"collation_connection", "collation_database", "collation_server"} {
		if which>>i&1 != 0 {
			s.vars = s.vars.without(of)
		}
	}
	if which&1 != 0 {
		s.vars = s.vars.without(names)
		s.collation = !s.namesPlainly()
		s.named = s.statement() && s.digest != nil && strings.Contains(s.digest.text, "collat")
	}
	u.vars = s.vars
}

// namesPlainly reports whether the statement sets a character set and says nothing of a collation.
func (s *session) namesPlainly() bool {
	if s.digest == nil || s.scan.Verb != sql.VerbSet || s.scan.Flags.Has(sql.Multi|sql.ExecutableComment) {
		return false
	}
	text := s.digest.text
	return text != "" && !strings.Contains(text, "collat") && !strings.Contains(text, "character set") && !strings.Contains(text, "charset")
}

// askCollation asks for the collation of the connection, which the server has not told.
func (s *session) askCollation(u *upstream) error {
	text, err := u.ask("SELECT CONCAT_WS(' ', FOUND_ROWS(), @@collation_connection) LIMIT 1")
	if err != nil {
		return err
	}
	found, collation, _ := strings.Cut(string(text), " ")
	n, err := strconv.ParseUint(found, 10, 64)
	if err != nil {
		return err
	}
	if d := &s.diag; d.foundAt == u && u.foundOf == s {
		d.foundAt, d.hasFound, d.found = nil, true, n
	}
	u.owner, u.foundOf = nil, nil
	s.collation = false
	s.vars = s.vars.with("collation_connection", collation)
	set, _ := s.vars.get("character_set_connection")
	if s.named && plain(set) && plain(collation) {
		s.vars = s.vars.with(names, set+" COLLATE "+collation).without("character_set_results")
	}
	u.vars = s.vars
	return nil
}

// assigned takes a variable's new value, and reports whether that says what has become of the session's state.
func (s *session) assigned(u *upstream, name string, value []byte) bool {
	switch {
	case name == "last_gtid":
		s.wrote(u, value)
		return false
	case name == "last_insert_id", name == "identity":
		s.inserted(u)
		return true
	case unkept(name):
		return false
	case s.onlyFor():
		return true // the value is in force while the statement runs; what comes after it is told with a later OK
	case unmovable(name):
		s.pin(pinState, "SET "+name)
		return false
	}
	s.vars = s.vars.with(name, string(value))
	u.vars = s.vars
	return true
}

// onlyFor reports whether the statement is SET STATEMENT ... FOR, whose assignments hold as long as it runs.
func (s *session) onlyFor() bool {
	if !s.statement() || s.scan.Verb == sql.VerbSet || s.digest == nil {
		return false
	}
	text := s.digest.text
	if text == "" {
		text = string(sql.AppendDigest(nil, s.text, s.dialect()))
	}
	return strings.HasPrefix(text, "set statement ")
}

// chose notes that the session has another database. With it come other defaults for what is made in it.
func (s *session) chose(u *upstream, db string) {
	s.vars = s.vars.without("character_set_database").without("collation_database")
	s.db, s.dbStale = db, false
	u.vars, u.db, u.dbStale = s.vars, db, false
}

// stateUnseen are the statements that may change more than the variables and the database that the tracker names.
const stateUnseen = sql.UserVar | sql.AssignsVar | sql.TempTable | sql.TextPrepare | sql.Call | sql.Multi | sql.ExecutableComment

// visible are the records that a client of a server without the agent's settings would get.
func (s *session) visible(block []byte) []byte {
	var out []byte
	for tr := mysql.Track(block); tr.Next(); {
		switch tr.Kind {
		case mysql.TrackSchema:
		case mysql.TrackSystemVariable:
			switch string(tr.Name) {
			case "autocommit", "character_set_client", "character_set_connection", "character_set_results", "time_zone":
			default:
				continue
			}
		default:
			continue
		}
		out = mysql.AppendTrack(out, tr.Kind, tr.Name, tr.Value)
	}
	return out
}
