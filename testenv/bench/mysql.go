package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/testenv/bench/load"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// mysqlLab is one MariaDB, with the table of sysbench, and what stands in front of it.
type mysqlLab struct {
	*lab
	db     *server.MariaDBServer
	direct *target
}

// sysbenchThreads is how many clients sysbench has, each with one statement at a time.
const sysbenchThreads = 8

// mysqlConfig is an agent with the defaults of every policy, whose profile is pooled.
const mysqlConfig = `agent:
  name: bench
  admin: {{addr "admin"}}
resources:
  bench:
    kind: mysql
    listen: {{addr "bench"}}
    groups:
      main: { endpoints: ["{{.db}}"] }
    settings:
      users: [{ name: app, password: "${env:BENCH_PW}", upstream: { password: "${env:BENCH_PW}" } }]
`

// mysqlFilters switches every filter on, with rules that the statements of the bench pass.
const mysqlFilters = `    policy:
      breaker: { errors: 50%, slow: 80%, slower-than: 100ms, window: 10s, min-calls: 20, open: 5s, mode: enforce }
      limits:
        - { rate: 50000000/s, burst: 1000000 }
        - { match: { op: "DELETE" }, rate: 0/s }
        - { match: { caller: "batch-*", class: write }, rate: 100/s, mode: observe }
      acl: { deny: [ { op: "DROP" }, { table: "secrets" } ] }
      access-log: { sample: 1%, slower-than: 500ms, errors: true, path: access.log }
      trace: { sample: 0.1% }
`

// mysqlCommands are commands that no statement of the bench matches, but whose filters look at every one.
var mysqlCommands = []string{
	`{"type":"degrade","resource":"bench","match":{"table":"nobody"},"percent":"50%","reply":"error"}`,
	`{"type":"fault","resource":"bench","match":{"table":"nobody"},"delay":"1ms"}`,
	`{"type":"limit","resource":"bench","match":{"table":"nobody"},"rate":"1/s"}`,
}

// database starts MariaDB when it is first asked for, and fills sysbench's table.
func (l *lab) database() *mysqlLab {
	if l.mysql == nil {
		db := server.Start(l.t, server.MariaDB{}).Primary
		l.mysql = &mysqlLab{lab: l, db: db, direct: &target{name: "direct", addr: db.Addr}}
		l.version("mariadbd", "--version")
		l.version("sysbench", "--version")
		server.SysbenchPrepare(l.t, server.Sysbench{Test: "oltp_point_select", Addr: db.Addr})
	}
	return l.mysql
}

func (l *mysqlLab) haproxy() *target {
	return l.once("mysql haproxy", func() *target {
		p := server.Start(l.t, server.HAProxy{Redis: []string{l.db.Addr}}) // TCP: it does not matter what passes
		l.version("haproxy", "-v")
		return &target{name: "haproxy", addr: p.Addr, pid: p.PID()}
	})
}

// agent returns the agent of a name: one that has "all filters" in it has them on.
func (l *mysqlLab) agent(name string) *target {
	return l.once("mysql "+name, func() *target {
		config, full := mysqlConfig, strings.Contains(name, "all filters")
		if full {
			config += mysqlFilters
		}
		a := server.Start(l.t, server.Agent{
			Config: config, Vars: map[string]string{"db": l.db.Addr}, Binary: l.binary, Env: []string{"BENCH_PW=" + server.MariaDBPassword},
		})
		t := &target{name: name, addr: a.Addr("bench"), pid: a.PID(), at: "http://" + a.Admin}
		if token, err := os.ReadFile(filepath.Join(a.Dir, "data", "admin.token")); err == nil {
			t.auth = strings.TrimSpace(string(token))
		}
		if full {
			for _, c := range mysqlCommands {
				if err := t.command(c); err != nil {
					l.t.Fatalf("%v", err)
				}
			}
		}
		l.agents = append(l.agents, t)
		return t
	})
}

