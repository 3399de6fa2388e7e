package matrix

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load/mysql"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// Row 3: the connection to the server is reset in the middle of a long result. The client gets what came and then the end,
// never something made up.
func TestRow03MySQLResetInsideResult(t *testing.T) {
	l := openDB(t, dbPlan{})
	c := l.conn(l.db())
	l.proxies[0].Set(fault.ResetAfter(300 << 10).Down())
	rows, err := c.QueryContext(t.Context(), "SELECT seq, REPEAT('x', 100) FROM seq_1_to_20000")
	var n, id int
	if err == nil {
		var text string
		for rows.Next() {
			if err := rows.Scan(&id, &text); err != nil || id != n+1 || text != strings.Repeat("x", 100) {
				t.Fatalf("row %d is %d %.20q, %v", n+1, id, text, err)
			}
			n++
		}
		err = rows.Err()
		rows.Close()
	}
	if err == nil || n == 0 || n >= 20000 {
		t.Errorf("the client got %d rows and %v, want some and an error", n, err)
	}
	l.proxies[0].MustHaveFired(t, fault.KindReset)
	l.proxies[0].Clear()
	c.Close()
	l.serves("DO 1")
	l.clean()
}

// Row 30: a client takes a long result slowly. The agent holds next to nothing of it, and others do not notice.
func TestRow30MySQLSlowClient(t *testing.T) {
	l := openDB(t, dbPlan{direct: true})
	r := l.rows(mysql.Config{})
	proxy := fault.Start(t, fault.Options{Target: l.addr})
	through := l.client()
	through.Addr = proxy.Addr
	c := l.conn(openWith(t, through))
	proxy.Set(fault.Bandwidth(200 << 10).Down())
	before := l.agent.Usage().RSS
	l.inject(func() {
		rows, err := c.QueryContext(t.Context(), "SELECT REPEAT('x', 1000) FROM seq_1_to_200000")
		if err != nil {
			t.Fatal(err)
		}
		most := before
		for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); {
			if !rows.Next() {
				t.Fatalf("the result of 200 MB ended: %v", rows.Err())
			}
			most = max(most, l.agent.Usage().RSS)
		}
		t.Logf("resident memory rose by %d KiB", (most-before)>>10)
		if most-before > 8<<20 {
			t.Errorf("resident memory rose from %d to %d KiB while a slow client took a long result", before>>10, most>>10)
		}
		proxy.ResetAll()
		rows.Close()
	})
	proxy.MustHaveFired(t, fault.KindBandwidth)
	c.Close()
	l.shows("canceled")
	l.healed(r, 300)
	r.Stop().Check(t, 50)
	l.clean()
}

// Row 8: packets that are longer than may be are refused before they are read.
func TestRow08MySQLOversize(t *testing.T) {
	l := openDB(t, dbPlan{direct: true, settings: "max-packet: 1MiB"})
	c := l.client()
	c.MaxAllowedPacket = 64 << 20
	conn := l.conn(openWith(t, c))
	_, err := conn.ExecContext(t.Context(), "DO '"+strings.Repeat("x", 3<<20)+"'")
	if err == nil {
		t.Error("a packet of 3 MiB was taken, with max-packet 1MiB")
	}
	t.Logf("it ended with %v", err)
	conn.Close()
	l.serves("DO '" + strings.Repeat("x", 1<<19) + "'")
	// Before login there is nothing long to say.
	nc := dialRaw(t, l.addr)
	greeting(t, nc)
	if _, err := nc.Write(append([]byte{0xff, 0xff, 0xff, 1}, make([]byte, 1<<20)...)); err != nil {
		t.Logf("writing ended with %v", err)
	}
	ends(t, nc, 3*time.Second)
	l.clean()
}

func dialRaw(t *testing.T, addr string) net.Conn {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// greeting reads the first packet of a server.
func greeting(t *testing.T, nc net.Conn) []byte {
	t.Helper()
	_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	var head [4]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		t.Fatalf("no greeting: %v", err)
	}
	p := make([]byte, int(binary.LittleEndian.Uint32(head[:])&0xffffff))
	if _, err := io.ReadFull(nc, p); err != nil {
		t.Fatalf("half a greeting: %v", err)
	}
	return p
}

