package mysql_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/mysql"
	"github.com/sluice-mesh/sluice/testenv/server"
)

func TestBank(t *testing.T) {
	n := server.Start(t, server.MariaDB{}).Primary
	db := n.Open("root", "", server.MariaDBDatabase)
	for _, c := range []mysql.BankConfig{
		{Clients: 4, Reads: true, Rollbacks: 0.2},
		{Clients: 4, Prepared: true, Each: 3, Begin: "SET autocommit = 0", Accounts: 2500},
		{Clients: 1, Begin: "START TRANSACTION", Prefix: "other"},
	} {
		c.Server, c.Duration = as(n), 300*time.Millisecond
		r := startBank(t, c).Wait()
		r.Check(t, db, 20)
		if rolled := r.Book.Count(mysql.Refused); (rolled > 0) != (c.Rollbacks > 0) {
			t.Errorf("%d transfers were rolled back, their share is to be %v", rolled, c.Rollbacks)
		}
		if r.Book.Count(mysql.Acknowledged) != r.OK || r.Book.Count(mysql.Unknown) != 0 {
			t.Errorf("%d transfers are acknowledged, %d unknown: %v", r.Book.Count(mysql.Acknowledged), r.Book.Count(mysql.Unknown), r)
		}
	}
}

func TestBankCountsDeadlocks(t *testing.T) {
	n := server.Start(t, server.MariaDB{}).Primary
	b := startBank(t, mysql.BankConfig{Server: as(n), Clients: 8, Accounts: 4, Duration: time.Minute, Deadlocks: true})
	server.Wait(t, 20*time.Second, "20 deadlocks", func() error {
		if b.Counts().Errors < 20 {
			return errEarly
		}
		return nil
	})
	r := b.Stop()
	r.Check(t, n.Open("root", "", server.MariaDBDatabase), 1, "1213")
	if r.Errors["1213"] < 20 || r.Book.Count(mysql.Refused) != r.Errors["1213"] {
		t.Errorf("%d refused transfers: %v", r.Book.Count(mysql.Refused), r)
	}
}

// TestBankThroughCrashes kills the server under load, and makes it read-only: nothing acknowledged may be lost.
func TestBankThroughCrashes(t *testing.T) {
	n := server.Start(t, server.MariaDB{Binlog: true}).Primary
	b := startBank(t, mysql.BankConfig{Server: as(n), Clients: 6, Duration: time.Minute, Timeout: 2 * time.Second})
	more(t, b, 100)
	n.Kill()
	n.Restart()
	more(t, b, 100)
	n.SetReadOnly(true)
	refused := b.Counts().Errors + 20
	server.Wait(t, 20*time.Second, "refusals", func() error {
		if b.Counts().Errors < refused {
			return errEarly
		}
		return nil
	})
	n.SetReadOnly(false)
	more(t, b, 100)
	r := b.Stop()
	// What the server does to become read-only may hold up writers that wait for each other's locks until one gives up.
	r.Check(t, n.Open("root", "", server.MariaDBDatabase), 10, "1290", "1205", load.Closed, load.Connect, load.NoReply)
	if r.Errors["1290"] == 0 || r.Errors[load.Closed]+r.Errors[load.Connect] == 0 {
		t.Errorf("the load did not notice: %v", r)
	}
}

// TestBankFailover kills a primary whose commits wait for a replica, and goes on with the replica.
func TestBankFailover(t *testing.T) {
	m := server.Start(t, server.MariaDB{Replicas: 1, SemiSync: true})
	var primary atomic.Pointer[server.MariaDBServer]
	primary.Store(m.Primary)
	route := as(m.Primary)
	route.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, primary.Load().Addr)
	}
	b := startBank(t, mysql.BankConfig{Server: route, Verify: as(m.Primary), Clients: 6, Duration: time.Minute,
		Timeout: 2 * time.Second})
	more(t, b, 200)
	m.Primary.Kill()
	m.Replicas[0].Promote()
	primary.Store(m.Replicas[0])
	more(t, b, 100)
	r := b.Stop()
	r.Check(t, m.Replicas[0].Open("root", "", server.MariaDBDatabase), 10, load.Closed, load.Connect)
}

