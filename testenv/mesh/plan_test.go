package mesh

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"

	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// beside is the configuration of an agent beside a server of the service in a data centre, which others find in ZooKeeper.
const beside = `
agent:
  admin: {{addr "admin"}}
  application: peers
  drain: { wait: 1s }
  exports: [{ resource: local, kind: motan2, group: {{.group}}, address: {{addr "local"}}, registry: "zookeeper://{{.zk}}", version: "1.0" }]
resources:
  local:
    kind: motan2
    listen: {{addr "local"}}
    settings: { service: sluice.testenv.PeerService }
    groups: { {{.group}}: { endpoints: ["{{.local}}"] } }
    policy: { timeout: 3s, probe: { every: 200ms } }
`

// joined is that of the agent beside the application, which has all else from the centre.
const joined = `
agent: { name: web-1, application: web, idc: yf, admin: {{addr "admin"}}, data: data, center: ["{{.center}}"], drain: { wait: 0s } }
resources:
  peers: { listen: {{addr "peers"}} }
  feed-cache: { listen: {{addr "feed-cache"}} }
  orders-db: { listen: {{addr "orders-db"}} }
`

// places is an application that calls a service, a cache and a database all the time. Each answers with the data centre that it
// is in, and all calls are reads.
type places struct {
	t    *testing.T
	mu   sync.Mutex
	at   map[string]string // by what is called, the last answer
	made map[string]int
	lost []string // calls that failed
}

// call makes calls until the test ends.
func (p *places) call(what string, where func(context.Context) (string, error)) {
	ctx, stop := context.WithCancel(context.Background())
	var calling sync.WaitGroup
	calling.Go(func() {
		for ctx.Err() == nil {
			at, err := where(ctx)
			if ctx.Err() != nil {
				return
			}
			p.mu.Lock()
			p.made[what]++
			if err != nil {
				p.lost = append(p.lost, fmt.Sprintf("%s, call %d: %v", what, p.made[what], err))
			} else {
				p.at[what] = at
			}
			p.mu.Unlock()
			time.Sleep(2 * time.Millisecond)
		}
	})
	p.t.Cleanup(func() { stop(); calling.Wait() })
}

// moved waits until everything is answered by a data centre.
func (p *places) moved(idc string) {
	p.t.Helper()
	server.Wait(p.t, 15*time.Second, "all to be answered by "+idc, func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, what := range []string{"service", "cache", "database"} {
			if p.at[what] != idc {
				return fmt.Errorf("the %s is answered by %q; lost so far: %v", what, p.at[what], p.lost)
			}
		}
		return nil
	})
}

// unharmed waits for a hundred more calls of each, of which none may have failed, nor any before.
func (p *places) unharmed(what string) {
	p.t.Helper()
	p.mu.Lock()
	before := map[string]int{"service": p.made["service"], "cache": p.made["cache"], "database": p.made["database"]}
	p.mu.Unlock()
	server.Wait(p.t, 15*time.Second, "a hundred calls "+what, func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		for of, n := range before {
			if p.made[of]-n < 100 {
				return fmt.Errorf("%d calls of the %s", p.made[of]-n, of)
			}
		}
		return nil
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.lost) > 0 {
		p.t.Fatalf("%s %d calls failed, the first: %s", what, len(p.lost), p.lost[0])
	}
}

