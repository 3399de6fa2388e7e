package mysql_test

import (
	"errors"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/mysql"
	"github.com/sluice-mesh/sluice/testenv/server"
)

var (
	everything = mysql.Mix{Select: 4, Write: 3, Range: 1, Session: 2}
	errEarly   = errors.New("too few results yet")
)

// as returns how the tests' user connects to a server.
func as(n *server.MariaDBServer) *driver.Config {
	return n.Config(server.MariaDBUser, server.MariaDBPassword, server.MariaDBDatabase)
}

// at returns the same by way of another address.
func at(addr string, c *driver.Config) *driver.Config {
	c = c.Clone()
	c.Addr = addr
	return c
}

// more waits until a load has had n more good results.
func more(t *testing.T, l interface{ Counts() load.Count }, n int64) {
	t.Helper()
	n += l.Counts().OK
	server.Wait(t, 30*time.Second, "more good results", func() error {
		if l.Counts().OK < n {
			return errEarly
		}
		return nil
	})
}

func start(t *testing.T, c mysql.Config) *mysql.Runner {
	t.Helper()
	r, err := mysql.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func startBank(t *testing.T, c mysql.BankConfig) *mysql.Bank {
	t.Helper()
	b, err := mysql.StartBank(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRows(t *testing.T) {
	n := server.Start(t, server.MariaDB{RequireTLS: true}).Primary
	for _, c := range []mysql.Config{
		{Server: as(n), Clients: 4, Mix: everything},
		{Server: as(n), Clients: 4, Mix: everything, Prepared: true, ValueSize: 3000},
		{Server: as(n), Clients: 3, Mix: everything, Each: 2, Init: []string{"SET NAMES utf8mb4"}},
		{Server: as(n), Clients: 2, Keys: 2, ValueSize: 600 << 10, Mix: mysql.Mix{Select: 1, Write: 1}, Requests: 16},
	} {
		if c.Requests == 0 {
			c.Requests = 400
		}
		r := start(t, c).Wait()
		r.Check(t, 1)
		if r.OK != c.Requests {
			t.Errorf("%d results, want %d", r.OK, c.Requests)
		}
		if c.Each > 0 && r.Connections < r.OK/2 {
			t.Errorf("%d connections for %d statements, want one for two", r.Connections, r.OK)
		}
	}
	if left := n.Value("SELECT COUNT(*) FROM load_rows"); left != "0" {
		t.Errorf("%s rows are left behind", left)
	}
}

func TestOpenLoop(t *testing.T) {
	n := server.Start(t, server.MariaDB{}).Primary
	const rate, seconds = 200, 3
	l := start(t, mysql.Config{Server: as(n), Clients: 5, Rate: rate, Duration: seconds * time.Second, Timeout: 20 * time.Second})
	more(t, l, rate/3)
	n.Pause()
	time.Sleep(time.Second) // the length of the pause is the point
	n.Continue()
	r := l.Wait()
	r.Check(t, 1)
	if r.OK != seconds*rate {
		t.Errorf("%d statements in %d seconds at %d per second", r.OK, seconds, rate)
	}
	if r.P90 < 300*time.Millisecond || r.Max < 900*time.Millisecond {
		t.Errorf("a pause of a second does not show: %v", r)
	}
}

// TestFindings changes rows behind the back of the load, which must notice.
func TestFindings(t *testing.T) {
	n := server.Start(t, server.MariaDB{}).Primary
	for name, c := range map[string]struct {
		spoil string
		found func(*load.Report) int64
	}{
		"another key's value": {"UPDATE load_rows a JOIN load_rows b ON a.k > b.k SET a.v = b.v", func(r *load.Report) int64 { return r.Wrong }},
		"a broken value":      {"UPDATE load_rows SET v = CONCAT(v, 'x')", func(r *load.Report) int64 { return r.Wrong }},
		"no row":              {"DELETE FROM load_rows", func(r *load.Report) int64 { return r.Lost }},
	} {
		l := start(t, mysql.Config{Server: as(n), Clients: 2, Duration: time.Minute, Mix: mysql.Mix{Select: 4, Write: 1}})
		more(t, l, 200)
		n.Exec(c.spoil)
		more(t, l, 50)
		if r := l.Stop(); c.found(r) == 0 || len(r.Violations) == 0 {
			t.Errorf("%s is not found: %v", name, r)
		}
	}
}

// TestRowsThroughFaults breaks connections between the load and a server: no rule may be broken, since MariaDB and TCP are
// honest.
func TestRowsThroughFaults(t *testing.T) {
	n := server.Start(t, server.MariaDB{}).Primary
	p := fault.Start(t, fault.Options{Target: n.Addr, Seed: 1})
	p.Set(fault.ResetAfter(30000).Down(), fault.StallAfter(3000).Up().Chance(0.2), fault.Slice(7, 0).Chance(0.3))
	l := start(t, mysql.Config{Server: at(p.Addr, as(n)), Verify: as(n), Clients: 8, Duration: time.Minute, Mix: everything,
		Timeout: 200 * time.Millisecond})
	server.Wait(t, 40*time.Second, "3,000 good results and 5 of each fault", func() error {
		if l.Counts().OK < 3000 || min(p.Fired(fault.KindReset), p.Fired(fault.KindStall), p.Fired(fault.KindSlice)) < 5 {
			return errEarly
		}
		return nil
	})
	r := l.Stop()
	r.Check(t, 50, load.Closed, load.NoReply, load.Connect)
	p.MustHaveFired(t, fault.KindReset, fault.KindStall, fault.KindSlice)
	if r.Errors[load.Closed] == 0 || r.Errors[load.NoReply] == 0 {
		t.Errorf("the load did not notice: %v", r)
	}
}

func TestReadsOfReplicas(t *testing.T) {
	m := server.Replicated(t, 1)
	replica := m.Replicas[0]
	if err := mysql.Setup(t.Context(), as(m.Primary)); err != nil {
		t.Fatal(err)
	}
	replica.WaitReplicated(m.Primary)
	l := start(t, mysql.Config{Server: as(replica), Verify: as(m.Primary), Clients: 2, Duration: time.Minute, StaleReads: true})
	more(t, l, 100)
	r := l.Stop()
	r.Check(t, 50, "1290")
	if r.Errors["1290"] == 0 {
		t.Errorf("no write was refused: %v", r)
	}
}
