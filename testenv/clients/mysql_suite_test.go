package clients

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

const mysqlDriver = "github.com/go-sql-driver/mysql"

// mysqlSuite is go-sql-driver's own tests, built once.
type mysqlSuite struct {
	dir    string // of the module, in which they run
	binary string
}

// needsInternet are tests that need more than a server.
const needsInternet = "TestConnectorReturnsTimeout" // dials an address that it hopes nobody answers

func buildMySQLSuite(t *testing.T) *mysqlSuite {
	t.Helper()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Env = append(os.Environ(), "GOWORK=off")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
		}
		return strings.TrimSpace(string(out))
	}
	s := &mysqlSuite{binary: filepath.Join(t.TempDir(), "driver.test")}
	s.dir = run("list", "-m", "-f", "{{.Dir}}", mysqlDriver)
	run("test", "-trimpath", "-vet=off", "-c", "-o", s.binary, mysqlDriver)
	return s
}

// verdicts are what became of each test and subtest: PASS, FAIL or SKIP.
type verdicts struct {
	of  map[string]string
	out string
}

// mysqlVerdict is the line of a test's end; those of subtests are indented.
var mysqlVerdict = regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): (\S+) \(`)

// run runs the tests whose names match against the server or agent at addr; those that fail get a second attempt.
func (s *mysqlSuite) run(t *testing.T, addr, match string) verdicts {
	t.Helper()
	v := verdicts{of: map[string]string{}}
	attempt := func(match string) (failed []string) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, s.binary, "-test.v", "-test.run="+match, "-test.skip=^"+needsInternet+"$")
		cmd.Dir = s.dir
		cmd.Env = append(os.Environ(), "MYSQL_TEST_USER="+server.MariaDBUser, "MYSQL_TEST_PASS="+server.MariaDBPassword,
			"MYSQL_TEST_PROT=tcp", "MYSQL_TEST_ADDR="+addr, "MYSQL_TEST_DBNAME=gotest", "MYSQL_TEST_CONCURRENT=1")
		out, err := cmd.CombinedOutput()
		if _, exited := err.(*exec.ExitError); err != nil && (!exited || ctx.Err() != nil) {
			t.Errorf("the driver's tests at %s: %v\n%s", addr, err, out[max(0, len(out)-4000):])
		}
		v.out += string(out)
		for _, m := range mysqlVerdict.FindAllSubmatch(out, -1) {
			name := string(m[2])
			v.of[name] = string(m[1])
			if v.of[name] == "FAIL" && !strings.Contains(name, "/") {
				failed = append(failed, name)
			}
		}
		return failed
	}
	if failed := attempt(match); len(failed) > 0 {
		attempt("^(" + strings.Join(failed, "|") + ")$")
	}
	return v
}

// mysqlLab is a server that has what the driver's tests need, and an agent in front of it if profile is not empty.
func mysqlLab(t *testing.T, profile string) (s *server.MariaDBServer, addr, tlsAddr string) {
	t.Helper()
	m := server.Start(t, server.MariaDB{TLS: true, MaxConnections: 100, Args: []string{"--local-infile=1", "--max-allowed-packet=64M"}})
	m.Primary.Exec("CREATE DATABASE gotest")
	if profile == "" {
		return m.Primary, m.Primary.Addr, ""
	}
	a := server.Start(t, server.Agent{Config: mysqlAgent, Env: []string{"DB_PW=" + server.MariaDBPassword}, Vars: map[string]string{
		"server": m.Primary.Addr, "profile": profile, "max": map[string]string{"pooled": "4", "tunnel": "200"}[profile],
		"cert": m.Certs.ServerCert, "key": m.Certs.ServerKey, "ca": m.Certs.CA,
	}})
	return m.Primary, a.Addr("db"), a.Addr("secured")
}

const mysqlAgent = `agent:
  admin: {{addr "admin"}}
  log: { level: error }
resources:
  db:
    kind: mysql
    listen: {{addr "db"}}
    tls: { cert: {{.cert}}, key: {{.key}} }
    groups: { all: { endpoints: ["{{.server}}"] } }
    settings:
      profile: {{.profile}}
      local-infile: true
      pool: { max: {{.max}}, idle: 4, wait: 20s }
      users: [{ name: app, password: "${env:DB_PW}", upstream: { password: "${env:DB_PW}" } }]
  secured:
    kind: mysql
    listen: {{addr "secured"}}
    tls: { cert: {{.cert}}, key: {{.key}} }
    upstream-tls: { ca: {{.ca}} }
    groups: { all: { endpoints: ["{{.server}}"] } }
    settings:
      profile: {{.profile}}
      local-infile: true
      pool: { max: {{.max}}, idle: 4, wait: 20s }
      users: [{ name: app, password: "${env:DB_PW}", plugin: caching_sha2_password, upstream: { name: ed, password: "${env:DB_PW}" } }]
`

// mysqlDifference is a test of go-sql-driver that ends in another way through the agent than direct.
type mysqlDifference struct {
	test   *regexp.Regexp
	end    string // how it may end
	reason string // for users
}

var mysqlDifferences = []mysqlDifference{
	{
		test: regexp.MustCompile(`^TestContextCancel(Exec|Query|StmtExec|StmtQuery)(/.*)?$`), end: "SKIP",
		reason: "The test closes the client's connection in the middle of an `INSERT ... SLEEP` and expects the server to finish the statement " +
			"all the same, which it then skips over. The agent kills the statement of a client that has left.",
	},
}

// compareMySQL compares what became of each test.
func compareMySQL(t *testing.T, where string, direct, through verdicts) {
	t.Helper()
	var names []string
	for name := range direct.of {
		names = append(names, name)
	}
	slices.Sort(names)
	passed := 0
	for _, name := range names {
		want, got := direct.of[name], through.of[name]
		if want == "PASS" {
			passed++
		}
		if want != "PASS" || got == "PASS" {
			continue
		}
		if slices.ContainsFunc(mysqlDifferences, func(d mysqlDifference) bool { return d.end == got && d.test.MatchString(name) }) {
			continue
		}
		if got == "" {
			got = "did not run"
		}
		t.Errorf("%s: %s passes direct and here: %s\n%s", where, name, got, around(through.out, name))
	}
	if passed < 350 || direct.of["TestTLS"] != "PASS" || direct.of["TestLoadData"] != "PASS" {
		t.Errorf("only %d tests pass direct: the comparison is worth little\n%s", passed, direct.out[max(0, len(direct.out)-4000):])
	}
	for _, v := range []verdicts{direct, through} {
		if strings.Contains(v.out, "server not running") {
			t.Errorf("%s: tests were skipped for want of a server", where)
		}
	}
}

// around is the part of an output that tells of a test.
func around(out, name string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if strings.Contains(line, name) || strings.Contains(line, "_test.go:") {
			b.WriteString(line)
		}
		if b.Len() > 3000 {
			break
		}
	}
	return b.String()
}

// TestMySQLDriverSuite runs the tests of go-sql-driver/mysql themselves, direct and through a pool of four connections, at
// the same time and each with a server of its own.
func TestMySQLDriverSuite(t *testing.T) { mysqlSuites(t, "pooled") }

func mysqlSuites(t *testing.T, profile string) {
	suite := buildMySQLSuite(t)
	_, directAddr, _ := mysqlLab(t, "")
	_, addr, secured := mysqlLab(t, profile)
	var direct, through, overTLS verdicts
	var all sync.WaitGroup
	all.Go(func() { direct = suite.run(t, directAddr, "") })
	all.Go(func() {
		through = suite.run(t, addr, "")
		// TestTLS looks at the server's end, which is encrypted if the agent is told so.
		overTLS = suite.run(t, secured, "^TestTLS$")
	})
	all.Wait()
	for name, end := range overTLS.of {
		through.of[name] = end
	}
	compareMySQL(t, profile, direct, through)
}

// TestMySQLSysbench runs sysbench's transactions in both statement modes, with twice as many threads as connections. It
// fails on the first error.
func TestMySQLSysbench(t *testing.T) {
	s := server.Start(t, server.MariaDB{}).Primary
	a := server.Start(t, server.Agent{Config: strings.ReplaceAll(mysqlPrograms, "SIZE", "2"), Vars: map[string]string{"server": s.Addr}})
	run := server.Sysbench{Test: "oltp_read_write", Addr: s.Addr, Rows: 1000, Threads: 4, Duration: 2 * time.Second}
	server.SysbenchPrepare(t, run)
	for _, profile := range []string{"pooled", "tunnel"} {
		for _, prepared := range []bool{false, true} {
			run.Addr, run.Prepared = a.Addr(profile), prepared
			// It ends at any error but a deadlock, which threads on few rows run into, and a lost connection.
			if r := server.SysbenchRun(t, run); r.Transactions < 10 || r.Reconnects > 0 || r.Errors > r.Transactions/10 {
				t.Errorf("%s, prepared %v: %d transactions, %d deadlocks\n%s", profile, prepared, r.Transactions, r.Errors, r.Output)
			}
		}
	}
}

const mysqlPrograms = `agent:
  admin: {{addr "admin"}}
  log: { level: error }
resources:
  pooled:
    kind: mysql
    listen: {{addr "pooled"}}
    groups: { all: { endpoints: ["{{.server}}"] } }
    settings:
      pool: { max: SIZE, wait: 20s }
      users: [{ name: app, password: secret, upstream: { password: secret } }]
  tunnel:
    kind: mysql
    listen: {{addr "tunnel"}}
    groups: { all: { endpoints: ["{{.server}}"] } }
    settings:
      profile: tunnel
      users: [{ name: app, password: secret, upstream: { password: secret } }]
`

// TestMySQLPrograms runs the same program in PHP, with mysqli and with PDO, and in Python, direct and through both profiles,
// with a small pool, and compares what it printed byte for byte. Some of the programs' connections are tied to one of the
// pool's by user variables and locks; the others have to share the rest.
func TestMySQLPrograms(t *testing.T) {
	s := server.Start(t, server.MariaDB{Args: []string{"--max-allowed-packet=64M"}}).Primary
	a := server.Start(t, server.Agent{Config: strings.ReplaceAll(mysqlPrograms, "SIZE", "4"), Vars: map[string]string{"server": s.Addr}})
	for _, file := range []string{"mysql_work.php", "mysql_pdo.php", "mysql_work.py"} {
		t.Run(file, func(t *testing.T) {
			run := func(addr string) string {
				t.Helper()
				s.Exec("DROP DATABASE IF EXISTS shop", "CREATE DATABASE shop")
				host, port, err := net.SplitHostPort(addr)
				if err != nil {
					t.Fatal(err)
				}
				r := server.RunScript(t, server.Script{File: "testdata/" + file, Args: []string{host, port}, Limit: time.Minute})
				if !r.OK() {
					t.Fatalf("%s at %s: %s\n%s", file, addr, r.State, r.Output)
				}
				return r.Output
			}
			want := run(s.Addr)
			if n := strings.Count(want, "\n"); n < 40 {
				t.Fatalf("the program prints only %d lines:\n%s", n, want)
			}
			for _, profile := range []string{"pooled", "tunnel"} {
				if got := run(a.Addr(profile)); got != want {
					t.Errorf("%s:\n%s", profile, lineDiff(want, got))
				}
			}
		})
	}
}

// lineDiff shows the lines that differ.
func lineDiff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var b strings.Builder
	for i := range max(len(w), len(g)) {
		var x, y string
		if i < len(w) {
			x = w[i]
		}
		if i < len(g) {
			y = g[i]
		}
		if x != y {
			fmt.Fprintf(&b, "direct:  %.300s\nthrough: %.300s\n", x, y)
		}
	}
	return b.String()
}

// TestMySQLInterrupt presses Ctrl-C in the command line client: it connects anew and sends KILL QUERY with the connection
// id of its greeting.
func TestMySQLInterrupt(t *testing.T) {
	s := server.Start(t, server.MariaDB{}).Primary
	a := server.Start(t, server.Agent{Config: strings.ReplaceAll(mysqlPrograms, "SIZE", "2"), Vars: map[string]string{"server": s.Addr}})
	for _, profile := range []string{"pooled", "tunnel"} {
		host, port, err := net.SplitHostPort(a.Addr(profile))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "mariadb", "--no-defaults", "-h", host, "-P", port, "-uapp", "-psecret", "-e", "SELECT SLEEP(50) AS nap")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		executes := func() (int, error) {
			rows, err := s.Query("SELECT id FROM information_schema.processlist WHERE info LIKE '%AS nap%' AND info NOT LIKE '%processlist%'")
			return len(rows), err
		}
		server.Wait(t, 10*time.Second, "the statement to be executed", func() error {
			if n, err := executes(); n != 1 {
				return fmt.Errorf("%d are, %v", n, err)
			}
			return nil
		})
		began := time.Now()
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // with what status differs with its version
		if took := time.Since(began); took > 15*time.Second || !strings.Contains(out.String(), "killed") && !strings.Contains(out.String(), "interrupted") {
			t.Errorf("%s: the client ends %v after Ctrl-C, and says %q", profile, took, out.String())
		}
		server.Wait(t, 10*time.Second, "the statement to end", func() error {
			if n, err := executes(); n != 0 {
				return fmt.Errorf("%d go on, %v", n, err)
			}
			return nil
		})
	}
}
