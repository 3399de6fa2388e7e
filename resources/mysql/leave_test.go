package mysql

import (
	"testing"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// A client whose session nobody else knows is disconnected where it should not stay, but not in the middle of something.
func TestPairedClientsLeaveBetweenTransactions(t *testing.T) {
	n := server.Start(t, server.MariaDB{}).Primary
	f := newFake(t, n.Addr)
	set := testSettings(4)
	set.Profile = profileTunnel
	a := startAgent(t, f, set)
	c, stays := dial(t, a.addr, "test", clientCaps), dial(t, a.addr, "test", clientCaps)
	c.query("CREATE OR REPLACE TABLE moved (id INT PRIMARY KEY)")
	c.query("BEGIN")
	stays.query("SET @a = 1")
	f.leave.Store(true)
	c.query("INSERT INTO moved VALUES (1)")
	if r := c.query("COMMIT"); r[0].err != nil {
		t.Fatalf("COMMIT: %v", r[0].err)
	}
	if _, err := c.reply(mysql.ComQuery); err == nil {
		t.Error("the client is still connected after its transaction")
	}
	if r := stays.query("SELECT @a"); r[0].err != nil {
		t.Errorf("a client with state of its own: %v", r[0].err)
	}
	f.leave.Store(false)
	if got := dial(t, a.addr, "test", clientCaps).query("SELECT COUNT(*) FROM moved").String(); got != dial(t, n.Addr, "test", clientCaps).query("SELECT COUNT(*) FROM moved").String() {
		t.Errorf("after the transaction: %s", got)
	}
}
