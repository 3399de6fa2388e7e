package matrix

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load/mysql"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// Row 11: the primary is made read-only and takes writes again soon. Single statements wait, and so do transactions that
// have executed nothing.
func TestRow11MySQLReadOnlyFlips(t *testing.T) {
	l := openDB(t, dbPlan{direct: true, settings: "hold: 5s"})
	r := l.rows(mysql.Config{Mix: mysql.Mix{Select: 2, Write: 4}})
	l.inject(func() { l.dbs.Primary.SetReadOnly(true) })
	l.visible("no primary", func(now scrape) bool { return now.sum("sluice_endpoint_up", "resource", "db", "role", "primary") == 0 })
	l.lasts(500 * time.Millisecond)
	l.dbs.Primary.SetReadOnly(false)
	l.healed(r, 300)
	report := r.Stop()
	report.Check(t, 50)
	if report.Max < 400*time.Millisecond {
		t.Errorf("the slowest statement took %v: none has waited", report.Max)
	}
	l.clean()
}

// Row 11: there is no primary for longer than statements wait. They get the server's own answer, or UNAVAILABLE.
func TestRow11MySQLHoldEnds(t *testing.T) {
	l := openDB(t, dbPlan{direct: true, settings: "hold: 300ms"})
	c := l.conn(l.db())
	l.must(c, "CREATE TABLE held (n INT)", "INSERT INTO held VALUES (1)")
	l.dbs.Primary.SetReadOnly(true)
	for i, want := range []uint16{1290, 1158, 1158} {
		start := time.Now()
		_, err := c.ExecContext(t.Context(), "INSERT INTO held VALUES (2)")
		took := time.Since(start)
		if number(err) != want || i == 0 && took < 250*time.Millisecond || took > 10*time.Second {
			t.Errorf("write number %d ended with %v after %v, want %d", i, err, took, want)
		}
	}
	l.dbs.Primary.SetReadOnly(false)
	l.await(recoverWithin, "writes to go on", func() error {
		_, err := c.ExecContext(t.Context(), "INSERT INTO held VALUES (3)")
		return err
	})
	if n := l.count(c, "SELECT COUNT(*) FROM held WHERE n = 2"); n != 0 {
		t.Errorf("%d writes that were refused are there", n)
	}
	c.Close()
	l.clean()
}

