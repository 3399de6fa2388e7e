package matrix

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/mysql"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// dbPlan describes the arrangement of a row about MySQL: MariaDB servers, a fault proxy before each, and one agent.
type dbPlan struct {
	servers  server.MariaDB
	direct   bool   // the agent connects to the servers themselves: for rows that break servers, not connections
	settings string // further settings, such as "hold: 2s"
	policy   string // such as "reads: replica"
	probes   string // default: { every: 500ms, timeout: 500ms }
	groups   string // further ones
	clients  int    // most that execute statements at once; default 16
	race     bool
}

// dbLab is an arrangement of MySQL that runs. The resource is called db.
type dbLab struct {
	*lab
	dbs     *server.MariaDBServers
	proxies []*fault.Proxy // one for each of dbs.Nodes
}

// beside reports whether a row has another resource, whose clients must not notice the fault: where latencies can be compared,
// which is in long tests, and not with an agent that looks for races.
func (p dbPlan) beside() bool { return alone && !p.race }

// openDB starts everything but the load.
func openDB(t *testing.T, p dbPlan) *dbLab {
	t.Helper()
	l := &dbLab{lab: &lab{T: t, plan: plan{noSide: true}}}
	if p.beside() {
		l.side = server.Start(t, server.Redis{})
	}
	l.dbs = server.Start(t, p.servers)
	var endpoints []string
	for i, n := range l.dbs.Nodes() {
		addr := n.Addr
		if !p.direct {
			proxy := fault.Start(t, fault.Options{Target: n.Addr, Seed: uint64(i + 1)})
			l.proxies = append(l.proxies, proxy)
			addr = proxy.Addr
		}
		endpoints = append(endpoints, addr)
	}
	l.plan.agent = server.Agent{Config: l.dbConfig(p, endpoints), Env: []string{"DB_PW=" + server.MariaDBPassword}, Race: p.race}
	l.agent = server.Start(t, l.plan.agent)
	l.addr = l.agent.Addr("db")
	l.warm(max(p.clients, 16))
	l.rest()
	return l
}

// warm makes the agent have what it keeps for later, which is as much as it ever needed at once: so many clients execute a
// statement at the same time, and leave.
func (l *dbLab) warm(n int) {
	l.Helper()
	db := l.db()
	var clients sync.WaitGroup
	for range n {
		clients.Go(func() {
			if _, err := db.ExecContext(l.Context(), "DO SLEEP(0.1)"); err != nil {
				l.Errorf("a first statement: %v", err)
			}
		})
	}
	clients.Wait()
	l.await(5*time.Second, "the first clients to be gone", func() error {
		if n := l.scrape().sum("sluice_sessions", "resource", "db"); n != 0 {
			return fmt.Errorf("%.0f are there", n)
		}
		return nil
	})
}

func (l *dbLab) dbConfig(p dbPlan, endpoints []string) string {
	settings, policy, probes := p.settings, p.policy, p.probes
	if settings != "" {
		settings = ", " + settings
	}
	if policy != "" {
		policy += ", "
	}
	if probes == "" {
		probes = "{ every: 500ms, timeout: 500ms }"
	}
	return l.head() + fmt.Sprintf(`  db:
    kind: mysql
    listen: {{addr "db"}}
    groups: { main: { endpoints: ["%s"] }%s }
    settings:
      { users: [{ name: %s, password: "${env:DB_PW}", upstream: { password: "${env:DB_PW}" } }],
        probe: { name: %s, password: "${env:DB_PW}" }%s }
    policy: { %sprobe: %s }
`, strings.Join(endpoints, `", "`), p.groups, server.MariaDBUser, server.MariaDBProbe, settings, policy, probes) + l.sideConfig()
}

// besides begins to measure how clients of the other resource are served, if there is one, and waits until that is known. The
// load is well by now.
func (l *dbLab) besides() {
	l.Helper()
	if l.side == nil {
		return
	}
	if l.bystand == nil {
		l.bystand = l.start(load.Config{Address: l.agent.Addr("side"), Clients: 2, Rate: 50, Duration: time.Hour, Timeout: 10 * time.Second,
			VerifyAddress: l.side.Primary.Addr})
		l.observe()
	}
	l.others.quietLongEnough()
}

