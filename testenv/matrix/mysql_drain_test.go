package matrix

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
)

// leaver is a client that works until it is told to leave: it inserts rows, and counts those that it was told of.
type leaver struct {
	who  int
	work func(ctx context.Context, insert string) (rows int, err error)
	rows int
	end  error
}

// run inserts until there is an error.
func (v *leaver) run(ctx context.Context) {
	insert := fmt.Sprintf("INSERT INTO leaving (who) VALUES (%d)", v.who)
	for v.end == nil {
		var n int
		n, v.end = v.work(ctx, insert)
		v.rows += n
	}
}

// farewell says how a client was told that the agent ends. The last one is what must not be: a command was sent, and the
// connection was closed without an answer.
func farewell(err error) string {
	var op *net.OpError
	switch {
	case number(err) == 1053 && strings.Contains(err.Error(), "sluice: db: the agent is shutting down"):
		return "1053"
	case errors.Is(err, sqldriver.ErrBadConn):
		return "closed while it was idle, and another connection refused"
	case errors.As(err, &op) && op.Op == "dial":
		return "closed while it was idle, and another connection refused"
	case errors.Is(err, driver.ErrInvalidConn):
		return "closed without an answer"
	}
	return err.Error()
}

// leavers are clients of each kind: with text and with prepared statements, statement by statement and in transactions,
// without a pause on connections of their own and now and then on those of a pool, where go-sql-driver looks whether a
// connection is still there before it uses it.
func (l *dbLab) leavers() []*leaver {
	l.Helper()
	var all []*leaver
	add := func(work func(ctx context.Context, insert string) (int, error)) {
		all = append(all, &leaver{who: len(all), work: work})
	}
	for range 4 {
		text, prepared := l.conn(l.db()), l.conn(l.db())
		add(func(ctx context.Context, insert string) (int, error) { return one(text.ExecContext(ctx, insert)) })
		add(func(ctx context.Context, insert string) (int, error) {
			st, err := prepared.PrepareContext(ctx, insert)
			if err != nil {
				return 0, err
			}
			defer st.Close()
			return one(st.ExecContext(ctx))
		})
		own := l.conn(l.db())
		add(func(ctx context.Context, insert string) (int, error) { return transaction(ctx, own, insert) })
	}
	pool := l.db()
	pool.SetMaxIdleConns(6)
	for i := range 6 {
		pause := time.Duration(5+12*i) * time.Millisecond
		add(func(ctx context.Context, insert string) (int, error) {
			time.Sleep(pause) // of a client that has something else to do
			if pause > 40*time.Millisecond {
				return transaction(ctx, pool, insert)
			}
			return one(pool.ExecContext(ctx, insert))
		})
	}
	return all
}

func one(_ sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return 1, nil
}

// transaction inserts two rows, or none.
func transaction(ctx context.Context, on interface {
	BeginTx(context.Context, *sql.TxOptions) (*sql.Tx, error)
}, insert string) (int, error) {
	tx, err := on.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	for range 2 {
		if _, err := tx.ExecContext(ctx, insert); err != nil {
			return 0, fmt.Errorf("inside a transaction: %w", errors.Join(err, tx.Rollback()))
		}
	}
	if err := tx.Commit(); err != nil {
		return 0, fmt.Errorf("COMMIT: %w", err)
	}
	return 2, nil
}

// Row 23: SIGTERM under load, and clients that take no notice. Transactions go on to their end. Whoever sends a command
// behind that is told so by error 1053, and whoever is silent is disconnected. Nothing that was sent is left without an answer, and
// what was refused was not executed.
func TestRow23MySQLDrain(t *testing.T) {
	for _, profile := range []string{"pooled", "tunnel"} {
		t.Run(profile, func(t *testing.T) { row23MySQLDrain(t, profile) })
	}
}

