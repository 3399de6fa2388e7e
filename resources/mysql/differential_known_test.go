package mysql

import (
	"fmt"
	"testing"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/testenv/server"
)

func query(who int, texts ...string) (steps []step) {
	for _, text := range texts {
		steps = append(steps, step{who: who, cmd: mysql.ComQuery, text: text})
	}
	return steps
}

func preparing(who, slot int, text string) []step {
	return []step{{who: who, cmd: mysql.ComStmtPrepare, slot: slot, text: text}}
}

func executing(who, slot int, params ...any) []step {
	return []step{{who: who, cmd: mysql.ComStmtExecute, slot: slot, types: true, params: params}}
}

func sending(who, slot int, cmd mysql.Command, text string) []step {
	return []step{{who: who, cmd: cmd, slot: slot, text: text}}
}

func all(parts ...[]step) (steps []step) {
	for _, p := range parts {
		steps = append(steps, p...)
	}
	return steps
}

// another is what makes the one connection of the pool forget what was prepared there and gives it other settings: another
// client uses it.
var another = query(0, "SET time_zone = '+03:00'", "SELECT 1")

// onceDifferent are sessions that were not the same through the agent once. Nothing in them may be refused either.
var onceDifferent = map[string][]step{
	"a list that a reset of the connection would empty": all(sending(1, 0, mysql.ComResetConnection, ""), sending(1, 0, mysql.ComInitDB, "nosuch"),
		query(1, "SHOW WARNINGS LIMIT 1", "SHOW WARNINGS LIMIT 1", "SHOW WARNINGS", "SELECT DATABASE()", "SHOW WARNINGS")),
	"a list that preparing empties": all(query(1, "XA END 'x'"), query(0, "SELECT 1"),
		preparing(1, 0, "SELECT id FROM h.t"), query(1, "SELECT @@warning_count", "SHOW WARNINGS")),
	"a list that preparing leaves": all(query(1, "XA END 'x'"), query(0, "SELECT 1"),
		preparing(1, 0, "SELECT @@warning_count"), executing(1, 0), query(1, "SELECT @@error_count", "SHOW WARNINGS")),
	"a list that choosing a database leaves": all(query(1, "SELECT 1/0"), query(0, "SELECT 1"),
		sending(1, 0, mysql.ComInitDB, "h"), sending(1, 0, mysql.ComPing, ""), query(1, "SHOW WARNINGS")),
	"warnings of the first of two statements": all(query(1, "SELECT 1/0; SELECT 2"), query(0, "SELECT 1"), query(1, "SHOW WARNINGS", "SELECT @@warning_count")),
	"a row count that GET DIAGNOSTICS leaves": query(1, "INSERT INTO h.t (v) VALUES ('a'), ('b')", "GET DIAGNOSTICS @d = ROW_COUNT", "SELECT ROW_COUNT()", "SELECT @d"),
	"a row count and an insert id": all(query(1, "INSERT INTO h.t (v) VALUES ('a'), ('b')", "SELECT ROW_COUNT(), LAST_INSERT_ID()"),
		query(0, "INSERT INTO h.t (v) VALUES ('a')"), query(1, "SELECT LAST_INSERT_ID()", "INSERT INTO h.m (id, v) VALUES (70, 70)", "SELECT LAST_INSERT_ID()")),
	"a row count behind the reset of a statement": all(preparing(1, 0, "SELECT 1"), query(1, "INSERT INTO h.t (v) VALUES ('a'), ('b')"),
		sending(1, 0, mysql.ComStmtReset, ""), query(1, "SELECT ROW_COUNT()")),
	"status behind the reset of a statement": all(preparing(1, 0, "SELECT 1"), query(1, "SELECT COUNT(*) FROM h.t"),
		sending(1, 0, mysql.ComStmtReset, ""), query(1, "SELECT 1; SELECT * FROM nosuch"), sending(1, 0, mysql.ComStmtReset, ""), query(1, "SHOW WARNINGS")),
	"found rows that SHOW WARNINGS leaves": all(query(1, "SELECT SQL_CALC_FOUND_ROWS id FROM h.t LIMIT 1"), query(0, "SELECT * FROM h.t WHERE id = 1"),
		query(1, "SHOW WARNINGS", "SHOW ERRORS", "SHOW WARNINGS LIMIT 1", "INSERT INTO h.t (v) VALUES ('r') RETURNING id", "SELECT FOUND_ROWS()")),
	"a list that is asked for when its connection is another's": all(sending(1, 0, mysql.ComResetConnection, ""), sending(1, 0, mysql.ComInitDB, "nosuch"),
		query(1, "SELECT 1"), query(0, "INSERT INTO h.u (v) VALUES ('a'), ('b')"), query(2, "SELECT @@sql_safe_updates"), query(1, "SHOW ERRORS")),
	"found rows behind an error": query(1, "SELECT 1 UNION SELECT 2", "SELECT (SELECT id FROM h.t)", "SELECT FOUND_ROWS()"),
	"a database that is gone":    query(1, "CREATE DATABASE gone", "USE gone", "DROP DATABASE gone", "SELECT DATABASE()", "SHOW WARNINGS"),
	"literals prepared in another character set": all(query(1, "SET NAMES latin1"), preparing(1, 0, "SELECT ?, CONCAT(?, '\xe4'), LENGTH('\xe4'), '\xe4' = 'a'"),
		query(1, "SET NAMES utf8mb4"), another, executing(1, 0, "x", "y"), query(1, "SELECT LENGTH('ä'), @@collation_connection")),
	"literals prepared in the login's character set": all(preparing(1, 0, "SELECT ?, CONCAT(?, 'ä'), LENGTH('ä')"),
		query(1, "SET NAMES latin1"), another, executing(1, 0, "x", "y"), query(1, "SELECT LENGTH('ä'), @@collation_connection")),
	"literals prepared with another collation": all(query(1, "SET collation_connection = utf8mb4_bin"), preparing(1, 0, "SELECT ? = 'A', 'a' = 'A'"),
		query(1, "SET collation_connection = DEFAULT"), another, executing(1, 0, "a"), query(1, "SELECT 'a' = 'A'")),
	"quotes prepared in another mode": all(query(1, "SET sql_mode = 'ANSI_QUOTES'"), preparing(1, 0, `SELECT "id", ? FROM h.t LIMIT 1`),
		query(1, "SET sql_mode = DEFAULT"), another, executing(1, 0, "a"), query(1, `SELECT "id"`)),
}

// TestOnceDifferent plays what random sessions have found, with one connection and with three.
func TestOnceDifferent(t *testing.T) {
	for _, pool := range []int{1, 2, players} {
		g := newGame(t, pool)
		for name, steps := range onceDifferent {
			t.Run(fmt.Sprintf("%s, pool of %d", name, pool), func(t *testing.T) {
				diff, played := g.replay(steps)
				if diff != "" {
					t.Error(diff)
				}
				for _, s := range played {
					if s.lost {
						t.Errorf("not answered: %s", s)
					}
				}
			})
		}
	}
}

// TestFailedLoginLeavesNothing checks that a login whose database is not there leaves no warning to the next client.
func TestFailedLoginLeavesNothing(t *testing.T) {
	n := server.Start(t, server.MariaDB{}).Primary
	a := startAgent(t, newFake(t, n.Addr), testSettings(1))
	c := dial(t, a.addr, "test", clientCaps)
	c.must("SELECT 1")
	if _, err := tryDial(t, a.addr, "nosuch", clientCaps); err == nil {
		t.Fatal("a login into a database that is not there")
	}
	if got := c.query("SHOW WARNINGS").all(); got != "" {
		t.Errorf("warnings of somebody else: %s", got)
	}
}