// clean checks what every row promises, behind its end.
func (l *dbLab) clean() {
	l.Helper()
	if l.bystand != nil {
		if r := l.bystand.Stop(); r.Unsound() > 0 || len(r.Errors) > 0 || r.OK == 0 {
			l.Errorf("the other resource was not left alone: %v\n%s", r, strings.Join(r.Violations, "\n"))
		}
	}
	if l.others != nil {
		report, wrong := l.others.compare()
		l.Log(report)
		if wrong != "" {
			l.Error(wrong)
		}
	}
	l.lab.clean()
}

// client returns the settings of a client of the agent.
func (l *dbLab) client() *driver.Config {
	c := l.dbs.Primary.Config(server.MariaDBUser, server.MariaDBPassword, server.MariaDBDatabase)
	c.Addr = l.addr
	return c
}

// at returns the settings of a client of a server.
func at(n *server.MariaDBServer) *driver.Config {
	return n.Config(server.MariaDBUser, server.MariaDBPassword, server.MariaDBDatabase)
}

// db returns a pool of clients of the agent. Connections are not used again.
func (l *dbLab) db() *sql.DB {
	l.Helper()
	return openWith(l.T, l.client())
}

func openWith(t *testing.T, c *driver.Config) *sql.DB {
	t.Helper()
	connector, err := driver.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxIdleConns(0)
	t.Cleanup(func() { db.Close() })
	return db
}

// conn returns one client of the agent.
func (l *dbLab) conn(db *sql.DB) *sql.Conn {
	l.Helper()
	c, err := db.Conn(l.Context())
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { c.Close() })
	return c
}

// running is a load.
type running interface{ Counts() load.Count }

// bank starts transfers and waits until they go well.
func (l *dbLab) bank(c mysql.BankConfig) *mysql.Bank {
	l.Helper()
	if c.Server == nil {
		c.Server = l.client()
	}
	c.Verify, c.Duration = at(l.dbs.Primary), time.Hour
	if c.Clients == 0 {
		c.Clients = 6
	}
	if c.Rate == 0 {
		c.Rate = 120
	}
	if c.Timeout == 0 {
		c.Timeout = 8 * time.Second
	}
	b, err := mysql.StartBank(l.Context(), c)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { b.Stop() })
	l.thrives(b, c.Rate, 10*time.Second)
	l.besides()
	return b
}

// rows starts a load of single statements and waits until it goes well.
func (l *dbLab) rows(c mysql.Config) *mysql.Runner {
	l.Helper()
	c.Server, c.Duration = l.client(), time.Hour
	if c.Clients == 0 {
		c.Clients = 6
	}
	if c.Rate == 0 {
		c.Rate = 300
	}
	if c.Timeout == 0 {
		c.Timeout = 8 * time.Second
	}
	if err := mysql.Setup(l.Context(), at(l.dbs.Primary)); err != nil {
		l.Fatal(err)
	}
	for _, n := range l.dbs.Replicas {
		n.WaitReplicated(l.dbs.Primary)
	}
	r, err := mysql.Start(l.Context(), c)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { r.Stop() })
	l.thrives(r, c.Rate, 10*time.Second)
	l.besides()
	return r
}

// thrives waits until a load has no error and keeps six tenths of its rate for a stretch.
func (l *dbLab) thrives(r running, rate float64, within time.Duration) {
	l.Helper()
	const stretch = 400 * time.Millisecond
	start := time.Now()
	from, was := start, r.Counts()
	for {
		time.Sleep(10 * time.Millisecond)
		now, took := r.Counts(), time.Since(from)
		slow := took >= stretch && float64(now.OK-was.OK) < 0.6*rate*took.Seconds()
		switch {
		case now.Errors > was.Errors || slow:
			from, was = time.Now(), now
			if from.Sub(start) > within {
				l.Fatalf("the load is not well after %v: %+v\n%s", within, now, l.dbEndpoints())
			}
		case took >= stretch:
			l.Logf("the load is well after %v", (time.Since(start) - stretch).Round(10*time.Millisecond))
			return
		}
	}
}

