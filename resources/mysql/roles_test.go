package mysql

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/server"
)

func TestReplicationState(t *testing.T) {
	row := func(text string) (f []field) {
		for part := range strings.SplitSeq(text, ";") {
			name, value, _ := strings.Cut(part, "=")
			f = append(f, field{name, value})
		}
		return f
	}
	for _, c := range []struct {
		row     string
		behind  time.Duration
		trouble string
	}{
		{"Slave_IO_Running=Yes;Slave_SQL_Running=Yes;Seconds_Behind_Master=3", 3 * time.Second, ""},
		{"Replica_IO_Running=Yes;Replica_SQL_Running=Yes;Seconds_Behind_Source=0", 0, ""},
		{"Slave_IO_Running=Connecting;Slave_SQL_Running=Yes;Seconds_Behind_Master=;Last_IO_Error=cannot connect", -1,
			"replication is interrupted: it gets nothing from its primary (connecting): cannot connect"},
		{"Replica_IO_Running=Yes;Replica_SQL_Running=No;Seconds_Behind_Source=7;Last_SQL_Error=duplicate", -1,
			"replication is stopped: it does not apply what it receives: duplicate"},
	} {
		r := sourceOf(row(c.row))
		if c.behind < 0 {
			c.behind = -1
		}
		if r.behind != c.behind || r.trouble != c.trouble {
			t.Errorf("%s: %v %q, want %v %q", c.row, r.behind, r.trouble, c.behind, c.trouble)
		}
	}
}

func TestOlder(t *testing.T) {
	for _, c := range [][2]string{{"5.7.40", "8.0.1"}, {"8.0.9", "8.0.34-log"}, {"5.5.5-10.6.1-MariaDB", "10.11.2-MariaDB"}, {"8.0.40", "8.4.0"}} {
		if !older(c[0], c[1]) || older(c[1], c[0]) || older(c[0], c[0]) {
			t.Errorf("%s is older than %s", c[0], c[1])
		}
	}
}

// TestGreetingIsWhatServersShare: clients must be able to go to any of the servers.
func TestGreetingIsWhatServersShare(t *testing.T) {
	m := server.Start(t, server.MariaDB{}).Primary
	f := newFake(t, m.Addr, "127.0.0.1:1", "127.0.0.1:2")
	a := startAgent(t, f, testSettings(2))
	told := *a.res.server()
	if !told.maria || !told.caps.Has(mysql.MariaDBBulk) {
		t.Fatalf("told %+v", told)
	}
	a.res.pool(f.eps[1]).known.about.Store(&about{version: "10.5.1-MariaDB", caps: told.caps &^ mysql.MariaDBBulk})
	a.res.introduce()
	if now := a.res.server(); now.version != "10.5.1-MariaDB" || now.caps != told.caps&^mysql.MariaDBBulk {
		t.Errorf("told %+v", now)
	}
	f.eps[1].SetGone(true)
	a.res.introduce()
	if now := a.res.server(); *now != told {
		t.Errorf("told %+v, want %+v", now, told)
	}
}

// TestProbeWithoutRights: a login that may see nothing finds out the role, and says what it lacks.
func TestProbeWithoutRights(t *testing.T) {
	m := server.Start(t, server.MariaDB{Binlog: true}).Primary
	m.Exec("CREATE USER nobody IDENTIFIED BY 'secret'")
	f := newFake(t, m.Addr)
	set := testSettings(2)
	set.Probe = &Credential{Name: "nobody", Password: set.Users[0].Password}
	a := startAgent(t, f, set)
	p := a.res.Probe(f.eps[0])
	defer p.Close()
	check := func() resources.Health {
		t.Helper()
		h, err := p.Check(t.Context())
		if err != nil || !h.Ready {
			t.Fatalf("%+v, %v", h, err)
		}
		return h
	}
	h := check()
	if h.Role != resources.RolePrimary || !strings.Contains(h.Detail, "GRANT SLAVE MONITOR ON *.* TO nobody") {
		t.Errorf("%+v", h)
	}
	m.Exec("GRANT SLAVE MONITOR ON *.* TO nobody")
	for range reconnectAfter + 1 {
		h = check()
	}
	if h.Detail != "" {
		t.Errorf("%+v after the grant", h)
	}
	m.SetReadOnly(true)
	if h = check(); h.Role != resources.RoleReplica || h.Stale {
		t.Errorf("%+v of a read-only server without a primary", h)
	}
}

// TestProbeKeepsItsConnection: checks cost no logins, and those that there are are complete.
func TestProbeKeepsItsConnection(t *testing.T) {
	m := server.Start(t, server.MariaDB{}).Primary
	f := newFake(t, m.Addr)
	a := startAgent(t, f, testSettings(2))
	was := m.Status("Connections")
	p := a.res.Probe(f.eps[0])
	for range 50 {
		if _, err := p.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p.Close()
	if dials := f.dials.Load(); dials != 2 { // the agent's start had one
		t.Errorf("%d connections, %s before", dials, was)
	}
	if n := m.Status("Aborted_connects"); n != "0" {
		t.Errorf("%s logins were broken off", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	m.Pause()
	if h, err := p.Check(ctx); err == nil {
		t.Errorf("a server that stands still is checked as %+v", h)
	}
	m.Continue()
	p.Close()
}

func TestReadOnlyErrors(t *testing.T) {
	for text, want := range map[string]bool{
		"The MariaDB server is running with the --read-only option so it cannot execute this statement":       true,
		"The MySQL server is running with the --super-read-only option so it cannot execute this statement":   true,
		"The MySQL server is running with the --skip-grant-tables option so it cannot execute this statement": false,
	} {
		if got := readOnly(&mysql.ServerError{Code: 1290, Message: []byte(text)}); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if unprepared(&mysql.ServerError{Code: 1047, Message: []byte("Unknown command")}) {
		t.Error("an unknown command is not a node that is not prepared")
	}
	if !unprepared(&mysql.ServerError{Code: 1047, Message: []byte("WSREP has not yet prepared node for application use")}) {
		t.Error("a node that is not prepared is one")
	}
}