// Row 11: a write of three megabytes goes to a server that is no primary any more. Nobody has it any more to send it to the
// new one: the client gets the server's own answer, nothing was executed, and the same client can send it again.
func TestRow11MySQLLargeWrite(t *testing.T) {
	l := openDB(t, dbPlan{direct: true, servers: server.MariaDB{Replicas: 1, Args: []string{"--max-allowed-packet=64M"}},
		probes: "{ every: 3s, timeout: 1s }"}) // so that the agent learns it from the write
	c := l.conn(l.db())
	l.must(c, "CREATE TABLE large_one (b LONGBLOB)")
	insert, err := c.PrepareContext(t.Context(), "INSERT INTO large_one VALUES (?)")
	if err != nil {
		t.Fatal(err)
	}
	blob := bytes.Repeat([]byte("large"), 600<<10)
	write := func() error {
		_, err := insert.ExecContext(t.Context(), blob)
		return err
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	old, next := l.dbs.Primary, l.dbs.Replicas[0]
	old.SetReadOnly(true)
	next.WaitReplicated(old)
	next.Promote()
	old.Follow(next)
	if err := write(); number(err) != 1290 {
		t.Errorf("the write ended with %v, want 1290", err)
	}
	l.await(recoverWithin, "writes to go on", write)
	if n := l.count(c, fmt.Sprintf("SELECT COUNT(*) FROM large_one WHERE LENGTH(b) = %d", len(blob))); n != 2 {
		t.Errorf("the table has %d rows, want 2", n)
	}
	c.Close()
	l.clean()
}

// Row 11: a session that is tied to a server by what only that knows cannot follow the primary. It hears so once, and can
// connect anew.
func TestRow11MySQLTiedSession(t *testing.T) {
	l := openDB(t, dbPlan{direct: true, servers: server.MariaDB{Replicas: 1}})
	c := l.conn(l.db())
	l.must(c, "CREATE TABLE tied (n INT)", "SET @x = 1", "INSERT INTO tied VALUES (1)")
	old, next := l.dbs.Primary, l.dbs.Replicas[0]
	old.SetReadOnly(true)
	next.WaitReplicated(old)
	next.Promote()
	old.Follow(next)
	if _, err := c.ExecContext(t.Context(), "INSERT INTO tied VALUES (2)"); number(err) != 1290 {
		t.Errorf("the write of a tied session ended with %v, want 1290", err)
	}
	if _, err := c.ExecContext(t.Context(), "INSERT INTO tied VALUES (3)"); err == nil || number(err) != 0 {
		t.Errorf("the next one ended with %v, want the end of the connection", err)
	}
	c.Close()
	again := l.conn(l.db())
	l.must(again, "INSERT INTO tied VALUES (4)")
	if n := l.count(again, "SELECT SUM(n) FROM tied"); n != 5 {
		t.Errorf("the rows sum up to %d, want 5", n)
	}
	again.Close()
	l.clean()
}

// Row 11: the primary is replaced between BEGIN and the first statement of a transaction. The transaction goes on at the new
// one as if it had begun there; one that has executed something ends.
func TestRow11MySQLBegunTransactionMoves(t *testing.T) {
	l := openDB(t, dbPlan{direct: true, servers: server.MariaDB{Replicas: 1}})
	db := l.db()
	begun, prepared, busy := l.conn(db), l.conn(db), l.conn(db)
	l.must(begun, "CREATE TABLE moves (n INT)")
	st, err := prepared.PrepareContext(t.Context(), "INSERT INTO moves VALUES (?)")
	if err != nil {
		t.Fatal(err)
	}
	l.must(begun, "BEGIN")
	l.must(prepared, "START TRANSACTION")
	l.must(busy, "BEGIN", "INSERT INTO moves VALUES (100)")
	old, next := l.dbs.Primary, l.dbs.Replicas[0]
	old.SetReadOnly(true)
	next.WaitReplicated(old)
	next.Promote()
	l.must(begun, "INSERT INTO moves VALUES (1)", "INSERT INTO moves VALUES (2)")
	if _, err := st.ExecContext(t.Context(), 4); err != nil {
		t.Errorf("the first statement of a transaction: %v", err)
	}
	if n := next.Value("SELECT COUNT(*) FROM moves"); n != "0" {
		t.Errorf("%s rows are there before COMMIT", n)
	}
	if _, err := busy.ExecContext(t.Context(), "INSERT INTO moves VALUES (200)"); number(err) != 1290 {
		t.Errorf("the second statement of a transaction ended with %v, want 1290", err)
	}
	if _, err := busy.ExecContext(t.Context(), "COMMIT"); number(err) != 1290 {
		t.Logf("COMMIT on the old primary ended with %v", err)
	}
	l.must(begun, "COMMIT")
	l.must(prepared, "COMMIT")
	if n := next.Value("SELECT SUM(n) FROM moves"); n != "7" {
		t.Errorf("the rows sum up to %s, want 7", n)
	}
	if n := old.Value("SELECT COUNT(*) FROM moves"); n != "0" {
		t.Errorf("%s rows are on the old primary", n)
	}
	st.Close()
	for _, c := range []*sql.Conn{begun, prepared, busy} {
		c.Close()
	}
	l.clean()
}

// Row 11: clients that wait for the primary leave, and nothing stays behind.
func TestRow11MySQLWaitingClientLeaves(t *testing.T) {
	l := openDB(t, dbPlan{direct: true, settings: "hold: 20s"})
	proxy := fault.Start(t, fault.Options{Target: l.addr})
	through := l.client()
	through.Addr = proxy.Addr
	c := l.conn(openWith(t, through))
	l.must(c, "CREATE TABLE waits (n INT)")
	l.dbs.Primary.SetReadOnly(true)
	ended := make(chan error, 1)
	go func() {
		_, err := c.ExecContext(context.Background(), "INSERT INTO waits VALUES (1)")
		ended <- err
	}()
	l.await(5*time.Second, "the statement to wait", func() error {
		if n := l.scrape().sum("sluice_endpoint_up", "resource", "db", "role", "primary"); n != 0 {
			return fmt.Errorf("%.0f primaries are up", n)
		}
		return nil
	})
	proxy.ResetAll()
	if err := <-ended; err == nil {
		t.Error("the statement had no error")
	}
	l.await(recoverWithin, "the session to end", func() error {
		if n := l.scrape().sum("sluice_sessions", "resource", "db"); n != 0 {
			return fmt.Errorf("it is there")
		}
		return nil
	})
	l.dbs.Primary.SetReadOnly(false)
	c.Close()
	l.serves("INSERT INTO waits VALUES (2)")
	if n := l.dbs.Primary.Value("SELECT SUM(n) FROM waits"); n != "2" {
		t.Errorf("the rows sum up to %s, want 2", n)
	}
	l.clean()
}

// A replica that lags gets no reads, says so, and gets them again when it has caught up.
func TestRow05MySQLReplicaLags(t *testing.T) {
	l := openDB(t, dbPlan{direct: true, servers: server.MariaDB{Replicas: 2}, settings: "max-lag: 1s", policy: "reads: replica"})
	db := l.db()
	c := l.conn(db)
	l.must(c, "CREATE TABLE late (n INT)")
	for _, n := range l.dbs.Replicas {
		n.WaitReplicated(l.dbs.Primary)
	}
	late := l.dbs.Replicas[0]
	late.StopReplication()
	l.await(5*time.Second, "the replica to get no reads", func() error {
		if s := l.dbEndpoints(); !strings.Contains(s, `"stale"`) || !strings.Contains(s, "replication is stopped") {
			return fmt.Errorf("it does: %s", s)
		}
		return nil
	})
	for range 20 {
		if id := l.count(c, "SELECT @@server_id"); id != int64(l.dbs.Replicas[1].ID) {
			t.Fatalf("a read went to server %d, want %d", id, l.dbs.Replicas[1].ID)
		}
	}
	if up := l.scrape().sum("sluice_endpoint_up", "resource", "db"); up != 3 {
		t.Errorf("%.0f endpoints are up, want 3", up)
	}
	late.StartReplication()
	l.await(recoverWithin, "the replica to get reads", func() error {
		if s := l.dbEndpoints(); strings.Contains(s, `"stale"`) {
			return fmt.Errorf("it gets none: %s", s)
		}
		return nil
	})
	c.Close()
	l.clean()
}

// Reads on replicas that are behind see what their session wrote all the same.
func TestRow05MySQLCausalReads(t *testing.T) {
	for _, mode := range []string{"session", "resource"} {
		t.Run(mode, func(t *testing.T) {
			l := openDB(t, dbPlan{direct: true, servers: server.MariaDB{Replicas: 1}, policy: "reads: replica",
				settings: "causal-wait: 500ms, max-lag: 0s, causal: " + mode})
			writer, reader := l.conn(l.db()), l.conn(l.db())
			if mode == "session" {
				reader.Close()
				reader = writer
			}
			l.must(writer, "CREATE TABLE seen (n INT)")
			for i := range 100 {
				l.must(writer, fmt.Sprintf("INSERT INTO seen VALUES (%d)", i))
				if n := l.count(reader, "SELECT COUNT(*) FROM seen"); n != int64(i+1) {
					t.Fatalf("a read sees %d rows, want %d", n, i+1)
				}
			}
			replica := l.dbs.Replicas[0]
			if n := l.count(reader, "SELECT @@server_id"); n != int64(replica.ID) {
				t.Errorf("server %d answers reads, want the replica", n)
			}
			replica.StopReplication()
			l.must(writer, "INSERT INTO seen VALUES (100)")
			start := time.Now()
			if n := l.count(reader, "SELECT COUNT(*) FROM seen"); n != 101 {
				t.Errorf("a read sees %d rows, want 101", n)
			}
			if took := time.Since(start); took < 450*time.Millisecond || took > 10*time.Second {
				t.Errorf("it took %v, want a little more than causal-wait", took)
			}
			quickest := time.Hour
			for i := 0; i < 5 && quickest > 400*time.Millisecond; i++ { // none of them waits; one that was held up by the machine is no waiting
				start = time.Now()
				if n := l.count(reader, "SELECT COUNT(*) FROM seen"); n != 101 {
					t.Errorf("the next read sees %d rows, want 101", n)
				}
				quickest = min(quickest, time.Since(start))
			}
			if quickest > 400*time.Millisecond {
				t.Errorf("the next reads took %v and more, want them at once", quickest)
			}
			replica.StartReplication()
			l.await(recoverWithin, "reads to go to the replica", func() error {
				if n := l.count(reader, "SELECT @@server_id"); n != int64(replica.ID) {
					return fmt.Errorf("server %d answers", n)
				}
				return nil
			})
			writer.Close()
			reader.Close()
			l.clean()
		})
	}
}

// Row 1: one of two replicas refuses connections. Reads go to the other one, and nobody sees an error.
func TestRow01MySQLReplicaUnreachable(t *testing.T) {
	l := openDB(t, dbPlan{servers: server.MariaDB{Replicas: 2}, policy: "reads: replica, eject: { base: 500ms }"})
	r := l.rows(mysql.Config{Mix: mysql.Mix{Select: 5, Range: 1, Write: 1}, StaleReads: true})
	l.inject(func() {
		l.proxies[1].Set(fault.Refuse())
		l.proxies[1].ResetAll()
	})
	l.upEndpoints(2)
	l.proxies[1].MustHaveFired(t, fault.KindRefuse)
	l.proxies[1].Clear()
	l.healed(r, 300)
	l.upEndpoints(3)
	r.Stop().Check(t, 50)
	l.clean()
}

// Row 9: a client vanishes with an open transaction, which is rolled back at once, and in the middle of a statement, which
// is killed.
func TestRow09MySQLClientVanishes(t *testing.T) {
	l := openDB(t, dbPlan{direct: true})
	r := l.rows(mysql.Config{})
	proxy := fault.Start(t, fault.Options{Target: l.addr})
	through := l.client()
	through.Addr = proxy.Addr
	db := openWith(t, through)
	watch := l.dbs.Primary
	watch.Exec("CREATE TABLE gone (n INT PRIMARY KEY)", "INSERT INTO gone VALUES (1)")
	l.inject(func() {
		c := l.conn(db)
		l.must(c, "BEGIN", "UPDATE gone SET n = 2")
		busy := l.conn(db)
		ended := make(chan error, 1)
		go func() {
			_, err := busy.ExecContext(context.Background(), "DO SLEEP(60)")
			ended <- err
		}()
		l.await(5*time.Second, "the statement to run", func() error { return asleep(watch, 1) })
		proxy.ResetAll()
		if err := <-ended; err == nil {
			t.Error("the statement of a client that is gone had no error")
		}
		c.Close()
		busy.Close()
	})
	l.await(recoverWithin, "the statement to be killed", func() error { return asleep(watch, 0) })
	watch.Exec("SET innodb_lock_wait_timeout = 1", "UPDATE gone SET n = 3 WHERE n = 1") // fails when it is locked, or is 2
	if got := watch.Value("SELECT n FROM gone"); got != "3" {
		t.Errorf("the row has %s, want 3: the transaction of a client that is gone was not rolled back", got)
	}
	l.shows("canceled")
	r.Stop().Check(t, 50)
	l.clean()
}

// asleep reports an error unless so many statements sleep.
func asleep(n *server.MariaDBServer, want int) error {
	rows, err := n.Query("SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'DO SLEEP(60)%'")
	if err == nil && len(rows) != want {
		err = fmt.Errorf("%d sleep, want %d", len(rows), want)
	}
	return err
}

// A transaction that is too long, or silent for too long, is rolled back, and its client disconnected.
func TestRow09MySQLTransactionTooLong(t *testing.T) {
	for limit, idle := range map[string]bool{"max-transaction: 600ms": false, "max-transaction-idle: 300ms": true} {
		t.Run(limit[:strings.IndexByte(limit, ':')], func(t *testing.T) {
			l := openDB(t, dbPlan{direct: true, settings: limit})
			c := l.conn(l.db())
			l.must(c, "CREATE TABLE long_one (n INT)", "BEGIN", "INSERT INTO long_one VALUES (1)")
			var err error
			if idle {
				time.Sleep(700 * time.Millisecond)
			} else {
				start := time.Now()
				_, err = c.ExecContext(t.Context(), "INSERT INTO long_one SELECT SLEEP(20)")
				if took := time.Since(start); number(err) != 1317 || took > 15*time.Second {
					t.Errorf("the statement ended with %v after %v, want 1317", err, took)
				}
			}
			l.await(10*time.Second, "the client to be disconnected", func() error {
				if n := l.scrape().sum("sluice_sessions", "resource", "db"); n != 0 {
					return fmt.Errorf("it is there")
				}
				return nil
			})
			if _, err = c.ExecContext(t.Context(), "COMMIT"); err == nil {
				t.Error("COMMIT had no error")
			}
			if n := l.dbs.Primary.Value("SELECT COUNT(*) FROM test.long_one"); n != "0" {
				t.Errorf("%s rows are there, want none", n)
			}
			if n := l.scrape().sum("sluice_dropped_total", "what", "transaction"); n != 1 {
				t.Errorf("%.0f transactions are counted, want 1", n)
			}
			c.Close()
			l.clean()
		})
	}
}
