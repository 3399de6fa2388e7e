//go:build long

package matrix

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/mysql"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// Row 11: the primary stands still, another one is promoted, and the first one goes on and still takes itself for the
// primary. It gets nothing.
func TestLongRow11MySQLFrozenPrimaryReturns(t *testing.T) {
	l := openDB(t, dbPlan{direct: true, servers: server.MariaDB{Replicas: 2, SemiSync: true}, clients: 60})
	b := l.bank(mysql.BankConfig{Timeout: 2 * time.Second})
	r := l.rows(mysql.Config{Timeout: 2 * time.Second})
	old, next := l.dbs.Primary, l.dbs.Replicas[0]
	l.inject(old.Pause)
	l.visible("the endpoint down", func(now scrape) bool { return now.sum("sluice_endpoint_up", "resource", "db") == 2 })
	next.Promote()
	l.dbs.Replicas[1].Follow(next)
	l.healed(b, 120)
	l.thrives(r, 300, recoverWithin)
	old.Continue()
	l.await(5*time.Second, "the old primary to be fenced", func() error {
		if s := l.scrape().sum("sluice_endpoint_up", "resource", "db", "role", "primary"); s != 1 {
			return fmt.Errorf("%.0f primaries are up", s)
		}
		return nil
	})
	at := old.GTID()
	l.lasts(2 * time.Second)
	if now := old.GTID(); now != at {
		t.Errorf("the old primary was written to: it is at %s, was at %s", now, at)
	}
	l.ends(b, next, append(lost, load.NoReply)...)
	r.Stop().Check(t, 50, append(lost, load.NoReply)...)
	l.clean()
}

// Row 11: the primary goes to and fro, in good order and not, with an agent that looks for races.
func TestLongRow11MySQLPrimaryGoesRound(t *testing.T) {
	l := openDB(t, dbPlan{direct: true, servers: server.MariaDB{Replicas: 2, SemiSync: true}, race: true})
	b := l.bank(mysql.BankConfig{Rollbacks: 0.1, Reads: true, Prepared: true})
	nodes := l.dbs.Nodes()
	for round := range 6 {
		primary, next, other := nodes[round%3], nodes[(round+1)%3], nodes[(round+2)%3]
		if planned := round%2 == 0; planned {
			l.inject(func() { primary.SetReadOnly(true) })
			next.WaitReplicated(primary)
			next.Promote()
			other.Follow(next)
			primary.Follow(next)
		} else {
			l.inject(primary.Kill)
			next.Promote()
			other.Follow(next)
			primary.Reseed(next)
		}
		l.healed(b, 120)
		l.upEndpoints(3)
	}
	l.ends(b, nodes[6%3], append(lost, "1290")...)
	l.clean()
}

// Row 3: connections break again and again, at any point of a transaction, with text and with prepared statements.
func TestLongRow03MySQLResetsAndCuts(t *testing.T) {
	for _, prepared := range []bool{false, true} {
		t.Run(fmt.Sprintf("prepared=%v", prepared), func(t *testing.T) {
			l := openDB(t, dbPlan{race: true})
			b := l.bank(mysql.BankConfig{Prepared: prepared, Reads: true})
			for i := range 40 {
				cut := int64(200 + 97*i)
				l.proxies[0].Set([]fault.Toxic{fault.ResetAfter(cut).Down(), fault.ResetAfter(cut).Up(), fault.HalfCloseAfter(cut).Down()}[i%3])
				l.lasts(150 * time.Millisecond)
			}
			l.proxies[0].MustHaveFired(t, fault.KindReset, fault.KindHalfClose)
			l.proxies[0].Clear()
			l.healed(b, 120)
			l.ends(b, l.dbs.Primary, lost...)
			l.clean()
		})
	}
}

// Row 2: a replica swallows what it is sent. Reads time out there, and then go to the other one.
func TestLongRow02MySQLReplicaSwallows(t *testing.T) {
	l := openDB(t, dbPlan{servers: server.MariaDB{Replicas: 2}, policy: "reads: replica, timeout: 1s"})
	r := l.rows(mysql.Config{Mix: mysql.Mix{Select: 5, Range: 1, Write: 1}, StaleReads: true})
	l.inject(func() { l.proxies[2].Set(fault.Blackhole()) })
	l.upEndpoints(2)
	l.proxies[2].MustHaveFired(t, fault.KindBlackhole)
	l.proxies[2].Clear()
	l.healed(r, 300)
	r.Stop().Check(t, 50, "1969", "1158")
	l.clean()
}

// The rows of the short form whose load goes on through the fault, beside another resource whose clients must not notice.
func TestLongMySQLRowsBesideOthers(t *testing.T) {
	for name, row := range map[string]func(*testing.T){
		"01": TestRow01MySQLServerKilled, "01 replica": TestRow01MySQLReplicaUnreachable, "02": TestRow02MySQLServerFrozen,
		"03": TestRow03MySQLReset, "09": TestRow09MySQLClientVanishes, "10": TestRow10MySQLSlowLogin,
		"11 flips": TestRow11MySQLReadOnlyFlips, "11 planned": TestRow11MySQLPlannedSwitch, "11 lost": TestRow11MySQLPrimaryLost,
		"30": TestRow30MySQLSlowClient,
	} {
		t.Run(name, row)
	}
}