// A PHP application and a Java service, which know nothing of each other, talk through two agents that find each other in
// ZooKeeper. One plan moves the service to the other data centre, together with a cache and a database. Then a server, an
// agent beside a server, the registry and the centre are killed one after the other. No call is lost.
func TestOnePlanMovesServiceCacheAndDatabase(t *testing.T) {
	t.Parallel()
	z := server.Start(t, server.ZooKeeper{})
	caches, dbs := map[string]string{}, map[string]string{}
	for _, idc := range []string{"yf", "tc"} {
		r := server.Start(t, server.Redis{}).Primary
		c := redis.NewClient(&redis.Options{Addr: r.Addr})
		if err := c.Set(t.Context(), "where", idc, 0).Err(); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		m := server.Start(t, server.MariaDB{}).Primary
		m.Exec("CREATE DATABASE shop", "CREATE USER shop IDENTIFIED BY 'secret'", "GRANT ALL ON shop.* TO shop",
			"CREATE TABLE shop.whereami (place VARCHAR(10))", "INSERT INTO shop.whereami VALUES ('"+idc+"')")
		caches[idc], dbs[idc] = r.Addr, m.Addr
	}
	exported := func(idc string) (*motan.ServerProcess, *server.AgentProcess) {
		s := motan.Serve(t, motan.Server{Peer: motan.Java, Name: idc, Group: idc + "-peers"})
		return s, server.Start(t, server.Agent{Config: beside, Vars: map[string]string{"zk": z.Addr, "local": s.Addr, "group": idc + "-peers"}})
	}
	exported("yf")
	java, besideJava := exported("tc")
	other, _ := exported("tc")

	center := server.Start(t, server.Center{Name: "c1"})
	put := func(name, format string, args ...any) {
		center.Must("PUT", "/v1/resources/"+name+"?why=test", fmt.Sprintf(format, args...))
	}
	put("peers", "kind: motan2\nsettings: { service: %s, idempotent: [name], groups: { yf: yf-peers, tc: tc-peers } }\npolicy: { timeout: 3s, probe: { every: 200ms } }\n"+
		"groups:\n  yf: { idc: yf, weight: 100, registry: \"zookeeper://%s\" }\n  tc: { idc: tc, weight: 0, registry: \"zookeeper://%[2]s\" }\n", motan.Service, z.Addr)
	put("feed-cache", "kind: redis\ngroups:\n  yf: { idc: yf, weight: 100, endpoints: [%q] }\n  tc: { idc: tc, weight: 0, endpoints: [%q] }\n", caches["yf"], caches["tc"])
	put("orders-db", "kind: mysql\nsettings: { users: [{ name: shop, password: \"${env:SHOP_PW}\", upstream: { name: shop, password: \"${env:SHOP_PW}\" } }] }\n"+
		"groups:\n  yf: { idc: yf, weight: 100, endpoints: [%q] }\n  tc: { idc: tc, weight: 0, endpoints: [%q] }\n", dbs["yf"], dbs["tc"])
	var join struct{ Token string }
	decode(t, center.Must("POST", "/v1/joins", `{"uses": 1}`), &join)
	web := server.Start(t, server.Agent{Config: joined, Vars: map[string]string{"center": center.URL()}, Env: []string{"SLUICE_JOIN=" + join.Token, "SHOP_PW=secret"}})

	app := &places{t: t, at: map[string]string{}, made: map[string]int{}}
	php := motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(web.Addr("peers"))})
	where := motan.Name()
	where.Group, where.Timeout = "yf-peers", 6*time.Second
	server.Wait(t, 10*time.Second, "the service to be found", func() error {
		if r := php.Do(where); r.Exception != nil {
			return r.Exception
		}
		return nil
	})
	app.call("service", func(context.Context) (string, error) {
		r := php.Do(where)
		if r.Exception != nil {
			return "", r.Exception
		}
		return r.Value.(string), nil
	})
	cache := redis.NewClient(&redis.Options{Addr: web.Addr("feed-cache"), MaxRetries: -1})
	t.Cleanup(func() { _ = cache.Close() })
	app.call("cache", func(ctx context.Context) (string, error) { return cache.Get(ctx, "where").Result() })
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.DBName = "shop", "secret", "tcp", web.Addr("orders-db"), "shop"
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { _ = db.Close() })
	app.call("database", func(ctx context.Context) (at string, err error) {
		err = db.QueryRowContext(ctx, "SELECT place FROM whereami").Scan(&at)
		return at, err
	})
	app.moved("yf")
	app.unharmed("at first")

	both := func() {
		t.Helper()
		server.Wait(t, 20*time.Second, "the agent to know both servers of tc", func() error {
			var r struct {
				Groups []struct {
					Name  string
					Sound int
				}
			}
			decode(t, center.Must("GET", "/v1/resources/peers", ""), &r)
			if len(r.Groups) != 2 || r.Groups[0].Name != "tc" || r.Groups[0].Sound != 2 {
				return fmt.Errorf("%+v", r)
			}
			return nil
		})
	}
	both()
	var plan struct{ ID, State, Reason string }
	decode(t, center.Must("POST", "/v1/plans", `{"name": "leave yf", "why": "yf is being rebuilt", "for": "10m",
		"steps": [{"type": "switch", "select": {"idc": "tc"}, "weights": {"tc": 100}}]}`), &plan)
	started := time.Now()
	steer := func(order, state string) {
		t.Helper()
		center.Must("POST", "/v1/plans/"+plan.ID+"/"+order, `{"why": "test"}`)
		server.Wait(t, 20*time.Second, "the plan to be "+state, func() error {
			decode(t, center.Must("GET", "/v1/plans/"+plan.ID, ""), &plan)
			if plan.State != state {
				return fmt.Errorf("it is %s: %s", plan.State, plan.Reason)
			}
			return nil
		})
	}
	steer("run", "done")
	app.moved("tc")
	t.Logf("moved within %v", time.Since(started).Round(time.Millisecond))
	app.unharmed("while they moved")

	java.Kill()
	app.unharmed("after a server was killed")
	java.Restart()
	both()
	besideJava.Kill()
	app.unharmed("after an agent beside a server was killed")
	besideJava.Restart()
	both()
	z.Kill()
	app.unharmed("after the registry was killed")
	other.Kill()
	app.unharmed("after a server was killed, without a registry")
	center.Kill()
	app.unharmed("after the centre was killed")
	center.Restart()
	server.Wait(t, 20*time.Second, "the agent to be linked again", func() error {
		status, answer, err := center.Call("GET", "/v1/agents/web-1", "")
		if err != nil || status != 200 || !strings.Contains(answer, `"connected":true`) {
			return fmt.Errorf("%d %.200s %w", status, answer, err)
		}
		return nil
	})
	steer("undo", "undone")
	app.moved("yf")
	app.unharmed("while they moved back")
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}
