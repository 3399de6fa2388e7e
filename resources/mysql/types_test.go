package mysql

import (
	"encoding/binary"
	"testing"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// TestTypesFollowTheirStatement executes statements without the types of their parameters, which an earlier execution has
// told, on a connection that has forgotten them.
func TestTypesFollowTheirStatement(t *testing.T) {
	s := server.Start(t, server.MariaDB{}).Primary
	a := startAgent(t, newFake(t, s.Addr), testSettings(1))
	c, err := enter(t, a.addr, entry{db: "test", caps: mariaCaps})
	if err != nil {
		t.Fatal(err)
	}
	other := dial(t, a.addr, "mysql", clientCaps)
	c.must("CREATE TABLE t (i INT, s VARCHAR(10))")
	id := c.prepare("INSERT INTO t VALUES (?, ?)")
	silent := func() []byte { // a bulk without types
		b := bulk(id)[1:]
		binary.LittleEndian.PutUint16(b[4:], 0)
		return append(b[:6:6], b[10:]...)
	}
	run := func(what string, cmd mysql.Command, body []byte, want uint64) {
		t.Helper()
		other.must("SET sort_buffer_size = 123456", "SELECT 1")
		rep := c.do(cmd, body)
		if err := rep.err(); err != nil || rep[0].ok.AffectedRows != want {
			t.Errorf("%s: %s", what, rep)
		}
	}
	run("execute with types", mysql.ComStmtExecute, execution(id, 0, true, 9, "b9"), 1)
	run("bulk without types", mysql.ComStmtBulkExecute, silent(), 3)
	run("execute without types", mysql.ComStmtExecute, execution(id, 0, false, 8, "b8"), 1)
	run("bulk with types", mysql.ComStmtBulkExecute, bulk(id)[1:], 3)
	run("bulk without types, again", mysql.ComStmtBulkExecute, silent(), 3)
	const want = "8|b8\n9|b9\n10|b0\n10|b0\n10|b0\n11|b1\n11|b1\n11|b1\n12|b2\n12|b2\n12|b2"
	if got := c.must("SELECT i, s FROM t ORDER BY i").all(); got != want {
		t.Errorf("the table has\n%s\nwant\n%s", got, want)
	}
}