// ends reads to the end of a connection, which must come in time.
func ends(t *testing.T, nc net.Conn, within time.Duration) []byte {
	t.Helper()
	_ = nc.SetReadDeadline(time.Now().Add(within))
	got, err := io.ReadAll(nc)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the connection is open after %v", within)
	}
	return got
}

// Row 10: clients that never finish their login. They are disconnected in time, and others log in meanwhile.
func TestRow10MySQLSlowLogin(t *testing.T) {
	l := openDB(t, dbPlan{direct: true})
	r := l.rows(mysql.Config{Each: 20})
	var slow []net.Conn
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	dripped := make(chan struct{})
	l.inject(func() {
		for range 100 {
			nc := dialRaw(t, l.addr)
			greeting(t, nc)
			_, _ = nc.Write([]byte{80, 0, 0, 1})
			slow = append(slow, nc)
		}
		go func() {
			defer close(dripped)
			for ctx.Err() == nil {
				for _, nc := range slow {
					_, _ = nc.Write([]byte{0x21}) // of an answer of 80 bytes, whose head it has
				}
				select {
				case <-ctx.Done():
				case <-time.After(500 * time.Millisecond):
				}
			}
		}()
	})
	l.visible("the clients that do not log in", func(now scrape) bool { return now.sum("sluice_sessions", "resource", "db") >= 100 })
	for _, nc := range slow {
		if got := ends(t, nc, 8*time.Second); len(got) > 0 && !bytes.Contains(got, []byte("sluice")) && got[4] != 0xff {
			t.Errorf("a client that did not log in was told %q", got)
		}
	}
	stop()
	<-dripped
	l.healed(r, 300)
	r.Stop().Check(t, 50)
	l.clean()
}

// Traffic moves from one group to another under load: sessions go between two transactions, and notice nothing.
func TestRow11MySQLGroupsSwitched(t *testing.T) {
	second := server.Start(t, server.MariaDB{})
	l := openDB(t, dbPlan{direct: true, groups: `, other: { weight: 0, endpoints: ["` + second.Primary.Addr + `"] }`})
	for _, n := range []*server.MariaDBServer{l.dbs.Primary, second.Primary} {
		n.Exec("CREATE TABLE here (n BIGINT AUTO_INCREMENT PRIMARY KEY, who INT)")
	}
	const clients = 8
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, clients)
	db := l.db()
	for i := range clients {
		c := l.conn(db)
		go func() { done <- transact(ctx, c, i) }()
	}
	rows := func(n *server.MariaDBServer) string { return n.Value("SELECT COUNT(*) FROM here") }
	l.await(5*time.Second, "transactions", func() error {
		if rows(l.dbs.Primary) < "1" {
			return errors.New("there are none")
		}
		return nil
	})
	if err := l.switchTo("main=0", "other=100"); err != nil {
		t.Fatalf("the switch was refused: %v", err)
	}
	l.await(recoverWithin, "transactions in the other group", func() error {
		if rows(second.Primary) == "0" {
			return errors.New("there are none")
		}
		return nil
	})
	moved := rows(l.dbs.Primary)
	l.lasts(300 * time.Millisecond)
	if now := rows(l.dbs.Primary); now != moved {
		l.lasts(300 * time.Millisecond)
		if again := rows(l.dbs.Primary); again != now {
			t.Errorf("the old group still gets transactions: %s, %s, %s rows", moved, now, again)
		}
	}
	stop()
	for range clients {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for _, n := range []*server.MariaDBServer{l.dbs.Primary, second.Primary} {
		if odd := n.Value("SELECT COUNT(*) FROM (SELECT who FROM here GROUP BY who HAVING COUNT(*) % 2 = 1) AS x"); odd != "0" {
			t.Errorf("%s: %s clients have half a transaction there", n.Name, odd)
		}
	}
	db.Close()
	l.clean()
}

// transact executes transactions of two rows each until ctx ends.
func transact(ctx context.Context, c *sql.Conn, who int) error {
	defer c.Close()
	insert := fmt.Sprintf("INSERT INTO here (who) VALUES (%d)", who)
	for ctx.Err() == nil {
		for _, s := range []string{"BEGIN", insert, insert, "COMMIT"} {
			if _, err := c.ExecContext(context.Background(), s); err != nil {
				return fmt.Errorf("client %d: %s: %w", who, s, err)
			}
		}
	}
	return nil
}
