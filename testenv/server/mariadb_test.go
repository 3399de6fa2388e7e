package server

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

func mustExec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func wantRefused(t *testing.T, db *sql.DB, statement string, number uint16) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); errorNumber(err) != number {
		t.Errorf("%s: %v, want error %d", statement, err, number)
	}
}

func TestMariaDBAlone(t *testing.T) {
	n := Start(t, MariaDB{Args: []string{"--max-allowed-packet=1M"}, MaxConnections: 10, ServerID: 7, Plugins: []string{"sql_errlog.so"}}).Primary
	db := n.Open(MariaDBUser, MariaDBPassword, MariaDBDatabase)
	mustExec(t, db, "CREATE TABLE t (id INT PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES (1, 'one'), (2, NULL)")
	rows, err := n.Query("SELECT * FROM test.t WHERE id < ? ORDER BY id", 3)
	if err != nil || fmt.Sprint(rows) != "[map[id:1 v:one] map[id:2 v:]]" {
		t.Errorf("the rows are %v, %v", rows, err)
	}
	for statement, want := range map[string]string{
		"SELECT @@max_allowed_packet": "1048576", "SELECT @@server_id": "7", "SELECT @@log_bin": "0", "SELECT @@read_only": "0",
		"SELECT COUNT(*) FROM information_schema.plugins WHERE plugin_library = 'sql_errlog.so' AND plugin_status = 'ACTIVE'": "1",
		"SELECT @@port": strconv.Itoa(portOf(n.Addr)), "SELECT @@socket": n.Socket, "SELECT DATABASE()": "test",
	} {
		if got := n.Value(statement); got != want {
			t.Errorf("%s gives %q, want %q", statement, got, want)
		}
	}
	if u := n.Usage(); u.RSS < 1<<20 || u.CPU() == 0 {
		t.Errorf("usage is %+v", u)
	}
	unix := n.Config(MariaDBUser, MariaDBPassword, "")
	unix.Net, unix.Addr = "unix", n.Socket
	c, err := mysql.NewConnector(unix)
	if err != nil {
		t.Fatal(err)
	}
	over := sql.OpenDB(c)
	defer over.Close()
	if err := over.PingContext(t.Context()); err != nil {
		t.Errorf("over the unix socket: %v", err)
	}
	fillConnections(t, n)
}

// fillConnections opens connections until the server refuses the next one, which root must still get in.
func fillConnections(t *testing.T, n *MariaDBServer) {
	t.Helper()
	full := n.Open(MariaDBUser, MariaDBPassword, "")
	for range 20 {
		c, err := full.Conn(t.Context())
		if err == nil {
			defer c.Close()
			continue
		}
		if errorNumber(err) != 1040 {
			t.Errorf("too many connections: %v, want error 1040", err)
		}
		break
	}
	if got := n.Status("Threads_connected"); got != "11" {
		t.Errorf("%s connections, want the ten allowed and root's", got)
	}
}

func TestMariaDBUsers(t *testing.T) {
	n := Start(t, MariaDB{ReadOnly: true}).Primary
	ed := n.Open(MariaDBEd25519, MariaDBPassword, MariaDBDatabase)
	wantRefused(t, ed, "CREATE TABLE t (id INT)", 1290)
	app, err := sql.Open("mysql", n.DSN(MariaDBUser, MariaDBPassword, MariaDBDatabase))
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	wantRefused(t, app, "CREATE TABLE t (id INT)", 1290)
	n.SetReadOnly(false)
	mustExec(t, app, "CREATE TABLE t (id INT)")
	n.SetReadOnly(true)
	n.Restart()
	wantRefused(t, n.Open(MariaDBUser, MariaDBPassword, MariaDBDatabase), "INSERT INTO t VALUES (1)", 1290)
	probe := n.Open(MariaDBProbe, MariaDBPassword, "")
	mustExec(t, probe, "SHOW SLAVE STATUS", "SHOW MASTER STATUS", "SELECT @@global.read_only")
	wantRefused(t, probe, "SELECT * FROM test.t", 1142)
	if err := n.Open(MariaDBUser, "wrong", "").PingContext(t.Context()); errorNumber(err) != 1045 {
		t.Errorf("with a wrong password: %v, want error 1045", err)
	}
}

