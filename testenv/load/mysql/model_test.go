package mysql

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/sluice-mesh/sluice/testenv/load"
)

func TestSlot(t *testing.T) {
	s := &slot{key: "k"}
	check := func(what string, got, want finding) {
		t.Helper()
		if got != want {
			t.Errorf("%s: finding %d, want %d; %v", what, got, want, s)
		}
	}
	check("nothing was written, nothing is there", s.missing(false), fine)
	check("nothing was written, a value is there", s.saw(1, false), wrong)
	check("the first write makes a row", s.wrote(s.write(), 1), fine)
	check("the second write finds the row", s.wrote(s.write(), 2), fine)
	check("the newest value", s.saw(2, false), fine)
	check("an older value", s.saw(1, false), lost)
	check("an older value on a replica", s.saw(1, true), fine)
	check("no row", s.missing(false), lost)
	check("no row on a replica yet", s.missing(true), fine)
	s.refuse(s.write())
	check("a refused value", s.saw(3, true), wrong)
	check("the write behind it finds no row", s.wrote(s.write(), 1), lost)
	check("an older refused value", s.saw(3, true), wrong)
	check("a value of the future", s.saw(5, true), wrong)
	check("a write that changes three rows", s.wrote(s.write(), 3), wrong)
	s.unknown = s.write()
	check("the acknowledged value", s.saw(5, false), fine)
	check("the unknown value", s.saw(6, false), fine)
	for range 2 * keepRefused {
		s.refuse(s.write())
	}
	if len(s.refused) != keepRefused {
		t.Errorf("%d refused writes are remembered, want %d", len(s.refused), keepRefused)
	}
}

func TestValues(t *testing.T) {
	for _, size := range []int{0, 40, 100, 5000} {
		v := load.AppendValue([]byte("before"), "k:1", 7, 42, size, filling)[len("before"):]
		key, client, seq, sound := load.CutValue(v)
		if !sound || string(key) != "k:1" || client != 7 || seq != 42 || len(v) < size {
			t.Errorf("size %d: %q gives %s %d %d %v", size, v, key, client, seq, sound)
		}
		for i := range v {
			broken := bytes.Clone(v)
			broken[i] ^= 1
			if _, _, _, sound := load.CutValue(broken); sound {
				t.Fatalf("size %d: a changed byte %d is not found", size, i)
			}
		}
		if _, _, _, sound := load.CutValue(v[:len(v)-1]); sound {
			t.Errorf("size %d: a missing byte is not found", size)
		}
	}
}

func FuzzReadValue(f *testing.F) {
	f.Add(load.AppendValue(nil, "k", 1, 2, 50, filling))
	f.Add([]byte("k|1|2|00000000|"))
	f.Add([]byte("|||"))
	f.Fuzz(func(t *testing.T, v []byte) {
		key, client, seq, sound := load.CutValue(v)
		if !sound {
			return
		}
		head := load.AppendValue(nil, string(key), client, seq, 0, filling)
		if len(head) > len(v)+40 { // numbers may be written longer than they must be, not shorter
			t.Errorf("%q is sound and shorter than %q", v, head)
		}
	})
}

func TestWords(t *testing.T) {
	l := &link{wire: &wire{}}
	for _, c := range []struct {
		err            error
		word           string
		broken, unsent bool
	}{
		{&mysql.MySQLError{Number: 1290}, "1290", false, false},
		{fmt.Errorf("wrapped: %w", &mysql.MySQLError{Number: 1927}), "1927", true, false},
		{mysql.ErrInvalidConn, load.Closed, true, false},
		{driver.ErrBadConn, load.Closed, true, true},
		{io.ErrUnexpectedEOF, load.Closed, true, false},
		{unsent{mysql.ErrInvalidConn}, load.Closed, true, true},
		{mysql.ErrMalformPkt, Protocol, true, false},
		{mysql.ErrPktSync, Protocol, true, false},
	} {
		if w := l.word(c.err); w != c.word || broken(c.err) != c.broken || notSent(c.err) != c.unsent {
			t.Errorf("%v is %s, broken %v, unsent %v", c.err, w, broken(c.err), notSent(c.err))
		}
	}
	l.wire.expired = true
	if w := l.word(mysql.ErrInvalidConn); w != load.NoReply {
		t.Errorf("an answer that does not come is %s", w)
	}
	if w := connectWord(errors.New("refused")); w != load.Connect {
		t.Errorf("no connection is %s", w)
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	server := mysql.NewConfig()
	for _, c := range []Config{{Duration: 1}, {Server: server}, {Server: server, Duration: 1, Keys: -1},
		{Server: server, Duration: 1, ValueSize: 1 << 30}, {Server: server, Duration: 1, Clients: -1}} {
		if _, err := Start(context.Background(), c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	for _, c := range []BankConfig{{Duration: 1}, {Server: server}, {Server: server, Duration: 1, Accounts: 1},
		{Server: server, Duration: 1, Prefix: "a b"}} {
		if _, err := StartBank(context.Background(), c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
