package server

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestScripts(t *testing.T) {
	n := Start(t, MariaDB{}).Primary
	n.Exec("CREATE TABLE t (id INT PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES (1, 'one')")
	host, port, _ := strings.Cut(n.Addr, ":")
	for file, want := range map[string]string{
		"testdata/mysqli.php": `[{"id":"1","v":"one"}]`,
		"testdata/query.py":   `[{"id": 1, "v": "one"}]`,
	} {
		args := []string{host, port, MariaDBUser, MariaDBPassword, MariaDBDatabase}
		r := RunScript(t, Script{File: file, Args: append(args, "SELECT * FROM t")})
		if !r.OK() || strings.TrimSpace(r.Output) != want {
			t.Errorf("%s: %s, %s, want %s", file, r.State, r.Output, want)
		}
		r = RunScript(t, Script{File: file, Args: append(args, "SELECT * FROM nowhere")})
		if r.OK() || !strings.HasPrefix(r.Output, "error 1146") {
			t.Errorf("%s without the table: %s, %s", file, r.State, r.Output)
		}
	}
	if _, err := interpreter("script.rb"); err == nil {
		t.Error("a script of an unknown language is run")
	}
}

func TestSysbench(t *testing.T) {
	n := Start(t, MariaDB{}).Primary
	s := Sysbench{Test: "oltp_read_write", Addr: n.Addr, Tables: 2, Rows: 500, Threads: 2, KeepGoing: true}
	SysbenchPrepare(t, s)
	r := SysbenchRun(t, s)
	if r.Queries < 100 || r.QPS < 100 || r.TPS < 1 || r.P95 <= 0 || r.Avg < r.Min || r.Max < r.Avg || r.Reconnects != 0 {
		t.Errorf("the result is %+v", r)
	}
	if got := n.Status("Com_stmt_execute"); got != "0" {
		t.Errorf("%s prepared statements were executed, want none", got)
	}
	s.Test, s.Prepared = "oltp_point_select", true
	if r := SysbenchRun(t, s); r.Queries != r.Transactions || r.Errors != 0 || r.P95 > r.Max {
		t.Errorf("the result of point selects is %+v", r)
	}
	if got := n.Status("Com_stmt_execute"); got == "0" {
		t.Error("no prepared statement was executed")
	}
}

func TestParseSysbench(t *testing.T) {
	text, err := os.ReadFile("testdata/sysbench.txt")
	if err != nil {
		t.Fatal(err)
	}
	r, err := parseSysbench(string(text))
	want := SysbenchResult{Transactions: 1151, Queries: 23026, TPS: 1149.32, QPS: 22992.43, Min: 1150 * time.Microsecond,
		Avg: 1740 * time.Microsecond, P95: 2390 * time.Microsecond, Max: 7410 * time.Microsecond, Errors: 2, Reconnects: 1, Output: string(text)}
	if err != nil || r != want {
		t.Errorf("%+v, %v, want %+v", r, err, want)
	}
	for _, missing := range []string{"queries:", "reconnects:", "95th percentile:"} {
		if _, err := parseSysbench(strings.Replace(string(text), missing, "other:", 1)); err == nil {
			t.Errorf("without %s there is no error", missing)
		}
	}
}

func FuzzParseSysbench(f *testing.F) {
	text, err := os.ReadFile("testdata/sysbench.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add("transactions: (\nqueries: 1 (")
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := parseSysbench(s); err == nil && r.Output != s {
			t.Error("the output is not kept")
		}
	})
}
