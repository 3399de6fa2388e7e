package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

const config = `agent:
  admin: {{addr "admin"}}
resources:
  fast:
    kind: redis
    listen: {{addr "fast"}}
    groups: { main: { endpoints: ["{{.primary}}", "{{.a}}", "{{.b}}"] } }
    policy: { reads: replica, balance: first, failover: { strategy: fail-fast } }
  patient:
    kind: redis
    listen: {{addr "patient"}}
    groups: { main: { endpoints: ["{{.primary}}", "{{.a}}", "{{.b}}"] } }
    policy: { reads: replica, balance: first }
  feed:
    kind: motan2
    listen: {{addr "feed"}}
    settings: { service: FeedService }
    groups: { main: { endpoints: ["{{.mirror}}"] } }
`

// What a program registers works as what the agent has of its own.
func TestExtensions(t *testing.T) {
	s := server.Start(t, server.Redis{Replicas: 2})
	slices.SortFunc(s.Replicas, func(a, b *server.RedisNode) int { return strings.Compare(a.Addr, b.Addr) })
	a, b := s.Replicas[0], s.Replicas[1]
	for name, r := range map[string]*server.RedisNode{"a": a, "b": b} {
		r.Do("CONFIG", "SET", "replica-read-only", "no")
		r.Do("SET", "who", name)
	}
	agent := server.Start(t, server.Agent{Config: config, Binary: server.Build(t, "github.com/sluice-mesh/sluice/testenv/extension", false),
		Vars: map[string]string{"primary": s.Primary.Addr, "a": a.Addr, "b": b.Addr, "mirror": motan.Mirror(t)}})
	client := func(resource string) *redis.Client {
		c := redis.NewClient(&redis.Options{Addr: agent.Addr(resource), MaxRetries: -1, DialTimeout: 20 * time.Second, ReadTimeout: 20 * time.Second})
		t.Cleanup(func() { c.Close() })
		return c
	}
	fast, patient := client("fast"), client("patient")
	for range 20 {
		if who, err := fast.Get(t.Context(), "who").Result(); who != "a" || err != nil {
			t.Fatalf("balance first: %q answers, %v", who, err)
		}
	}

	a.Kill()
	if who, err := patient.Get(t.Context(), "who").Result(); who != "b" || err != nil {
		t.Errorf("failover: %q answers, %v", who, err)
	}
	if _, err := fast.Get(t.Context(), "who").Result(); err == nil || !strings.HasPrefix(err.Error(), "UNAVAILABLE") {
		t.Errorf("strategy fail-fast: %v", err)
	}

	// A serialization that is not among those of the agent: what a command replies is written in it.
	if status, answer, err := agent.Call("POST", "/v1/commands", `{"type": "degrade", "resource": "feed", "reply": "later", "why": "test"}`); err != nil || status/100 != 2 {
		t.Fatal(status, answer, err)
	}
	nc, err := net.DialTimeout("tcp", agent.Addr("feed"), 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	meta := motan2.Meta(strings.Join([]string{motan2.KeyService, "FeedService", motan2.KeyMethod, "list", motan2.KeyGroup, "main"}, "\n"))
	if _, err := nc.Write(motan2.Append(nil, motan2.Head{ID: 7, Serialization: byte(serial.IDJSON)}, meta, []byte(`["x"]`))); err != nil {
		t.Fatal(err)
	}
	var f motan2.Frame
	var in []byte
	for ok := false; !ok; {
		part := make([]byte, 4096)
		n, err := nc.Read(part)
		if err != nil {
			t.Fatal(err)
		}
		in = append(in, part[:n]...)
		if ok, err = f.Scan(in, motan2.DefaultMax); err != nil {
			t.Fatal(err)
		}
	}
	if f.ID != 7 || f.Status != motan2.StatusNormal || !bytes.Equal(f.Body, []byte(`"later"`)) {
		t.Errorf("answered with frame %d, status %d, %q, %s", f.ID, f.Status, f.Meta, f.Body)
	}
}

// A name that the program did not register is an error with its place and what there is.
func TestUnknownNames(t *testing.T) {
	file := filepath.Join(t.TempDir(), "agent.yaml")
	text := "resources:\n  cache:\n    kind: redis\n    listen: 127.0.0.1:6380\n    groups: { main: { endpoints: [\"127.0.0.1:6379\"] } }\n" +
		"    policy: { balance: frist, failover: { strategy: fail-fats } }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), server.Build(t, "github.com/sluice-mesh/sluice/testenv/extension", false), "agent", "-c", file).CombinedOutput()
	if err == nil {
		t.Fatalf("it is taken: %s", out)
	}
	for _, want := range []string{"agent.yaml:6:", `policy.balance: "frist" is not known: did you mean "first"?`, `policy.failover.strategy: "fail-fats" is not known: did you mean "fail-fast"?`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
}
