package server

import (
	"bytes"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const fakeAgent = "github.com/sluice-mesh/sluice/testenv/server/testdata/fakeagent"

const agentConfig = `agent:
  admin: {{addr "admin"}}
resources:
  cache:
    listen: {{addr "cache"}}
    groups: { yf: { endpoints: ["{{.redis}}"] } }
  two:
    listen: ["{{addr "a"}}", "unix:/run/x.sock"]
`

func TestAgent(t *testing.T) {
	a := Start(t, Agent{Config: agentConfig, Binary: Build(t, fakeAgent, false), Vars: map[string]string{"redis": "127.0.0.1:1"},
		Env: []string{"FAKE=yes"}})
	if a.Addr("cache") == a.Admin || !strings.HasPrefix(a.Addr("cache"), "127.0.0.1:") {
		t.Errorf("address of cache is %s", a.Addr("cache"))
	}
	if l := a.Listen["two"]; len(l) != 2 || l[1] != "unix:/run/x.sock" {
		t.Errorf("addresses of two are %q", l)
	}
	if out := a.Output(); !strings.HasSuffix(out, " yes\n") {
		t.Errorf("output is %q", out)
	}
	if u := a.Usage(); u.CPU() < 40*time.Millisecond || u.RSS < 1<<20 {
		t.Errorf("usage is %+v after 60 ms of work", u)
	}
	if status, body, err := a.Call(http.MethodPost, "/echo", `{"a":1}`); err != nil || status != 200 || body != `POST Bearer t0ken {"a":1}` {
		t.Errorf("POST /echo: %d %q %v", status, body, err)
	}
	admin := a.Admin
	a.Stop()
	if a.State() != "exit status 0" {
		t.Errorf("state is %q", a.State())
	}
	a.Rewrite(agentConfig)
	a.Restart()
	if a.Admin != admin {
		t.Errorf("admin moved from %s to %s", admin, a.Admin)
	}
	if status, body, err := a.Get("/readyz"); err != nil || status != http.StatusOK || body != "ready\n" {
		t.Errorf("GET /readyz: %d %q %v", status, body, err)
	}
}

func TestAgentOnUnixSocket(t *testing.T) {
	sock := filepath.Join(newDir(t, "sock"), "admin.sock")
	a := Start(t, Agent{Config: "agent:\n  admin: unix:" + sock + "\n", Binary: Build(t, fakeAgent, false), NoWait: true})
	a.AwaitReady()
}

func TestAgentConfigErrors(t *testing.T) {
	for conf, want := range map[string]string{
		"agent: {}\n":                     "agent.admin is not set",
		"agent:\n  admin: {{.missing}}\n": "missing",
		"agent: [\n":                      "agent configuration",
	} {
		err := Run(io.Discard, "x", func(tb TB) { Start(tb, Agent{Config: conf, Binary: "/bin/true"}) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", conf, err, want)
		}
	}
}

func TestBuildErrorIsShown(t *testing.T) {
	err := Run(io.Discard, "x", func(tb TB) { Build(tb, "github.com/sluice-mesh/sluice/testenv/none", false) })
	if err == nil || !strings.Contains(err.Error(), "build github.com/sluice-mesh/sluice/testenv/none: exit status 1") {
		t.Errorf("error is %v", err)
	}
}

func TestPeers(t *testing.T) {
	r := Start(t, Redis{}).Primary
	for name, p := range map[string]*Proxy{
		"twemproxy": Start(t, Twemproxy{Redis: []string{r.Addr}}),
		"haproxy":   Start(t, HAProxy{Redis: []string{r.Addr}}),
	} {
		n := &RedisNode{Process: p.Process, Addr: p.Addr}
		n.Do("SET", "k", name)
		if v := r.Do("GET", "k"); string(v.Str) != name {
			t.Errorf("%s: GET gives %v", name, v)
		}
	}
}

func TestMode(t *testing.T) {
	for mode, want := range map[string]string{
		"docker": "TESTENV=docker is not available for redis yet",
		"cloud":  `TESTENV is "cloud": use native, docker or leave it unset`,
	} {
		t.Setenv("TESTENV", mode)
		err := Run(io.Discard, "x", func(tb TB) { Start(tb, Redis{}) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("TESTENV=%s: error %v, want %q", mode, err, want)
		}
	}
}

func TestMissingProgramNamesTheFix(t *testing.T) {
	err := Run(io.Discard, "x", func(tb TB) {
		startProxy(tb, "none", newDir(tb, "none"), "127.0.0.1:1", Command{Program: "no-such-program"})
	})
	if err == nil || err.Error() != "cannot run none: program no-such-program is not installed: run `make deps`" {
		t.Errorf("error is %v", err)
	}
}

func TestRun(t *testing.T) {
	var out bytes.Buffer
	err := Run(&out, "x", func(tb TB) {
		tb.Cleanup(func() { tb.Logf("first in") })
		tb.Cleanup(func() { tb.Cleanup(func() { tb.Logf("late") }); tb.Logf("last in") })
		panic("boom")
	})
	if err == nil || !strings.HasPrefix(err.Error(), "panic: boom\n") {
		t.Errorf("error is %v", err)
	}
	if out.String() != "last in\nlate\nfirst in\n" {
		t.Errorf("cleanups ran as %q", out.String())
	}
}
