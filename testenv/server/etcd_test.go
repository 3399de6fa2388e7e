package server

import (
	"io"
	"strings"
	"testing"
)

func TestEtcd(t *testing.T) {
	e := Start(t, Etcd{Members: 3})
	first := e.Leader(t)
	first.Ctl("put", "a", "1")
	first.Pause()
	second := e.Leader(t)
	if second == first {
		t.Errorf("%s leads and is paused", first.Name)
	}
	second.Ctl("put", "b", "2")
	first.Continue()
	second.Kill()
	third := e.Leader(t)
	if third == second {
		t.Errorf("%s leads and was killed", second.Name)
	}
	second.Restart()
	for _, m := range e.Members {
		if got := m.Ctl("get", "--prefix", "--print-value-only", ""); got != "1\n2\n" {
			t.Errorf("%s has %q", m.Name, got)
		}
	}
}

func TestEtcdWithPasswordAndTLS(t *testing.T) {
	e := Start(t, Etcd{Password: "right", TLS: true})
	m := e.Members[0]
	if !strings.HasPrefix(e.Endpoints()[0], "https://") {
		t.Errorf("endpoints are %q", e.Endpoints())
	}
	m.Ctl("put", "a", "1")
	if got := m.Ctl("get", "--print-value-only", "a"); got != "1\n" {
		t.Errorf("a is %q", got)
	}
	if out, err := m.ctl("wrong", "get", "a"); err == nil || !strings.Contains(err.Error(), "authentication failed") {
		t.Errorf("with a wrong password: %q, error %v", out, err)
	}
}

func TestEtcdArgs(t *testing.T) {
	err := Run(io.Discard, "x", func(tb TB) { Start(tb, Etcd{Args: []string{"--no-such-setting"}}) })
	if err == nil || !strings.Contains(err.Error(), "ended before it served") {
		t.Errorf("error is %v", err)
	}
}
