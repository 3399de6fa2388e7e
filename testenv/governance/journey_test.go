package governance

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// app calls a cache and a database all the time, as applications do, and knows which data centre answered.
type app struct {
	cache *redis.Client
	db    *sql.DB
	stop  context.CancelFunc
	wg    sync.WaitGroup

	calls, errors atomic.Int64
	lastError     atomic.Pointer[string]
	cacheAt, dbAt atomic.Pointer[string] // the data centre that answered last
}

func startApp(t *testing.T, agent *server.AgentProcess) *app {
	t.Helper()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.DBName = "shop", "secret", "tcp", agent.Addr("orders-db"), "shop"
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	a := &app{cache: redis.NewClient(&redis.Options{Addr: agent.Addr("feed-cache"), MaxRetries: -1}), db: sql.OpenDB(connector), stop: stop}
	t.Cleanup(a.close)
	a.wg.Go(func() {
		a.loop(ctx, &a.cacheAt, func() (string, error) { return a.cache.Get(ctx, "where").Result() })
	})
	a.wg.Go(func() {
		a.loop(ctx, &a.dbAt, func() (where string, err error) {
			err = a.db.QueryRowContext(ctx, "SELECT place FROM whereami").Scan(&where)
			return where, err
		})
	})
	return a
}

func (a *app) close() {
	a.stop()
	a.wg.Wait()
	a.cache.Close()
	a.db.Close()
}

func (a *app) loop(ctx context.Context, at *atomic.Pointer[string], call func() (string, error)) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		where, err := call()
		if ctx.Err() != nil {
			return
		}
		a.calls.Add(1)
		if err != nil {
			text := err.Error()
			a.lastError.Store(&text)
			a.errors.Add(1)
			continue
		}
		at.Store(&where)
	}
}

// answeredBy fails unless both are answered by a data centre.
func (a *app) answeredBy(idc string) error {
	for name, at := range map[string]*atomic.Pointer[string]{"the cache": &a.cacheAt, "the database": &a.dbAt} {
		if p := at.Load(); p == nil || *p != idc {
			return fmt.Errorf("%s is answered by %v, not %s", name, p, idc)
		}
	}
	return nil
}

// unharmed fails the test if a call failed so far, or if there were none lately.
func (a *app) unharmed(t *testing.T) {
	t.Helper()
	before := a.calls.Load()
	time.Sleep(200 * time.Millisecond)
	if n := a.errors.Load(); n > 0 {
		t.Errorf("the application saw %d errors, the last: %s", n, *a.lastError.Load())
	}
	if a.calls.Load() < before+20 {
		t.Errorf("the application made only %d calls in 200 ms", a.calls.Load()-before)
	}
}

// places are a cache and a database in two data centres, each of which says where it is.
func places(t *testing.T) (caches map[string]string, dbs map[string]string) {
	t.Helper()
	caches, dbs = make(map[string]string), make(map[string]string)
	for _, idc := range []string{"yf", "tc"} {
		r := server.Start(t, server.Redis{})
		c := redis.NewClient(&redis.Options{Addr: r.Primary.Addr})
		if err := c.Set(t.Context(), "where", idc, 0).Err(); err != nil {
			t.Fatal(err)
		}
		c.Close()
		caches[idc] = r.Primary.Addr
		m := server.Start(t, server.MariaDB{}).Primary
		m.Exec("CREATE DATABASE shop", "CREATE USER shop IDENTIFIED BY 'secret'", "GRANT ALL ON shop.* TO shop",
			"CREATE TABLE shop.whereami (place VARCHAR(10))", "INSERT INTO shop.whereami VALUES ('"+idc+"')")
		dbs[idc] = m.Addr
	}
	return caches, dbs
}

func dbSpec(yf, tc string) string {
	return fmt.Sprintf("kind: mysql\nlabels: { team: shop }\nsettings: { users: [{ name: shop, password: \"${env:SHOP_PW}\", upstream: { name: shop, password: \"${env:SHOP_PW}\" } }] }\ngroups:\n"+
		"  yf: { weight: 100, endpoints: [%q] }\n  tc: { weight: 0, endpoints: [%q] }\n", yf, tc)
}

// shop starts the agent of an application that has a cache and a database.
func (l *lab) shop() *server.AgentProcess {
	l.Helper()
	return server.Start(l, server.Agent{Config: l.configOf("web-1", "yf", "", []string{"feed-cache", "orders-db"}),
		Env: []string{"SHOP_PW=secret", "SLUICE_JOIN=" + l.joinToken(1)}})
}

// One command moves a cache and a database to the other data centre, and undoing it moves them back, while an application that
// knows of nothing runs without an error. Then the centre is killed: nothing happens. The agent starts from its own copy.
func TestMoveCacheAndDatabase(t *testing.T) {
	t.Parallel()
	caches, dbs := places(t)
	l := newLab(t)
	l.put("feed-cache", redisSpec(caches["yf"], caches["tc"]))
	l.put("orders-db", dbSpec(dbs["yf"], dbs["tc"]))
	agent := l.shop()
	l.settled("web-1")
	a := startApp(t, agent)
	l.await(5*time.Second, "both to be answered by yf", func() error { return a.answeredBy("yf") })

	started := time.Now()
	id := l.command(`{"type": "switch", "select": {"idc": "tc"}, "weights": {"tc": 100}, "why": "yf is being rebuilt", "for": "10m"}`)
	l.await(5*time.Second, "both to be answered by tc", func() error { return a.answeredBy("tc") })
	t.Logf("moved within %v", time.Since(started).Round(time.Millisecond))
	a.unharmed(t)
	l.center.Must("DELETE", "/v1/commands/"+id, "")
	l.await(5*time.Second, "both to be answered by yf again", func() error { return a.answeredBy("yf") })
	a.unharmed(t)

	id = l.command(`{"type": "switch", "select": {"idc": "tc"}, "weights": {"tc": 100}, "why": "again"}`)
	l.await(5*time.Second, "both to be answered by tc", func() error { return a.answeredBy("tc") })
	l.center.Kill()
	time.Sleep(time.Second)
	a.unharmed(t)
	if err := a.answeredBy("tc"); err != nil {
		t.Errorf("without a centre: %v", err)
	}
	agent.Kill()
	agent.Restart()
	l.await(5*time.Second, "the restarted agent to serve as before, without a centre", func() error {
		where, err := a.cache.Get(t.Context(), "where").Result()
		if err != nil || where != "tc" {
			return fmt.Errorf("the cache answers %q, %v", where, err)
		}
		return a.answeredBy("tc")
	})
	l.center.Restart()
	l.settled("web-1")
	a.errors.Store(0) // of the moment in which the agent was not there
	l.center.Must("DELETE", "/v1/commands/"+id, "")
	l.await(5*time.Second, "both to be answered by yf", func() error { return a.answeredBy("yf") })
	a.unharmed(t)
}