// TestBankThroughFaults loses connections again and again, at any point of a transaction.
func TestBankThroughFaults(t *testing.T) {
	n := server.Start(t, server.MariaDB{}).Primary
	p := fault.Start(t, fault.Options{Target: n.Addr, Seed: 1})
	b := startBank(t, mysql.BankConfig{Server: at(p.Addr, as(n)), Verify: as(n), Clients: 8, Duration: time.Minute, Timeout: 2 * time.Second})
	for range 50 {
		more(t, b, 15)
		p.ResetAll()
	}
	r := b.Stop()
	r.Check(t, n.Open("root", "", server.MariaDBDatabase), 10, load.Closed, load.Connect)
	if r.Book.Count(mysql.Unknown) == 0 || r.Book.Count(mysql.Refused) == 0 {
		t.Errorf("%d transfers are unknown and %d refused, want some: %v", r.Book.Count(mysql.Unknown), r.Book.Count(mysql.Refused), r)
	}
}

// TestAudit spoils the tables in every way that the audit is to find.
func TestAudit(t *testing.T) {
	n := server.Start(t, server.MariaDB{}).Primary
	db := n.Open("root", "", server.MariaDBDatabase)
	r := startBank(t, mysql.BankConfig{Server: as(n), Clients: 2, Transfers: 50, Rollbacks: 0.3, Seed: 2}).Wait()
	r.Check(t, db, 1)
	client, refused, acknowledged := 0, -1, -1
	for seq, at := range r.Book.Transfers[client] {
		switch at.Outcome {
		case mysql.Refused:
			refused = seq
		case mysql.Acknowledged:
			acknowledged = seq
		case mysql.Unknown:
		}
	}
	if refused < 0 || acknowledged < 0 {
		t.Fatalf("the client has not both a refused and an acknowledged transfer: %v", r)
	}
	copyRow := func(seq int) string {
		at := r.Book.Transfers[client][seq]
		return fmt.Sprintf("INSERT INTO bank_ledger (client, seq, src, dst, amount) VALUES (%d, %d, %d, %d, %d)", client, seq, at.Src, at.Dst, at.Amount)
	}
	for name, c := range map[string]struct {
		spoil string
		want  func(*mysql.Audit) int64
	}{
		"lost":     {fmt.Sprintf("DELETE FROM bank_ledger WHERE client = 0 AND seq = %d", acknowledged), func(a *mysql.Audit) int64 { return a.Lost }},
		"repeated": {copyRow(acknowledged), func(a *mysql.Audit) int64 { return a.Repeated }},
		"refused":  {copyRow(refused), func(a *mysql.Audit) int64 { return a.Wrong }},
		"changed": {fmt.Sprintf("UPDATE bank_ledger SET amount = amount + 1 WHERE client = 0 AND seq = %d", acknowledged),
			func(a *mysql.Audit) int64 { return a.Wrong }},
		"invented": {"INSERT INTO bank_ledger (client, seq, src, dst, amount) VALUES (99, 0, 0, 1, 1)", func(a *mysql.Audit) int64 { return a.Wrong }},
		"balance":  {"UPDATE bank_accounts SET balance = balance + 1 WHERE id = 3", func(a *mysql.Audit) int64 { return a.Sum - a.Want }},
		"account":  {"DELETE FROM bank_accounts WHERE id = 3", func(a *mysql.Audit) int64 { return a.Wrong }},
	} {
		n.Exec("CREATE OR REPLACE TABLE kept_ledger AS SELECT * FROM bank_ledger", "CREATE OR REPLACE TABLE kept_accounts AS SELECT * FROM bank_accounts",
			c.spoil)
		a, err := r.Book.Audit(t.Context(), db)
		if err != nil || c.want(a) == 0 || a.Err() == nil {
			t.Errorf("%s is not found: %v, %v", name, a, err)
		}
		n.Exec("DELETE FROM bank_ledger", "INSERT INTO bank_ledger SELECT * FROM kept_ledger",
			"DELETE FROM bank_accounts", "INSERT INTO bank_accounts SELECT * FROM kept_accounts")
	}
	if a, err := r.Book.Audit(t.Context(), db); err != nil || a.Err() != nil {
		t.Errorf("as it was: %v, %v", a, err)
	}
	n.Exec("DROP TABLE bank_ledger")
	if _, err := r.Book.Audit(t.Context(), db); err == nil {
		t.Error("a missing table is no error")
	}
}
