//go:build long

package clients

import (
	"net"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// suiteAgent lets a request take as long as go-redis' tests let it. The default of 1s is less than what they ask some
// commands to wait, such as those behind CLIENT PAUSE.
const suiteAgent = `agent:
  admin: {{addr "admin"}}
  log: { level: warn }
resources:
  cache:
    kind: redis
    listen: {{.listen}}
    groups: { all: { endpoints: ["{{.redis}}"] } }
    settings: { profile: {{.profile}} }
    policy: { timeout: 30s }
`

// backend lets clients use DEBUG, which specs about latency and objects do.
var backend = server.Redis{Args: []string{"--enable-debug-command", "yes"}}

// TestLongGoRedisSuite compares go-redis' own tests direct with the same tests through the agent, which is built with the
// race detector. Specs and plain tests run side by side: most of their time they wait.
func TestLongGoRedisSuite(t *testing.T) {
	first := server.Start(t, backend).Primary
	_, port, err := net.SplitHostPort(first.Addr)
	if err != nil {
		t.Fatal(err)
	}
	s := buildSuite(t, port)
	server.Build(t, "github.com/sluice-mesh/sluice/cmd/sluice", true)
	var specs, tests results
	t.Run("kinds", func(t *testing.T) {
		t.Run("specs", func(t *testing.T) {
			t.Parallel()
			other := server.Start(t, backend).Primary
			specs = compare(t, other, s.specs)
		})
		t.Run("tests", func(t *testing.T) {
			t.Parallel()
			tests = compare(t, first, s.tests)
		})
	})
	for _, d := range differences {
		if specs[d.Test].state != "passed" && tests[d.Test].state != "passed" {
			t.Errorf("%s is listed as a difference and does not pass direct", d.Test)
		}
	}
}

// compare runs tests against a server, and then against agents in front of other servers that listen where it did.
// It returns what became of the tests direct.
func compare(t *testing.T, at *server.RedisNode, run func(*testing.T, string) results) results {
	direct := run(t, at.Addr)
	at.Stop()
	t.Logf("direct: %d passed, %d failed and are left out, %d skipped", direct.count("passed"), direct.count("failed"), direct.count("skipped"))
	logRepeated(t, "direct", direct)
	for name, r := range direct {
		if r.state == "failed" || r.state == "panicked" {
			t.Logf("left out, fails direct: %s", name)
		}
	}
	if n := direct.count("passed"); n < 300 {
		t.Fatalf("only %d tests pass direct: there is nothing to compare with", n)
	}
	for _, profile := range []string{"multiplexed", "transparent"} {
		node := server.Start(t, backend).Primary
		agent := server.Start(t, server.Agent{Config: suiteAgent, Race: true, Vars: map[string]string{"listen": at.Addr, "redis": node.Addr, "profile": profile}})
		got := run(t, at.Addr)
		agent.Stop()
		for _, word := range []string{"DATA RACE", "panic:", "cannot be matched"} {
			if out := agent.Output(); strings.Contains(out, word) {
				t.Errorf("%s: the agent's log has %q:\n%s", profile, word, out)
			}
		}
		node.Stop()
		logRepeated(t, profile, got)
		judge(t, profile, direct, got)
	}
	return direct
}

func logRepeated(t *testing.T, side string, r results) {
	for name, x := range r {
		if x.attempts > 1 && x.state == "passed" {
			t.Logf("%s: passed at the second attempt: %s", side, name)
		}
	}
}

// judge fails for each test that passes direct and not here, and for each entry of differences that makes none.
func judge(t *testing.T, profile string, direct, got results) {
	expected := map[string]*difference{}
	for i := range differences {
		if d := &differences[i]; d.Profiles == "both" || d.Profiles == profile {
			expected[d.Test] = d
		}
	}
	passed := 0
	for name, want := range direct {
		if want.state != "passed" {
			continue
		}
		r, d := got[name], expected[name]
		switch {
		case r.state == "passed" && d != nil && !d.Sometimes:
			t.Errorf("%s: %s is listed as a difference and passes", profile, name)
		case r.state == "passed":
			passed++
		case d != nil:
			t.Logf("%s: differs as documented: %s", profile, name)
		default:
			t.Errorf("%s: %s passes direct and is %q through the agent\n%s", profile, name, r.state, r.text)
		}
	}
	t.Logf("%s: %d of %d pass", profile, passed, direct.count("passed"))
}
