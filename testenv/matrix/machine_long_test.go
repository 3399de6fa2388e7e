//go:build long

package matrix

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-mesh/sluice/agent/cluster"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/resp"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// command sends an operator's command and returns the status of the answer.
func (l *lab) command(body string) int {
	l.Helper()
	status, answer, err := l.agent.Call("POST", "/v1/commands", body)
	if err != nil {
		l.Fatalf("POST /v1/commands: %v", err)
	}
	l.Logf("POST /v1/commands: %d %.200s", status, strings.TrimSpace(answer))
	return status
}

const (
	degradeKeys  = `{"type": "degrade", "resource": "cache", "match": {"op": "KEYS"}, "why": "too slow"}`
	degradeFlush = `{"type": "degrade", "resource": "cache", "match": {"op": "FLUSHALL"}, "why": "too dangerous"}`
)

// answers reports the word with which a command of one client is answered.
func (l *lab) answers(args ...string) string {
	l.Helper()
	c := l.dial()
	defer c.Close()
	v, _ := c.Do(args...)
	return word(v)
}

// Row 16: what the agent keeps on disk is damaged. It starts with the generation before, or with none, and says so.
func TestLongRow16DamagedSnapshot(t *testing.T) {
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	flip := func(b []byte) []byte { b[len(b)/2] ^= 0x20; return b }
	empty := func([]byte) []byte { return nil }
	for name, c := range map[string]struct {
		damage    func([]byte) []byte
		both      bool
		keys, one string // what KEYS and FLUSHALL are answered afterwards
	}{
		"flipped": {flip, false, "DEGRADED", ""}, "cut": {cut, false, "DEGRADED", ""}, "empty": {empty, false, "DEGRADED", ""}, "both": {cut, true, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t, plan{allow: []string{load.Closed, load.Connect}, complains: []string{"commands.json"}, noSide: true})
			for _, body := range []string{degradeKeys, degradeFlush} {
				if status := l.command(body); status/100 != 2 {
					t.Fatalf("a command was answered with status %d", status)
				}
			}
			l.steady()
			l.agent.Kill()
			files := []string{"commands.json"}
			if c.both {
				files = append(files, "commands.json.1")
			}
			for _, f := range files {
				path := filepath.Join(l.agent.Dir, "data", f)
				b, err := os.ReadFile(path)
				if err == nil {
					err = os.WriteFile(path, c.damage(b), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			l.agent.Restart()
			l.recovers()
			if !l.logged("commands.json") {
				t.Error("the log does not say that a file was damaged")
			}
			if got := l.answers("KEYS", "none"); got != c.keys {
				t.Errorf("KEYS is answered %q, want %q", got, c.keys)
			}
			if got := l.answers("FLUSHALL", "nonsense", "arguments"); got == "DEGRADED" {
				t.Error("the damaged generation is in force")
			}
			if status := l.command(degradeFlush); status/100 != 2 {
				t.Errorf("a new command was answered with status %d", status)
			}
			l.close()
		})
	}
}

// Row 17: configurations that cannot be. Each is refused whole, what runs goes on, and the reason is said.
func TestLongRow17RefusedConfig(t *testing.T) {
	l := open(t, plan{complains: []string{"config"}})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	l.steady()
	good, err := os.ReadFile(l.agent.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	free := server.FreeAddr(t)
	another := func(name, listen string) string {
		return fmt.Sprintf("  %s: { kind: redis, listen: %q, groups: { main: { endpoints: [%q] } } }\n", name, listen, l.side.Primary.Addr)
	}
	for name, c := range map[string]struct{ config, reason string }{
		"unknown field":  {string(good) + "    polizy: {}\n", "polizy"},
		"wrong value":    {strings.Replace(string(good), "policy: {", "policy: { timeout: never, ", 1), "timeout"},
		"no YAML":        {"agent: [\n", "sluice.yaml"},
		"unknown kind":   {strings.Replace(string(good), "kind: redis", "kind: rediss", 1), "rediss"},
		"empty":          {"", "is empty"},
		"one port taken": {string(good) + another("first", free) + another("second", taken.Addr().String()), taken.Addr().String()},
	} {
		t.Run(name, func(t *testing.T) {
			said := len(l.agent.Output())
			revision := l.scrape().sum("sluice_config_revision")
			if err := os.WriteFile(l.agent.ConfigFile, []byte(c.config), 0o600); err != nil {
				t.Fatal(err)
			}
			l.agent.Signal(syscall.SIGHUP)
			server.Wait(t, 2*time.Second, "the log to say why it is refused", func() error {
				news := l.agent.Output()[said:]
				if !strings.Contains(news, "is refused") || !strings.Contains(news, c.reason) {
					return fmt.Errorf("it says %q", news)
				}
				return nil
			})
			if now := l.scrape().sum("sluice_config_revision"); now != revision {
				t.Errorf("the revision went from %.0f to %.0f", revision, now)
			}
			if conn, err := net.Dial("tcp", free); err == nil {
				conn.Close()
				t.Error("one of two resources of a refused configuration is served")
			}
		})
	}
	status, body, err := l.agent.Call("PATCH", "/v1/resources/cache", `{"policy": {"timeout": "never"}}`)
	if err != nil || status/100 != 4 || !strings.Contains(body, "timeout") {
		t.Errorf("a bad policy was answered %d %s, %v", status, body, err)
	}
	l.unharmed(500 * time.Millisecond)
	if err := os.WriteFile(l.agent.ConfigFile, good, 0o600); err != nil {
		t.Fatal(err)
	}
	l.agent.Signal(syscall.SIGHUP)
	l.await(2*time.Second, "the good configuration to be read again", func() error {
		if !l.logged("config read again") {
			return errors.New("it was not")
		}
		return nil
	})
	l.unharmed(500 * time.Millisecond)
	l.close()
}

// Row 19: the disk of the access log is full. Lines are dropped and counted; calls are not held up.
func TestLongRow19LogDiskFull(t *testing.T) {
	l := open(t, plan{policy: "access-log: { sample: 100%, path: /dev/full }", complains: []string{"cannot write the access log"}})
	l.before, l.since = l.scrape(), time.Now() // the fault is there from the start
	l.steady()
	l.visible("dropped lines", func(now scrape) bool { return now.sum("sluice_dropped_total", "what", "accesslog") > 0 })
	l.unharmed(2 * time.Second)
	l.close()
}

// inNamespace writes a program that runs the agent in a mount namespace of its own, after setup, a shell script in which
// $DATA is the agent's data folder.
func inNamespace(t *testing.T, setup string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent")
	flags := "-m"
	if os.Geteuid() != 0 {
		flags = "-r -m"
	}
	script := fmt.Sprintf(`#!/bin/sh
DATA=$PWD/data
mkdir -p "$DATA"
export DATA
exec unshare %s sh -ec '%s
exec "$0" "$@"' %s "$@"
`, flags, setup, server.Build(t, "github.com/sluice-mesh/sluice/cmd/sluice", false))
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// Row 19: the disk of the data folder is full. A command is refused and nothing changes; calls go on.
func TestLongRow19DataDiskFull(t *testing.T) {
	l := open(t, plan{agent: server.Agent{Binary: inNamespace(t, `mount -t tmpfs -o size=64k none "$DATA"`)}, complains: []string{"no space"}})
	data := fmt.Sprintf("/proc/%d/root%s/data", l.agent.PID(), l.agent.Dir)
	token, err := os.ReadFile(filepath.Join(data, "admin.token"))
	if err == nil {
		err = os.WriteFile(filepath.Join(l.agent.Dir, "data", "admin.token"), token, 0o600) // where this test looks for it
	}
	if err != nil {
		t.Fatal(err)
	}
	if status := l.command(degradeKeys); status/100 != 2 {
		t.Fatalf("a command was answered with status %d", status)
	}
	l.steady()
	filler := filepath.Join(data, "filler")
	l.inject(func() {
		if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("the disk is not full: %v", err)
		}
	})
	if status := l.command(degradeFlush); status/100 != 5 {
		t.Errorf("a command that cannot be kept was answered with status %d", status)
	}
	if got := l.answers("FLUSHALL", "nonsense", "arguments"); got == "DEGRADED" {
		t.Error("a command that was refused is in force")
	}
	if got := l.answers("KEYS", "none"); got != "DEGRADED" {
		t.Errorf("KEYS is answered %q: the command before is not in force any more", got)
	}
	l.unharmed(time.Second)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if status := l.command(degradeFlush); status/100 != 2 {
		t.Errorf("with room on the disk, a command was answered with status %d", status)
	}
	l.recovers()
	l.close()
}

// Row 20: clients take all file descriptors. Those that are served go on being served, operators get in, the agent does not
// spin, and when clients leave new ones are served.
func TestLongRow20NoDescriptors(t *testing.T) {
	const limit, more = 256, 400
	l := open(t, plan{complains: []string{"cannot accept"}})
	l.steady()
	if err := unix.Prlimit(l.agent.PID(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}, nil); err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	l.inject(func() { conns = l.connect(more, nil) })
	l.visible("refused clients", func(now scrape) bool {
		return now.sum("sluice_dropped_total") > l.before.sum("sluice_dropped_total")
	})
	before, start := l.agent.Usage(), time.Now()
	l.unharmed(3 * time.Second)
	share := float64(l.agent.Usage().CPU()-before.CPU()) / float64(time.Since(start))
	t.Logf("%.1f %% of a processor, the load included", 100*share)
	if share > 0.25 {
		t.Errorf("%.1f %% of a processor: it spins", 100*share)
	}
	for range 5 {
		if _, err := l.tryScrape(); err != nil {
			t.Errorf("an operator does not get in: %v", err)
		}
	}
	hangUp(conns)
	l.recovers()
	l.await(recoverWithin, "new clients to be served", func() error {
		c, err := net.Dial("tcp", l.addr)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = resp.NewConn(c, time.Second).Do("PING")
		return err
	})
	l.close()
}

// names makes a file of hosts, and a function that points cache.test, at first 127.0.0.1, to an address; "": nowhere.
func names(t *testing.T) (hosts string, point func(to string)) {
	hosts = filepath.Join(t.TempDir(), "hosts")
	point = func(to string) {
		line := "127.0.0.1 localhost\n"
		if to != "" {
			line += to + " cache.test\n"
		}
		// In place: the file is mounted.
		if err := os.WriteFile(hosts, []byte(line), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	point("127.0.0.1")
	return hosts, point
}

// Row 26: a server's name gets another address, and loses it. Connections that are open stay; new ones go where the name
// points, or pointed last.
func TestLongRow26NameMoves(t *testing.T) {
	hosts, point := names(t)
	var first, second *fault.Proxy
	p := plan{policy: "probe: { every: 500ms }", allow: []string{"UNAVAILABLE", "UNKNOWN"}}
	p.agent.Binary = inNamespace(t, "mount --bind "+hosts+" /etc/hosts")
	p.endpoints = func(l *lab) []string {
		first = l.proxies[0]
		_, port, _ := strings.Cut(first.Addr, ":")
		second = fault.Start(t, fault.Options{Target: l.redis.Primary.Addr, Listen: "127.0.0.2:" + port})
		return []string{"cache.test:" + port}
	}
	l := open(t, p)
	l.steady()
	point("") // the name is gone: the last address serves
	l.inject(func() { first.ResetAll() })
	l.recovers()
	l.inject(func() { // the name moves, and nothing is left at the old address
		point("127.0.0.2")
		first.Set(fault.Refuse())
		first.ResetAll()
	})
	l.visible("refused calls", l.outcome("unavailable"))
	// The system's own cache of the file holds for five seconds.
	if !l.healthy(recoverWithin+5*time.Second, 400*time.Millisecond) {
		t.Fatalf("the new address is not used: %+v\n%s", l.main.Counts(), l.endpoints())
	}
	t.Logf("the new address was in use %v after the change", time.Since(l.since).Round(100*time.Millisecond))
	first.MustHaveFired(t, fault.KindRefuse)
	_ = second
	l.close()
}

// Row 26: name servers that fail or hang stop no connection to a host that was ever found.
func TestLongRow26NameServersFail(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	var mode atomic.Int32
	var asked atomic.Int64
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	c := cluster.New(cluster.Options{Resource: "cache", Metrics: metrics.NewRegistry(metrics.Options{}).Resource("cache", "redis"),
		Lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
			asked.Add(1)
			switch mode.Load() {
			case 1:
				return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
			case 2:
				return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
			case 3:
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}})
	defer c.Close()
	spec := &resources.Spec{Groups: map[string]resources.Group{"main": {Endpoints: []resources.EndpointSpec{{Address: "cache.test:" + port}}}}}
	spec.Policy.Fill()
	plan, err := c.Plan(spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	plan.Apply()
	ep := c.View().Endpoints[0]
	dial := func() time.Duration {
		start := time.Now()
		conn, fault := c.Dial(t.Context(), ep)
		if fault != nil {
			t.Fatalf("mode %d: %v", mode.Load(), fault)
		}
		conn.Close()
		return time.Since(start)
	}
	dial()
	for m := range int32(3) {
		mode.Store(m + 1)
		for range 5 {
			if took := dial(); took > 500*time.Millisecond {
				t.Errorf("mode %d: a connection took %v", m+1, took)
			}
		}
	}
	if asked.Load() != 1 {
		t.Errorf("the name was looked up %d times within its 30 s", asked.Load())
	}
}

// Row 34: the server stands still for five seconds, and goes on.
func TestLongRow34ServerPaused(t *testing.T) {
	eachProfile(t, func(t *testing.T, p plan) {
		p.allow = []string{"TIMEOUT", "UNKNOWN", "UNAVAILABLE"}
		p.policy = "timeout: 500ms, probe: { every: 500ms, timeout: 500ms }"
		p.endpoints = direct
		l := open(t, p)
		l.steady()
		l.inject(l.redis.Primary.Pause)
		l.visible("calls that timed out", l.outcome("timeout"))
		l.answersWithin(1200*time.Millisecond, "TIMEOUT", "UNKNOWN", "UNAVAILABLE")
		l.lasts(5*time.Second - time.Since(l.since))
		l.redis.Primary.Continue()
		l.recovers()
		l.close()
	})
}

// Row 34: the agent stands still for five seconds. What it is asked meanwhile waits with the system; nothing that is past
// its deadline is executed late.
func TestLongRow34AgentPaused(t *testing.T) {
	eachProfile(t, func(t *testing.T, p plan) {
		p.allow = []string{"TIMEOUT", "UNKNOWN", "UNAVAILABLE"}
		p.load.Timeout = 10 * time.Second
		p.prepare = func(t *testing.T, l *lab) { l.proxies[0].Set(fault.Latency(20*time.Millisecond, 0)) } // so that calls are under way
		p.load.Rate = 200
		l := open(t, p)
		l.steady()
		l.inject(l.agent.Pause)
		l.lasts(5 * time.Second)
		l.agent.Continue()
		l.recovers()
		r := l.close()
		if r.LongestGap() < 4*time.Second {
			t.Errorf("the longest gap is %v: the agent was not paused", r.LongestGap())
		}
	})
}

// Row 34: a connection to the server is made only after the deadline of the calls that wait for it. They are not sent.
func TestLongRow34NotExecutedLate(t *testing.T) {
	eachProfile(t, func(t *testing.T, p plan) {
		p.policy = "timeout: 300ms, connect-timeout: 3s"
		p.settings = `login: { name: default, password: "${env:PW}" }`
		p.servers.Password = "secret"
		p.agent.Env = []string{"PW=secret"}
		l := open(t, p)
		l.proxies[0].Set(fault.Latency(700*time.Millisecond, 0).Down()) // the login takes longer than the call may
		c := l.dial()
		if v, _ := c.Do("INCR", "late"); word(v) != "UNAVAILABLE" {
			t.Errorf("the call was answered %v, want UNAVAILABLE", v)
		}
		l.proxies[0].MustHaveFired(t, fault.KindLatency)
		l.proxies[0].Clear()
		l.await(3*time.Second, "the connection to be made", func() error {
			if v, err := c.Do("GET", "late"); err != nil {
				return fmt.Errorf("GET: %v, %w", v, err)
			}
			return nil
		})
		if v := l.redis.Primary.Do("EXISTS", "late"); v.Int != 0 {
			t.Error("the call was executed after its deadline")
		}
		c.Close()
		l.clean()
	})
}