// healed waits until a load is well, for the five seconds that are promised.
func (l *dbLab) healed(r running, rate float64) {
	l.Helper()
	l.thrives(r, rate, recoverWithin)
	l.others.recovered()
}

// dbCalls is how many calls to the resource ended with an outcome.
func dbCalls(s scrape, outcome string) float64 {
	return s.sum("sluice_calls_total", "resource", "db", "outcome", outcome)
}

// visible waits until the metrics show the fault, for two seconds since it was injected.
func (l *dbLab) visible(what string, shows func(now scrape) bool) {
	l.Helper()
	left := max(visibleWithin-time.Since(l.since), 100*time.Millisecond)
	l.await(left, "the metrics to show "+what, func() error {
		if now := l.scrape(); !shows(now) {
			return fmt.Errorf("they do not: %.0f calls ended as unknown since the fault, %.0f as unavailable; %s",
				dbCalls(now, "unknown")-dbCalls(l.before, "unknown"), dbCalls(now, "unavailable")-dbCalls(l.before, "unavailable"),
				l.dbEndpoints())
		}
		return nil
	})
}

// shows waits until calls ended with an outcome since the fault.
func (l *dbLab) shows(outcome string) {
	l.Helper()
	l.visible("calls that end as "+outcome, func(now scrape) bool { return dbCalls(now, outcome) > dbCalls(l.before, outcome) })
}

// upEndpoints waits until a number of endpoints is up.
func (l *dbLab) upEndpoints(n float64) {
	l.Helper()
	l.await(recoverWithin, fmt.Sprintf("%.0f endpoints to be up", n), func() error {
		if is := l.scrape().sum("sluice_endpoint_up", "resource", "db"); is != n {
			return fmt.Errorf("%.0f are", is)
		}
		return nil
	})
}

// dbEndpoints is what the agent thinks of the endpoints, for messages.
func (l *dbLab) dbEndpoints() string {
	_, body, err := l.agent.Call("GET", "/v1/resources/db/endpoints", "")
	if err != nil {
		return err.Error()
	}
	return body
}

// ends stops a bank and checks its books against what is on a server.
func (l *dbLab) ends(b *mysql.Bank, n *server.MariaDBServer, allow ...string) *mysql.BankReport {
	l.Helper()
	r := b.Stop()
	r.Check(l, n.Open("root", "", server.MariaDBDatabase), 5, allow...)
	if f, u := r.Book.Count(mysql.Refused), r.Book.Count(mysql.Unknown); f+u > 0 {
		l.Logf("%d transfers were refused, %d are unknown", f, u)
	}
	return r
}

// number returns the number of a server's error, 0 for others.
func number(err error) uint16 {
	var e *driver.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// must executes statements on one connection.
func (l *dbLab) must(c *sql.Conn, statements ...string) {
	l.Helper()
	for _, s := range statements {
		if _, err := c.ExecContext(context.Background(), s); err != nil {
			l.Fatalf("%.80s: %v", s, err)
		}
	}
}

// count returns the number that a statement gives.
func (l *dbLab) count(c *sql.Conn, statement string) (n int64) {
	l.Helper()
	if err := c.QueryRowContext(context.Background(), statement).Scan(&n); err != nil {
		l.Fatalf("%s: %v", statement, err)
	}
	return n
}

// serves has a client execute a statement and leave.
func (l *dbLab) serves(statement string) {
	l.Helper()
	c := l.conn(l.db())
	l.must(c, statement)
	c.Close()
}

// switchTo moves traffic between groups, as an operator does.
func (l *dbLab) switchTo(weights ...string) error {
	l.Helper()
	w := `{"` + strings.ReplaceAll(strings.Join(weights, `,"`), "=", `":`) + `}`
	status, body, err := l.agent.Call("POST", "/v1/commands",
		`{"type":"switch","resource":"db","author":"operator","why":"planned","weights":`+w+`}`)
	if err == nil && status >= 300 {
		err = fmt.Errorf("%d %s", status, body)
	}
	return err
}
