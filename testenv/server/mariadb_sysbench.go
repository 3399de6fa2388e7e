package server

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Sysbench describes a run of sysbench's tests for databases against a server or what stands in front of it.
type Sysbench struct {
	Test      string // "oltp_point_select", "oltp_read_write", ...: the Lua files that come with sysbench
	Addr      string // "127.0.0.1:port"
	User      string // default MariaDBUser
	Password  string // default MariaDBPassword; on the command line, so that all of this machine can read it
	Database  string // default MariaDBDatabase
	TLS       bool
	Tables    int           // default 1
	Rows      int           // of each table; default 10,000
	Threads   int           // each with one connection; default 1
	Duration  time.Duration // in whole seconds; default 1 s
	Prepared  bool          // --db-ps-mode=auto: prepared statements; otherwise text
	KeepGoing bool          // count errors, and open lost connections again, where sysbench would end
	Args      []string      // further options: "--skip-trx=on"
}

// SysbenchResult is what sysbench says at the end of a run.
type SysbenchResult struct {
	Transactions, Queries int64
	TPS, QPS              float64       // of them a second
	Min, Avg, P95, Max    time.Duration // of a transaction; one of oltp_point_select is one query
	Errors                int64         // that were passed over, with KeepGoing
	Reconnects            int64
	Output                string // the whole text
}

// SysbenchPrepare makes and fills the tables of a run, those that are there before are dropped.
func SysbenchPrepare(t TB, s Sysbench) {
	t.Helper()
	s = s.withDefaults()
	for _, command := range []string{"cleanup", "prepare"} {
		if r := runProgram(t, s.command(command), 3*readyTimeout); !r.OK() {
			t.Fatalf("sysbench %s %s: %s\n%s", s.Test, command, r.State, r.Output)
		}
	}
}

// SysbenchRun runs a test on the tables that SysbenchPrepare made. It fails the test when sysbench fails, as it does on
// the first error without KeepGoing.
func SysbenchRun(t TB, s Sysbench) SysbenchResult {
	t.Helper()
	s = s.withDefaults()
	r := runProgram(t, s.command("run"), s.Duration+3*readyTimeout)
	if !r.OK() {
		t.Fatalf("sysbench %s: %s\n%s", s.Test, r.State, r.Output)
	}
	result, err := parseSysbench(r.Output)
	if err != nil {
		t.Fatalf("sysbench %s: %v\n%s", s.Test, err, r.Output)
	}
	return result
}

func (s Sysbench) withDefaults() Sysbench {
	text := func(v *string, d string) {
		if *v == "" {
			*v = d
		}
	}
	text(&s.User, MariaDBUser)
	text(&s.Password, MariaDBPassword)
	text(&s.Database, MariaDBDatabase)
	if s.Rows == 0 {
		s.Rows = 10000
	}
	s.Tables, s.Threads, s.Duration = max(s.Tables, 1), max(s.Threads, 1), max(s.Duration, time.Second)
	return s
}

func (s Sysbench) command(what string) Command {
	host, port, _ := net.SplitHostPort(s.Addr)
	mode := "disable"
	if s.Prepared {
		mode = "auto"
	}
	args := []string{s.Test, "--db-driver=mysql", "--mysql-host=" + host, "--mysql-port=" + port, "--mysql-user=" + s.User,
		"--mysql-password=" + s.Password, "--mysql-db=" + s.Database, "--db-ps-mode=" + mode, "--tables=" + strconv.Itoa(s.Tables),
		"--table-size=" + strconv.Itoa(s.Rows), "--threads=" + strconv.Itoa(s.Threads), "--percentile=95",
		"--time=" + strconv.Itoa(int(s.Duration/time.Second))}
	if s.TLS {
		args = append(args, "--mysql-ssl=on")
	}
	if s.KeepGoing {
		args = append(args, "--mysql-ignore-errors=all")
	}
	return Command{Program: "sysbench", Args: append(append(args, s.Args...), what)}
}

// parseSysbench reads the figures at the end of sysbench's output. One that is missing is an error.
func parseSysbench(text string) (SysbenchResult, error) {
	lines := map[string]string{}
	for line := range strings.SplitSeq(text, "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			lines[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	r := SysbenchResult{Output: text}
	var err error
	number := func(name, value string) (f float64) {
		var e error
		if f, e = strconv.ParseFloat(value, 64); e != nil && err == nil {
			err = fmt.Errorf("its output has %s: %q, want a number", name, value)
		}
		return f
	}
	// counted reads "1234   (99.50 per sec.)".
	counted := func(name string) (int64, float64) {
		count, rate, _ := strings.Cut(lines[name], "(")
		rate, _, _ = strings.Cut(rate, " ")
		return int64(number(name, strings.TrimSpace(count))), number(name, rate)
	}
	took := func(name string) time.Duration {
		return time.Duration(number(name, lines[name]) * float64(time.Millisecond))
	}
	r.Transactions, r.TPS = counted("transactions")
	r.Queries, r.QPS = counted("queries")
	r.Errors, _ = counted("ignored errors")
	r.Reconnects, _ = counted("reconnects")
	r.Min, r.Avg, r.P95, r.Max = took("min"), took("avg"), took("95th percentile"), took("max")
	return r, err
}
