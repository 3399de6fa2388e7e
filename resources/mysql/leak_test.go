package mysql

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// TestRelease checks that a session that its client ends with a transaction is over on both sides.
func TestRelease(t *testing.T) {
	n := server.Start(t, server.MariaDB{}).Primary
	a := startAgent(t, newFake(t, n.Addr), testSettings(1))
	for _, texts := range [][]string{{"BEGIN", "COMMIT RELEASE"}, {"SET completion_type = 'RELEASE'", "BEGIN", "SELECT 1", "ROLLBACK"}, {"ROLLBACK WORK AND NO CHAIN RELEASE"}} {
		c := dial(t, a.addr, "test", clientCaps)
		c.must(texts...)
		if got := c.query("SELECT 1").String(); !strings.Contains(got, "the connection broke") {
			t.Errorf("after %s: %s", texts, got)
		}
	}
	c := dial(t, a.addr, "test", clientCaps)
	c.must("SET completion_type = 'RELEASE'", "BEGIN", "SAVEPOINT a", "ROLLBACK TO a", "COMMIT NO RELEASE", "SELECT 1")
}

// pinCase is a kind of state that ties a session: what makes it, what ends it, and what another client must not see.
type pinCase struct {
	does  []string
	pins  resources.Pin
	ends  string // "": only the end of the session, or a reset
	other string // what another client asks
	sees  string
}

var pinCases = map[string]pinCase{
	"variable by SET":      {does: []string{"SET @a = 5"}, pins: resources.PinState, other: "SELECT @a", sees: "NULL"},
	"variable by :=":       {does: []string{"SELECT @a := 5"}, pins: resources.PinState, other: "SELECT @a", sees: "NULL"},
	"variable by INTO":     {does: []string{"SELECT 5 INTO @a"}, pins: resources.PinState, other: "SELECT @a", sees: "NULL"},
	"transaction":          {does: []string{"BEGIN", "INSERT INTO t (v) VALUES (7)"}, pins: resources.PinTxn, ends: "ROLLBACK", other: "SELECT COUNT(*) FROM t FOR UPDATE", sees: "0"},
	"read-only":            {does: []string{"START TRANSACTION READ ONLY", "SAVEPOINT a"}, pins: resources.PinTxn, ends: "COMMIT", other: "INSERT INTO t (v) VALUES (7); DELETE FROM t; SELECT 1", sees: "1"},
	"snapshot":             {does: []string{"START TRANSACTION WITH CONSISTENT SNAPSHOT"}, pins: resources.PinTxn, ends: "COMMIT", other: "SELECT @@in_transaction", sees: "0"},
	"autocommit off":       {does: []string{"SET autocommit = 0", "INSERT INTO t (v) VALUES (7)"}, pins: resources.PinTxn, ends: "ROLLBACK", other: "SELECT @@autocommit", sees: "1"},
	"next transaction":     {does: []string{"SET TRANSACTION READ ONLY"}, pins: resources.PinTxn, ends: "BEGIN; COMMIT", other: "INSERT INTO t (v) VALUES (7); DELETE FROM t; SELECT 1", sees: "1"},
	"XA":                   {does: []string{"XA START 'x'", "INSERT INTO t (v) VALUES (7)", "XA END 'x'"}, pins: resources.PinTxn, ends: "XA ROLLBACK 'x'", other: "SELECT COUNT(*) FROM t FOR UPDATE", sees: "0"},
	"temporary table":      {does: []string{"CREATE TEMPORARY TABLE tt (a INT)"}, pins: resources.PinState, other: "SELECT COUNT(*) FROM tt", sees: "ERROR 1146 (42S02): Table 'test.tt' doesn't exist"},
	"temporary, procedure": {does: []string{"CALL ptemp()"}, pins: resources.PinState | resources.PinUnknown, other: "SELECT COUNT(*) FROM tt", sees: "ERROR 1146 (42S02): Table 'test.tt' doesn't exist"},
	"LOCK TABLES":          {does: []string{"LOCK TABLES t WRITE"}, pins: resources.PinState, ends: "UNLOCK TABLES", other: "SELECT COUNT(*) FROM t", sees: "0"},
	"FTWRL":                {does: []string{"FLUSH TABLES WITH READ LOCK"}, pins: resources.PinState, ends: "UNLOCK TABLES", other: "INSERT INTO t (v) VALUES (7); DELETE FROM t; SELECT 1", sees: "1"},
	"user lock":            {does: []string{"SELECT GET_LOCK('l', 1)"}, pins: resources.PinState, ends: "SELECT RELEASE_ALL_LOCKS()", other: "SELECT GET_LOCK('l', 0)", sees: "1"},
	"function with a lock": {does: []string{"SELECT flock()"}, pins: resources.PinUnknown, other: "SELECT GET_LOCK('f', 0)", sees: "1"},
	"HANDLER":              {does: []string{"HANDLER t OPEN"}, pins: resources.PinState, other: "HANDLER t READ FIRST", sees: "ERROR 1109 (42S02): Unknown table 't' in HANDLER"},
	"PREPARE":              {does: []string{"PREPARE p FROM 'SELECT 1'"}, pins: resources.PinState, other: "EXECUTE p", sees: "ERROR 1243 (HY000): Unknown prepared statement handler (p) given to EXECUTE"},
	"sequence":             {does: []string{"SELECT NEXTVAL(sq)"}, pins: resources.PinState, other: "SELECT LASTVAL(sq)", sees: "NULL"},
	"role":                 {does: []string{"SET ROLE NONE"}, pins: resources.PinState, other: "SELECT CURRENT_ROLE()", sees: "NULL"},
	"sql_log_bin":          {does: []string{"SET sql_log_bin = 0"}, pins: resources.PinState, other: "SELECT @@sql_log_bin", sees: "1"},
	"timestamp":            {does: []string{"SET timestamp = 1000"}, pins: resources.PinState, other: "SELECT NOW() > '2001-01-01'", sees: "1"},
	"tracker":              {does: []string{"SET session_track_system_variables = ''"}, pins: resources.PinState, other: "SELECT 1", sees: "1"},
	"compound":             {does: []string{"BEGIN NOT ATOMIC SET @a = 5; SELECT 1; END"}, pins: resources.PinState, other: "SELECT @a", sees: "NULL"},
	"second statement":     {does: []string{"SELECT 1; SET @a = 5"}, pins: resources.PinState, other: "SELECT @a", sees: "NULL"},
	"comment":              {does: []string{"/*M!100100 SET @a = 5 */"}, pins: resources.PinState, other: "SELECT @a", sees: "NULL"},
}

