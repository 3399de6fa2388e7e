package mysql

import (
	"errors"
	"fmt"

	"github.com/sluice-mesh/sluice/protocols/mysql"
)

// A statement means what it meant where it was prepared: in that database, under that sql_mode, and with literals of those
// character sets. A connection that prepares it later must read it the same way, and goes on afterwards as it was before.

// reading is how a server reads the text of a statement.
type reading struct {
	mode       string // sql_mode, as SQL
	client     string // character_set_client, of the text
	connection string // collation_connection, of literals; or what sets it: NAMES of a character set
}

// reading is how u, where the session's variables hold, reads statements.
func (s *session) reading(u *upstream) reading {
	r := u.reading
	if v, ok := s.vars.get("sql_mode"); ok {
		r.mode = string(appendValue(nil, v))
	}
	if v, ok := s.vars.get("character_set_client"); ok {
		r.client = "character_set_client=" + string(appendValue(nil, v))
	}
	if v, ok := s.vars.get("collation_connection"); ok {
		r.connection = "collation_connection=" + string(appendValue(nil, v))
	} else if v, ok := s.vars.get("character_set_connection"); ok { // with its own collation
		r.connection = "character_set_connection=" + string(appendValue(nil, v))
	}
	return r
}

// sql is what makes a connection read so: assignments of a SET statement.
func (r reading) sql() []byte {
	out := append([]byte("@@SESSION.sql_mode="), r.mode...)
	for _, x := range [...]string{r.client, r.connection} {
		if x != "" {
			out = append(append(out, ",@@SESSION."...), x...)
		}
	}
	return out
}

// begins makes the server report what changes in the session, and learns how it reads statements now: it reports these
// variables too, because they are set, to what they are.
func (u *upstream) begins() error {
	u.reading = reading{mode: "DEFAULT"}
	u.out = appendCommand(u.out[:0], mysql.ComQuery, u.trackers()+
		",@@SESSION.character_set_client=@@SESSION.character_set_client,@@SESSION.collation_connection=@@SESSION.collation_connection")
	if err := u.write(u.out); err != nil {
		return err
	}
	return u.okTold(func(track []byte) {
		for tr := mysql.Track(track); tr.Next(); {
			if tr.Kind != mysql.TrackSystemVariable {
				continue
			}
			switch string(tr.Name) {
			case "character_set_client":
				u.reading.client = fmt.Sprintf("character_set_client=%s", appendValue(nil, string(tr.Value)))
			case "collation_connection":
				u.reading.connection = fmt.Sprintf("collation_connection=%s", appendValue(nil, string(tr.Value)))
			}
		}
	})
}

// foreign reports whether the statement was prepared where it was read in another way than u, with the session's variables,
// reads it.
func (s *session) foreign(u *upstream) bool {
	return s.stmt != nil && (s.stmt.db != s.db && s.stmt.db != "" || s.stmt.reading != s.reading(u))
}

// asPrepared gives u the database and the reading that it must have next, for or after preparing the session's statement.
// was is how it reads now.
func (s *session) asPrepared(u *upstream, db string, r, was reading) error {
	if s.stmt.db == s.db && r == was {
		return nil
	}
	if len(u.out) > 0 {
		if err := u.write(u.out); err != nil {
			return err
		}
	}
	u.owner = nil
	var err error
	if db != "" && s.stmt.db != s.db {
		err = u.simple(mysql.ComInitDB, db)
	}
	if err == nil && r != was {
		err = u.simple(mysql.ComQuery, "SET "+string(r.sql()))
	}
	u.out = u.out[:0]
	var se *mysql.ServerError
	if errors.As(err, &se) {
		return errPrelude{se.Clone()}
	}
	return err
}