// partMySQL compares direct, HAProxy and the agent under sysbench's point select: as text and prepared.
func (b *bench) partMySQL() error {
	l := b.database()
	targets := []*target{l.direct, l.haproxy(), l.agent("sluice")}
	worst := 0.0
	for _, mode := range []string{"text", "prepared"} {
		w := workload{Name: "mysql-" + mode, Op: mode, Pipeline: 1, Clients: sysbenchThreads}
		c := &comparison{Workload: w, Peer: "haproxy"}
		for _, t := range targets {
			c.Rows = append(c.Rows, &row{Target: t.name})
		}
		p := b.plan
		p.slice = max(time.Second, p.slice) // sysbench counts in whole seconds
		visit := func(i int, _ load.Order) (slice, error) {
			return l.pointSelects(targets[i], mode == "prepared", p.slice)
		}
		for i := range targets {
			if _, err := visit(i, load.Order{}); err != nil { // warm
				return err
			}
		}
		if err := c.closedRounds(targets, p, visit, b.progress); err != nil {
			return err
		}
		c.summarize()
		b.results.Comparisons = append(b.results.Comparisons, c)
		ours := c.row("sluice")
		b.figure(w.Name, ours.CPURatio)
		worst = max(worst, ours.CPU)
	}
	b.figure("mysql-core", exactly(1e6/worst))
	return nil
}

// pointSelects runs sysbench against a target and reads the CPU clocks around it.
func (l *mysqlLab) pointSelects(t *target, prepared bool, d time.Duration) (slice, error) {
	before, err := clocks(t.pid, l.db.PID())
	if err != nil {
		return slice{}, err
	}
	r := server.SysbenchRun(l.t, server.Sysbench{Test: "oltp_point_select", Addr: t.addr, Threads: sysbenchThreads, Duration: d, Prepared: prepared})
	after, err := clocks(t.pid, l.db.PID())
	if err != nil {
		return slice{}, err
	}
	if r.Queries == 0 || r.QPS == 0 || r.Errors > 0 {
		return slice{}, fmt.Errorf("%s: sysbench made %d queries, %d failed", t.name, r.Queries, r.Errors)
	}
	return slice{ok: r.Queries, seconds: float64(r.Queries) / r.QPS, proxyCPU: after[0] - before[0], redisCPU: after[1] - before[1]}, nil
}

// partMySQLAllocs counts what an agent allocates for each forwarded query, by default and with all filters.
func (b *bench) partMySQLAllocs() error {
	l := b.database()
	d := 2 * time.Second
	if b.quick {
		d = 700 * time.Millisecond
	}
	for _, x := range []struct{ key, agent string }{{"mysql-allocs", "sluice"}, {"mysql-allocs-all", "sluice, all filters"}} {
		b.progress("allocations for a query, " + x.agent)
		r, err := l.allocations(l.agent(x.agent), d)
		if err != nil {
			return err
		}
		b.results.Allocs = append(b.results.Allocs, r)
		b.figure(x.key, exactly(r.Allocs))
	}
	return nil
}

func (b *bench) partMySQLIdle() error {
	l := b.database()
	n := min(10000, int(b.files)-500)
	t := l.agent("sluice, idle")
	b.progress(fmt.Sprintf("%d clients that are logged in and idle", n))
	r, err := idleSessions(t, n)
	if err != nil {
		return err
	}
	b.results.Idle = append(b.results.Idle, r)
	b.figure("mysql-idle", exactly(r.KB))
	return nil
}

func (b *bench) partMySQLBig() error {
	l := b.database()
	t := l.agent("sluice, big")
	b.progress("a result of 1 GiB to a slow client")
	r, err := slowResult(t)
	if err != nil {
		return err
	}
	b.results.Results = append(b.results.Results, r)
	b.figure("mysql-big", exactly(r.GrowthMiB))
	return nil
}

func (b *bench) partMySQLPool() error {
	l := b.database()
	b.progress("1,000 mostly idle clients")
	r, err := mostlyIdle(l.agent("sluice, pool"), 1000, 5*time.Second)
	if err != nil {
		return err
	}
	b.results.Pools = append(b.results.Pools, r)
	b.figure("mysql-pool", exactly(float64(r.Upstream)))
	return nil
}

func (b *bench) partMySQLLatency() error {
	l := b.database()
	targets := []*target{l.direct, l.haproxy(), l.agent("sluice")}
	b.progress("latency of a point select, one client")
	rows, err := latencies(targets, b.plan.rounds, dialReady)
	if err != nil {
		return err
	}
	b.results.Latency = append(b.results.Latency, rows...)
	b.figure("mysql-latency", rows[len(rows)-1].Added)
	return nil
}