func TestMariaDBTLS(t *testing.T) {
	n := Start(t, MariaDB{RequireTLS: true, Replicas: 1})
	var name, cipher string
	db := n.Primary.Open(MariaDBUser, MariaDBPassword, "")
	if err := db.QueryRowContext(t.Context(), "SHOW STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher); err != nil || cipher == "" {
		t.Errorf("the cipher is %q, %v", cipher, err)
	}
	plain, err := sql.Open("mysql", n.Primary.DSN(MariaDBUser, MariaDBPassword, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if err := plain.PingContext(t.Context()); errorNumber(err) != 1045 {
		t.Errorf("without TLS: %v, want error 1045", err)
	}
	if got := n.Replicas[0].SlaveStatus()["Master_SSL_Allowed"]; got != "Yes" {
		t.Errorf("the replica uses TLS: %q, want Yes", got)
	}
}

func TestMariaDBEndsAndComesBack(t *testing.T) {
	n := Start(t, MariaDB{}).Primary
	db := n.Open(MariaDBUser, MariaDBPassword, MariaDBDatabase)
	mustExec(t, db, "CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
	n.Kill()
	if _, err := n.Query("SELECT 1"); err == nil {
		t.Fatal("a killed server answers")
	}
	n.Restart()
	mustExec(t, n.Open(MariaDBUser, MariaDBPassword, MariaDBDatabase), "INSERT INTO t VALUES (2)")
	n.Stop()
	if n.State() != exitedWell {
		t.Errorf("state after Stop is %q", n.State())
	}
	n.Restart()
	if got := n.Value("SELECT COUNT(*) FROM t"); got != "2" {
		t.Errorf("%s rows after Kill and Stop, want 2", got)
	}
	n.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := n.Open(MariaDBUser, MariaDBPassword, "").PingContext(ctx); err == nil {
		t.Error("a paused server answers")
	}
	n.Continue()
	if got := n.Value("SELECT 1"); got != "1" {
		t.Errorf("after Continue it says %q", got)
	}
}

func TestMariaDBChangesRoles(t *testing.T) {
	m := Replicated(t, 2)
	a, b, c := m.Primary, m.Replicas[0], m.Replicas[1]
	write := func(n *MariaDBServer, statements ...string) {
		t.Helper()
		mustExec(t, n.Open(MariaDBUser, MariaDBPassword, MariaDBDatabase), statements...)
	}
	rows := func(n *MariaDBServer, want string) {
		t.Helper()
		if got := n.Value("SELECT GROUP_CONCAT(id ORDER BY id) FROM t"); got != want {
			t.Errorf("%s has rows %s, want %s", n.Name, got, want)
		}
	}
	write(a, "CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
	for _, n := range m.Replicas {
		n.WaitReplicated(a)
		rows(n, "1")
		wantRefused(t, n.Open(MariaDBUser, MariaDBPassword, MariaDBDatabase), "INSERT INTO t VALUES (9)", 1290)
	}
	c.StopReplication()
	write(a, "INSERT INTO t VALUES (2)")
	rows(c, "1")
	c.StartReplication()
	c.WaitReplicated(a)
	b.WaitReplicated(a)
	a.Kill()
	b.Promote()
	c.Follow(b)
	write(b, "INSERT INTO t VALUES (3)")
	c.WaitReplicated(b)
	rows(c, "1,2,3")

	a.Restart()
	a.Follow(b)
	rows(a, "1,2,3")
	b.SetReadOnly(true) // a planned change, back to the first primary
	a.WaitReplicated(b)
	a.Promote()
	b.Follow(a)
	c.Follow(a)
	write(a, "INSERT INTO t VALUES (4)")
	b.WaitReplicated(a)
	rows(b, "1,2,3,4")

	b.Promote() // two primaries that both write
	write(b, "INSERT INTO t VALUES (5)")
	write(a, "INSERT INTO t VALUES (6)")
	b.Reseed(a)
	rows(b, "1,2,3,4,6")
	c.WaitReplicated(a)
	late := Start(t, MariaDB{ReplicaOf: c}).Primary
	rows(late, "1,2,3,4,6")
}

// TestMariaDBSemiSync checks that a commit waits for a replica, which makes a test able to tell lost from unlucky.
func TestMariaDBSemiSync(t *testing.T) {
	m := Start(t, MariaDB{Replicas: 1, SemiSync: true})
	db := m.Primary.Open(MariaDBUser, MariaDBPassword, MariaDBDatabase)
	mustExec(t, db, "CREATE TABLE t (id INT PRIMARY KEY)")
	m.Replicas[0].Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := db.ExecContext(ctx, "INSERT INTO t VALUES (1)"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a commit that no replica has is acknowledged: %v", err)
	}
	m.Replicas[0].Continue()
	m.Replicas[0].WaitReplicated(m.Primary)
	mustExec(t, db, "INSERT INTO t VALUES (2)")
}
