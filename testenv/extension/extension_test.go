// Package extension tests package own, and the sluice that is built with it, as a user would have them: its module is outside of this one,
// and no package here is linked into it but those that are public.
package extension

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
    policy: { reads: replica, balance: first, filters: { longest: { bytes: 1KiB, match: { op: SET } } } }
  feed:
    kind: motan2
    listen: {{addr "feed"}}
    settings: { service: FeedService }
    groups: { main: { endpoints: ["{{.mirror}}"] } }
    policy: { filters: { longest: { bytes: 1KiB } } }
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
	agent := server.Start(t, server.Agent{Config: config, Binary: sluice(t),
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

	big := strings.Repeat("x", 2000)
	if err := patient.Set(t.Context(), "k", big, 0).Err(); err == nil || !strings.Contains(err.Error(), "longer than 1KiB (filter longest)") {
		t.Errorf("filter longest, of redis: %v", err)
	}
	if err := fast.Set(t.Context(), "k", big, 0).Err(); err != nil {
		t.Errorf("without the filter: %v", err)
	}

	nc, err := net.DialTimeout("tcp", agent.Addr("feed"), 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	ask := func(id uint64, body string) (f motan2.Frame) {
		t.Helper()
		meta := motan2.Meta(strings.Join([]string{motan2.KeyService, "FeedService", motan2.KeyMethod, "list", motan2.KeyGroup, "main"}, "\n"))
		if _, err := nc.Write(motan2.Append(nil, motan2.Head{ID: id, Serialization: byte(serial.IDJSON)}, meta, []byte(body))); err != nil {
			t.Fatal(err)
		}
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
		return f
	}
	if f := ask(8, `["`+big+`"]`); !strings.Contains(string(f.Meta)+string(f.Body), "longer than 1KiB (filter longest)") {
		t.Errorf("filter longest, of motan2: %q %s", f.Meta, f.Body)
	}
	// A serialization that is not among those of the agent: what a command replies is written in it.
	if status, answer, err := agent.Call("POST", "/v1/commands", `{"type": "degrade", "resource": "feed", "reply": "later", "why": "test"}`); err != nil || status/100 != 2 {
		t.Fatal(status, answer, err)
	}
	f := ask(7, `["x"]`)
	if f.ID != 7 || f.Status != motan2.StatusNormal || !bytes.Equal(f.Body, []byte(`"later"`)) {
		t.Errorf("answered with frame %d, status %d, %q, %s", f.ID, f.Status, f.Meta, f.Body)
	}
}

// sluice builds the program, in its own module, which cannot import what is internal here.
func sluice(t *testing.T) string {
	t.Helper()
	root, err := server.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	return server.BuildModulePackage(t, filepath.Join(root, "testenv", "extension", "own"), "./sluice", true)
}

// The tests of package own are those that its author has: the suites of filters and of sources.
func TestConformance(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-race", "-count=1", "./...")
	cmd.Dir = "own"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// What is wrong in a config is named with its place and what would be right, for the kinds of this program as for all.
func TestCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "agent.yaml")
	text := `resources:
  cache:
    kind: redis
    listen: 127.0.0.1:6380
    groups: { main: { endpoints: ["127.0.0.1:6379"] } }
    policy: { balance: frist, failover: { strategy: fail-fats } }
  notes:
    kind: note
    listen: 127.0.0.1:7000
    settings: { longest: 3KiB }
    groups: { main: { registry: "dir://" } }
    policy: { filters: { longest: { bytes: 0 }, shortest: {} } }
  more:
    kind: note
    listen: 127.0.0.1:7001
    settings: { longest: 32, longst: 1 }
    groups: { main: { endpoints: ["127.0.0.1:1"] } }
  other:
    kind: notes
    listen: 127.0.0.1:7002
    groups: { main: { endpoints: ["127.0.0.1:1"] } }
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), sluice(t), "check", file).CombinedOutput()
	if err == nil {
		t.Fatalf("it is taken: %s", out)
	}
	for _, want := range []string{
		"agent.yaml:6:", `policy.balance: "frist" is not known: did you mean "first"?`, `policy.failover.strategy: "fail-fats" is not known: did you mean "fail-fast"?`,
		"agent.yaml:10:", "resources.notes.settings.longest: it must be a power of two, such as 4KiB",
		"agent.yaml:11:", "write dir:///PATH", "resources.notes.policy.filters.longest.bytes: ", `no filter is called "shortest"`,
		"agent.yaml:16:", "resources.more.settings.longest: ", "64 to 1MiB", "longst",
		"agent.yaml:19:", `did you mean "note"?`,
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
	reference, err := exec.CommandContext(t.Context(), sluice(t), "reference").Output()
	for _, want := range []string{"Settings of the kind note", "longest line of a request or an answer", "Settings of the filter longest"} {
		if err != nil || !strings.Contains(string(reference), want) {
			t.Errorf("the reference does not say %q, %v", want, err)
		}
	}
}