func row23MySQLDrain(t *testing.T, profile string) {
	l := openDB(t, dbPlan{direct: true, settings: "profile: " + profile, clients: 20})
	l.dbs.Primary.Exec("CREATE TABLE leaving (n BIGINT AUTO_INCREMENT PRIMARY KEY, who INT)")
	long, silent := l.conn(l.db()), l.conn(l.db())
	l.must(silent, "DO 1")
	l.must(long, "BEGIN", "INSERT INTO leaving (who) VALUES (1000)")
	all := l.leavers()
	var running sync.WaitGroup
	for _, v := range all {
		running.Go(func() { v.run(t.Context()) })
	}
	l.await(10*time.Second, "every client to work", func() error {
		if n := l.dbs.Primary.Value("SELECT COUNT(DISTINCT who) FROM leaving"); n != fmt.Sprint(len(all)) {
			return fmt.Errorf("%s of %d do", n, len(all))
		}
		return nil
	})
	l.inject(func() { l.agent.Signal(syscall.SIGTERM) })
	running.Wait()
	l.must(long, "INSERT INTO leaving (who) VALUES (1000)", "COMMIT")
	if _, err := long.ExecContext(t.Context(), "INSERT INTO leaving (who) VALUES (1000)"); number(err) != 1053 {
		t.Errorf("a statement behind the transaction ended with %v, want 1053", err)
	}
	all = append(all, &leaver{who: 1000, rows: 2})
	ends := map[string]int{}
	for _, v := range all {
		if n := l.dbs.Primary.Value(fmt.Sprintf("SELECT COUNT(*) FROM leaving WHERE who = %d", v.who)); n != fmt.Sprint(v.rows) {
			t.Errorf("client %d: %s rows are there, and it was told of %d; it ended with %v", v.who, n, v.rows, v.end)
		}
		if v.end == nil {
			continue
		}
		how := farewell(v.end)
		ends[how]++
		if how != "1053" && how != farewell(sqldriver.ErrBadConn) {
			t.Errorf("client %d ended with %v", v.who, v.end)
		}
	}
	t.Logf("%d clients: %v", len(all)-1, ends)
	if ends["1053"] < 8 {
		t.Errorf("%d clients were told of the end by error 1053: want most of the %d that made no pause", ends["1053"], 12)
	}
	select {
	case <-l.agent.Done():
		if l.agent.State() != "exit status 0" {
			t.Errorf("the agent ended with %s", l.agent.State())
		}
	case <-time.After(10 * time.Second):
		t.Error("the agent does not end")
	}
	l.agent.Stop() // it ended; this tells the test environment that it was meant to
	l.readLog()
}

// Row 23: a setting changes under load, which opens the resource anew behind its port. Clients of a pool that begin anew
// where they are told to have no other error, and each row is there as often as they think.
func TestRow23MySQLSettingsChange(t *testing.T) {
	l := openDB(t, dbPlan{direct: true, clients: 20})
	l.plan.files = 32 // sluice_upstream_connections, by which clean knows those that are kept, is too low behind a change
	l.dbs.Primary.Exec("CREATE TABLE leaving (n BIGINT AUTO_INCREMENT PRIMARY KEY, who INT)")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	pool := l.db()
	pool.SetMaxIdleConns(8)
	var running sync.WaitGroup
	var mu sync.Mutex
	told := 0
	ends := map[string]int{}
	insert := "INSERT INTO leaving (who) VALUES (1)"
	for i := range 8 {
		running.Go(func() {
			for ctx.Err() == nil {
				time.Sleep(time.Duration(4*i) * time.Millisecond) // of a client that has something else to do
				n, err := transaction(context.Background(), pool, insert)
				mu.Lock()
				told += n
				if err != nil {
					how := farewell(err)
					if how != "1053" {
						how += ": " + err.Error()
					}
					ends[how]++
				}
				mu.Unlock()
			}
		})
	}
	config := l.plan.agent.Config
	for i := range 3 {
		l.lasts(300 * time.Millisecond)
		l.agent.Rewrite(strings.Replace(config, "probe: {", fmt.Sprintf("max-packet: %dMiB, probe: {", 8+i), 1))
		was := l.scrape().sum("sluice_config_revision")
		l.agent.Signal(syscall.SIGHUP)
		l.await(5*time.Second, "the new settings", func() error {
			if is := l.scrape().sum("sluice_config_revision"); is == was {
				return fmt.Errorf("the revision is %.0f", is)
			}
			return nil
		})
	}
	l.lasts(300 * time.Millisecond)
	stop()
	running.Wait()
	t.Logf("%d rows; errors %v", told, ends)
	for how := range ends {
		crossed := strings.HasPrefix(how, "closed without an answer") // its command was still on its way: leave.go
		if how == "1053" || crossed && !alone && ends[how] <= 2 {
			continue
		}
		t.Errorf("%d times: %s", ends[how], how)
	}
	if n := l.dbs.Primary.Value("SELECT COUNT(*) FROM leaving"); n != fmt.Sprint(told) || told < 100 {
		t.Errorf("%s rows are there, and clients were told of %d", n, told)
	}
	pool.Close()
	l.clean()
}
