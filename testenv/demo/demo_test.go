package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
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

// startServers starts the servers of the demo, without a centre and agents.
func startServers(t *testing.T) *demo {
	t.Helper()
	f, err := openFolder(filepath.Join(t.TempDir(), "data"), usualAdmin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	d := newDemo("bin/demo")
	d.folder, d.sluice, d.on.TB = f, "bin/sluice", t
	t.Cleanup(d.closeServers)
	if err := d.startServers(); err != nil {
		t.Fatal(err)
	}
	return d
}

// The applications run straight on their embedded servers, which are then killed and revived.
func TestApplicationsSeeKillAndRevive(t *testing.T) {
	d := startServers(t)
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	defer func() { cancel(); ended.Wait() }()
	for _, s := range d.sites {
		for _, r := range d.running {
			seen := newStats(ctx)
			s.stats[r.resource] = seen
			ended.Go(func() { s.caller(&r.kind)(ctx, d.on, r.backends["yf"], s.application, seen) })
		}
	}
	until := func(what string, ok func(v view) bool) {
		t.Helper()
		for _, s := range d.sites {
			for resource, seen := range s.stats {
				for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
					v := seen.take()
					if ok(v) {
						break
					}
					if time.Now().After(end) {
						t.Fatalf("%s of %s: %s did not happen: %+v", resource, s.name, what, v)
					}
				}
			}
		}
	}
	until("an answer of yf", func(v view) bool { return v.shares["yf"] == 1 && v.all.calls > 0 && v.all.p50 > 0 })
	if _, err := d.order("kill", "yf"); err != nil {
		t.Fatal(err)
	}
	until("an error", func(v view) bool { return v.lastText != "" && v.shares["yf"] == 0 })
	if _, err := d.order("revive", "yf"); err != nil {
		t.Fatal(err)
	}
	until("an answer after the revival", func(v view) bool { return v.shares["yf"] == 1 })
}

// The orders of the demo must not grow for as long as it runs, and none of them may be lost.
func TestPaidOrdersAreArchived(t *testing.T) {
	d := startServers(t)
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
	d := startServers(t)
	for _, o := range [][2]string{{"kill", "bj"}, {"burn", "yf"}, {"restart", "yf"}} {
		if _, err := d.order(o[0], o[1]); err == nil {
			t.Errorf("%v is taken", o)
		}
	}
}

// An order that fails is the answer to whoever gave it, and no end of the demo.
func TestOrderThatFails(t *testing.T) {
	var a attempts
	a.TB = t
	err := a.try(func() {
		a.Errorf("port %d is taken", 9980)
		a.Fatalf("so it does not start")
		t.Error("it goes on after its end")
	})
	if err == nil || err.Error() != "port 9980 is taken" {
		t.Errorf("error is %v", err)
	}
	if err := a.try(func() {}); err != nil {
		t.Errorf("the next order fails with %v", err)
	}
}

func TestControlSocket(t *testing.T) {
	d := startServers(t)
	var got []string
	c, err := listenControl(d.folder.socket(), func(verb, target string) (string, error) {
		got = append(got, verb+" "+target)
		if target == "bj" {
			return "", errors.New("no group bj")
		}
		return "", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !answers(d.folder.socket()) {
		t.Error("a demo that runs does not answer")
	}
	for _, order := range [][]string{{"kill", "yf"}, {"more"}} {
		if err := tell(d.folder.path, order); err != nil {
			t.Error(err)
		}
	}
	if err := tell(d.folder.path, []string{"kill", "bj"}); err == nil || err.Error() != "no group bj" {
		t.Errorf("kill bj: %v", err)
	}
	for _, order := range [][]string{{"kill"}, {"more", "yf"}, {"kill", "yf", "tc"}} {
		if err := tell(d.folder.path, order); err == nil || !strings.Contains(err.Error(), "usage") {
			t.Errorf("%q: %v", order, err)
		}
	}
	c.close()
	if strings.Join(got, ", ") != "kill yf, more , kill bj" {
		t.Errorf("orders: %v", got)
	}
	if err := tell(d.folder.path, []string{"kill", "yf"}); err == nil || !strings.Contains(err.Error(), "make run") {
		t.Errorf("no demo: %v", err)
	}
}

func TestTakenPortIsSaid(t *testing.T) {
	d := startServers(t)
	take := func() int {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l.Addr().(*net.TCPAddr).Port
	}
	admin, center := take(), take()
	if err := d.choosePorts(admin, center); err != nil {
		t.Fatal(err)
	}
	web := d.sites[0]
	if portOf(web.admin) == admin || !strings.Contains(d.agentConfig(web), "admin: "+web.admin) {
		t.Errorf("admin is at %s:\n%s", web.admin, d.agentConfig(web))
	}
	if portOf(d.centerAt) == center || !strings.Contains(d.agentConfig(web), `center: ["http://`+d.centerAt+`"]`) {
		t.Errorf("the centre is at %s:\n%s", d.centerAt, d.agentConfig(web))
	}
	seen := make(map[string]bool)
	for _, s := range d.sites {
		own := maps.Clone(s.listen)
		maps.DeleteFunc(own, func(resource, addr string) bool { return addr == s.listen[d.resource(resource).beside] })
		for _, addr := range append(slices.Collect(maps.Values(own)), s.admin, d.centerAt+" of "+s.name) {
			if seen[addr] {
				t.Errorf("%s is given twice", addr)
			}
			seen[addr] = true
		}
	}
	guide := d.guide(false)
	for _, want := range []string{
		fmt.Sprintf("port %d is taken: the admin interface of web-1 is on ", admin),
		fmt.Sprintf("port %d is taken: the centre is on ", center),
		"--at http://" + d.centerAt + " --data " + d.folder.path + "/governance\n",
		"center login --data " + d.folder.path + "/governance --at http://" + d.centerAt + "\n",
	} {
		if !strings.Contains(guide, want) {
			t.Errorf("%q is not in:\n%s", want, guide)
		}
	}
	if more := d.more(); !strings.Contains(more, "bin/sluice top --at http://"+web.admin+" --data "+d.folder.path+"\n") {
		t.Errorf("the commands do not say where the agent is:\n%s", more)
	}
}

// People read it on a terminal, above the table.
func TestGuideIsShort(t *testing.T) {
	d := startServers(t)
	if err := d.choosePorts(usualAdmin, usualCenter); err != nil {
		t.Fatal(err)
	}
	d.notes = nil
	const most = 30
	if n := strings.Count(d.guide(false), "\n"); n > most {
		t.Errorf("the guide has %d lines, more than %d:\n%s", n, most, d.guide(false))
	}
	if n := len(d.things()); n != 5 {
		t.Errorf("there are %d things to try", n)
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
	d := newDemo("bin/demo")
	d.sluice, d.centerAt, d.folder = "bin/sluice", "127.0.0.1:9980", &folder{path: "data", usual: true}
	d.sites[0].admin = "127.0.0.1:8002"
	for want, h := range map[string]hint{
		"bin/sluice top":   {"sluice", "top", ""},
		"bin/demo kill yf": {"demo", "kill yf", ""},
		"bin/sluice center login --data data/governance":                          {"sluice center", "center login", ""},
		"bin/sluice get agents --at http://127.0.0.1:9980 --data data/governance": {atCenter, "get agents", ""},
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