// TestPins checks for every kind of state that cannot be carried over that it ties its session, what unties it, that nobody
// else sees anything of it, and that it ends with its client at once.
func TestPins(t *testing.T) {
	n := server.Start(t, server.MariaDB{Binlog: true}).Primary
	n.Exec("SET GLOBAL log_bin_trust_function_creators = 1", "USE test", "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)",
		"CREATE SEQUENCE sq", "CREATE PROCEDURE ptemp() CREATE TEMPORARY TABLE tt (a INT)", "CREATE FUNCTION flock() RETURNS INT RETURN GET_LOCK('f', 1)",
		"GRANT ALL ON *.* TO app@'%'")
	a := startAgent(t, newFake(t, n.Addr), testSettings(1))
	for name, k := range pinCases {
		t.Run(name, func(t *testing.T) {
			for _, how := range []string{"statement", "reset", "change user", "end"} {
				if how == "statement" && k.ends == "" {
					continue
				}
				c, other := dial(t, a.addr, "test", clientCaps), dial(t, a.addr, "test", clientCaps)
				c.must(k.does...)
				if got := a.pins(c); got != k.pins {
					t.Errorf("pins are %v, want %v", resources.PinNames(got), resources.PinNames(k.pins))
				}
				if why := a.session(c).PinReason(); why == "" {
					t.Error("it is not said why")
				}
				answer := make(chan string, 1)
				go func() { answer <- other.query(k.other).value() }() // waits until the connection is free
				switch how {
				case "statement":
					c.must(k.ends)
				case "reset":
					c.do(mysql.ComResetConnection, nil)
				case "change user":
					c.changeUser("") // no database: that needs no connection
				default:
					c.close()
				}
				if got := <-answer; got != k.sees {
					t.Errorf("%s: the other client sees %s, want %s", how, got, k.sees)
				}
				if how != "end" {
					if got := a.pins(c); got != 0 {
						t.Errorf("%s: pins are still %v", how, resources.PinNames(got))
					}
				}
				c.close()
				other.close()
			}
		})
	}
}

// TestDeadlock checks that a session that lost its transaction by an error does not keep the connection from others.
func TestDeadlock(t *testing.T) {
	n := server.Start(t, server.MariaDB{}).Primary
	n.Exec("USE test", "CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1), (2, 2)")
	a := startAgent(t, newFake(t, n.Addr), testSettings(1))
	rival := dial(t, n.Addr, "test", clientCaps)
	rival.must("BEGIN", "UPDATE t SET v = 0 WHERE id = 1", "UPDATE t SET v = 3 WHERE id > 2") // more work: not the victim
	c := dial(t, a.addr, "test", clientCaps)
	c.must("BEGIN", "SELECT * FROM t WHERE id = 2 FOR UPDATE")
	blocked := make(chan string, 1)
	go func() { blocked <- rival.query("UPDATE t SET v = 9 WHERE id = 2").String() }()
	// The server renews the table only when nobody has looked at it for 100 ms.
	for end := time.Now().Add(10 * time.Second); n.Value("SELECT COUNT(*) FROM information_schema.innodb_lock_waits") == "0"; {
		if time.Now().After(end) {
			t.Fatal("the rival does not wait")
		}
		time.Sleep(150 * time.Millisecond)
	}
	if got := c.query("UPDATE t SET v = 7 WHERE id = 1").String(); !strings.HasPrefix(got, "ERR 1213") {
		t.Fatalf("no deadlock: %s", got)
	}
	<-blocked
	rival.must("ROLLBACK")
	other := dial(t, a.addr, "test", clientCaps)
	if got := other.query("SELECT v FROM t WHERE id = 1").value(); got != "1" {
		t.Errorf("the other client sees %s", got)
	}
	if got := a.pins(c); got != 0 {
		t.Errorf("pins are still %v", resources.PinNames(got))
	}
	c.must("BEGIN", "UPDATE t SET v = 7 WHERE id = 1")
	if c.query("SELECT * FROM nosuch").err() == nil || a.pins(c) != resources.PinTxn {
		t.Errorf("an error that ends no transaction: pins are %v", resources.PinNames(a.pins(c)))
	}
	c.must("COMMIT")
	if got := other.query(fmt.Sprintf("SELECT v FROM t WHERE id = %d", 1)).value(); got != "7" {
		t.Errorf("after COMMIT the other client sees %s", got)
	}
}
