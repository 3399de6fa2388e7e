package matrix

import (
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/mysql"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// What a statement may end with when its server is gone: 1158 is unavailable, and unknown when the connection ends with it.
var lost = []string{"1158", load.Closed, load.Connect}

// Row 1: the only server is killed. Statements are refused at once, nothing queues, what was in flight is unknown.
func TestRow01MySQLServerKilled(t *testing.T) {
	l := openDB(t, dbPlan{direct: true})
	b := l.bank(mysql.BankConfig{})
	l.inject(l.dbs.Primary.Kill)
	l.visible("statements of unknown outcome, or refused ones", func(now scrape) bool {
		return dbCalls(now, "unknown") > dbCalls(l.before, "unknown") || dbCalls(now, "unavailable") > dbCalls(l.before, "unavailable")
	})
	start := time.Now()
	if _, err := l.db().ExecContext(t.Context(), "DO 1"); number(err) != 1158 {
		t.Errorf("a statement ended with %v, want 1158", err)
	}
	if took := time.Since(start); took > 4*time.Second { // less than writes wait for a primary that is being replaced
		t.Errorf("a statement was refused after %v", took)
	}
	l.upEndpoints(0)
	l.dbs.Primary.Restart()
	l.healed(b, 120)
	l.ends(b, l.dbs.Primary, lost...)
	l.clean()
}

// Row 2: the server stands still and goes on. Nothing is executed twice, nothing is lost.
func TestRow02MySQLServerFrozen(t *testing.T) {
	l := openDB(t, dbPlan{direct: true})
	b := l.bank(mysql.BankConfig{})
	l.inject(l.dbs.Primary.Pause)
	l.visible("the endpoint down", func(now scrape) bool { return now.sum("sluice_endpoint_up", "resource", "db") == 0 })
	l.dbs.Primary.Continue()
	l.healed(b, 120)
	l.ends(b, l.dbs.Primary, lost...)
	l.clean()
}

// Row 3: connections are reset in the middle of replies.
func TestRow03MySQLReset(t *testing.T) {
	l := openDB(t, dbPlan{})
	b := l.bank(mysql.BankConfig{Reads: true})
	l.inject(func() { l.proxies[0].Set(fault.ResetAfter(1500).Down()) })
	l.shows("unknown")
	l.lasts(500 * time.Millisecond)
	l.proxies[0].MustHaveFired(t, fault.KindReset)
	l.proxies[0].Clear()
	l.healed(b, 120)
	if r := l.ends(b, l.dbs.Primary, lost...); r.ErrorCount("1158") == 0 {
		t.Error("no client was told that a statement is unknown")
	}
	l.clean()
}

// Row 11: the primary becomes read-only and another server becomes the primary, by hand and in good order. Statements that
// are transactions of their own have no error, and those that are executed are executed once.
func TestRow11MySQLPlannedSwitch(t *testing.T) {
	l := openDB(t, dbPlan{direct: true, servers: server.MariaDB{Replicas: 2}})
	r := l.rows(mysql.Config{Mix: mysql.Mix{Select: 4, Write: 4, Range: 1}})
	b := l.bank(mysql.BankConfig{})
	old, next := l.dbs.Primary, l.dbs.Replicas[0]
	l.inject(func() { old.SetReadOnly(true) })
	next.WaitReplicated(old)
	next.Promote()
	l.dbs.Replicas[1].Follow(next)
	old.Follow(next)
	l.visible("the new primary", func(now scrape) bool {
		return now.sum("sluice_endpoint_up", "resource", "db", "endpoint", next.Addr, "role", "primary") == 1 &&
			now.sum("sluice_endpoint_up", "resource", "db", "role", "primary") == 1
	})
	l.healed(b, 120)
	l.thrives(r, 300, recoverWithin)
	l.ends(b, next, "1290")
	r.Stop().Check(l, 50)
	l.clean()
}

// Row 11: the primary is killed and a replica that has everything is promoted. Nothing that was acknowledged is lost.
func TestRow11MySQLPrimaryLost(t *testing.T) {
	l := openDB(t, dbPlan{direct: true, servers: server.MariaDB{Replicas: 1, SemiSync: true}})
	b := l.bank(mysql.BankConfig{})
	l.inject(l.dbs.Primary.Kill)
	l.visible("unknown statements, or the endpoint down", func(now scrape) bool {
		return dbCalls(now, "unknown") > dbCalls(l.before, "unknown") || now.sum("sluice_endpoint_up", "resource", "db") == 1
	})
	next := l.dbs.Replicas[0]
	next.Promote()
	l.healed(b, 120)
	l.ends(b, next, lost...)
	l.clean()
}
