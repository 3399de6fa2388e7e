package main

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The client library's reconnecting goroutine looks once a second whether its pool was closed.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// newDemo starts the servers of the demo, without an agent.
func newDemo(t *testing.T) *demo {
	t.Helper()
	f, err := openFolder(filepath.Join(t.TempDir(), "data"), usualAdmin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	d := &demo{kinds: kinds, servers: make(map[string][]embedded), folder: f, sluice: "bin/sluice", self: "bin/demo"}
	t.Cleanup(d.closeServers)
	if err := d.startServers(); err != nil {
		t.Fatal(err)
	}
	return d
}

// The applications run straight on their embedded servers, which are then killed and revived.
func TestApplicationsSeeKillAndRevive(t *testing.T) {
	d := newDemo(t)
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	defer func() { cancel(); ended.Wait() }()
	for _, r := range d.running {
		r.stats = newStats(ctx)
		ended.Go(func() { r.call(ctx, r.backends["yf"], r.stats) })
	}
	until := func(what string, ok func(v view) bool) {
		t.Helper()
		for _, r := range d.running {
			for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				v := r.stats.take()
				if ok(v) {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%s: %s did not happen: %+v", r.resource, what, v)
				}
			}
		}
	}
	until("an answer of yf", func(v view) bool { return v.shares["yf"] == 1 && len(v.ops) >= 4 && v.ops[0].p50 > 0 })
	if err := d.order("kill", "yf"); err != nil {
		t.Fatal(err)
	}
	until("an error", func(v view) bool { return v.lastText != "" && v.shares["yf"] == 0 })
	if err := d.order("revive", "yf"); err != nil {
		t.Fatal(err)
	}
	until("an answer after the revival", func(v view) bool { return v.shares["yf"] == 1 })
}

// The orders of the demo must not grow for as long as it runs, and none of them may be lost.
func TestPaidOrdersAreArchived(t *testing.T) {
	d := newDemo(t)
	db, err := sql.Open("mysql", mysqlKind.dsn(d.servers["tc"][1].Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for customer := range customers {
		for range 2 {
			if _, err := db.Exec(newOrder, customer, 100); err != nil {
				t.Fatal(err)
			}
		}
		if err := pay(t.Context(), db, customer); err != nil {
			t.Fatal(err)
		}
	}
	var left int
	if err := db.QueryRow("SELECT COUNT(*) FROM orders").Scan(&left); err != nil || left != keptOrders {
		t.Errorf("%d orders are left, want %d: %v", left, keptOrders, err)
	}
}

func TestOrdersThatMakeNoSense(t *testing.T) {
	d := newDemo(t)
	for _, o := range [][2]string{{"kill", "bj"}, {"burn", "yf"}} {
		if err := d.order(o[0], o[1]); err == nil {
			t.Errorf("%v is taken", o)
		}
	}
}

func TestControlSocket(t *testing.T) {
	d := newDemo(t)
	var got []string
	c, err := listenControl(d.folder.socket(), func(verb, group string) error {
		got = append(got, verb+" "+group)
		if group == "bj" {
			return errors.New("no group bj")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !answers(d.folder.socket()) {
		t.Error("a demo that runs does not answer")
	}
	if err := tell(d.folder.path, []string{"kill", "yf"}); err != nil {
		t.Error(err)
	}
	if err := tell(d.folder.path, []string{"kill", "bj"}); err == nil || err.Error() != "no group bj" {
		t.Errorf("kill bj: %v", err)
	}
	c.close()
	if strings.Join(got, ", ") != "kill yf, kill bj" {
		t.Errorf("orders: %v", got)
	}
	if err := tell(d.folder.path, []string{"kill", "yf"}); err == nil || !strings.Contains(err.Error(), "make run") {
		t.Errorf("no demo: %v", err)
	}
}

func TestTakenPortIsSaid(t *testing.T) {
	d := newDemo(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	wanted := l.Addr().(*net.TCPAddr).Port
	config, err := d.configure(wanted)
	if err != nil {
		t.Fatal(err)
	}
	if d.admin == "127.0.0.1:"+strconv.Itoa(wanted) || !strings.Contains(config, "admin: "+d.admin) {
		t.Errorf("admin is at %s:\n%s", d.admin, config)
	}
	guide := d.guide(false)
	if want := "port " + strconv.Itoa(wanted) + " is taken: the admin interface is on "; !strings.Contains(guide, want) {
		t.Errorf("%q is not in:\n%s", want, guide)
	}
	if !strings.Contains(guide, "--at http://"+d.admin+" --data "+d.folder.path) {
		t.Errorf("the commands do not say where the agent is:\n%s", guide)
	}
}

func TestFolderOfOthersIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	keep := filepath.Join(dir, "commands.json")
	if err := os.WriteFile(keep, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := openFolder(dir, usualAdmin)
	if err != nil {
		t.Fatal(err)
	}
	if f.abs == dir || f.usual {
		t.Errorf("the demo took %s", dir)
	}
	f.close()
	if _, err := os.Stat(keep); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(f.abs); err == nil {
		t.Errorf("%s was left behind", f.abs)
	}

	// What a killed demo left is its own, and is made anew.
	own := filepath.Join(t.TempDir(), "data")
	for range 2 {
		f, err := openFolder(own, usualAdmin)
		if err != nil || f.abs != own {
			t.Fatalf("%+v, %v", f, err)
		}
		old := filepath.Join(own, "commands.json")
		if _, err := os.Stat(old); err == nil {
			t.Error("a command of the last demo is still there")
		}
		if err := os.WriteFile(old, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUsualCommandsAreShort(t *testing.T) {
	d := &demo{sluice: "bin/sluice", self: "bin/demo", admin: "127.0.0.1:8002", folder: &folder{path: "data", usual: true}}
	for want, h := range map[string]hint{
		"bin/sluice top":   {"sluice", "top", ""},
		"bin/demo kill yf": {"demo", "kill yf", ""},
	} {
		if got := d.command(h); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestTableFitsTheTerminal(t *testing.T) {
	for height, want := range map[int]string{0: "a\nb\nc\nd\n", 5: "a\nb\nc\nd\n", 4: "a\nb\n  …\n", 2: "a\nb\nc\nd\n"} {
		if got := fit("a\nb\nc\nd\n", height); got != want {
			t.Errorf("%d lines: %q, want %q", height, got, want)
		}
	}
}
