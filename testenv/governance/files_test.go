package governance

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// defines starts an agent that has a resource of its own file.
func (l *lab) defines(name, resource, spec string) *server.AgentProcess {
	l.Helper()
	return server.Start(l, server.Agent{
		Config: l.configOf(name, "yf", "", nil) + fmt.Sprintf("  %s: { listen: {{addr %q}}, %s }\n", resource, resource, spec),
		Env:    []string{"SLUICE_JOIN=" + l.joinToken(1)},
	})
}

// Files of two agents define a resource of one name, with other labels. A command by label reaches the one that has the label, at
// once, whichever agent comes first.
func TestFilesDiffer(t *testing.T) {
	t.Parallel()
	at := cacheAt(t, "here")
	l := newLab(t)
	agents := make(map[string]*server.AgentProcess)
	for name, team := range map[string]string{"web-1": "feed", "web-2": "user"} {
		agents[name] = l.defines(name, "cache", fmt.Sprintf("kind: redis, labels: { team: %s }, groups: { yf: { endpoints: [%q] } }", team, at))
	}
	l.settled("web-1", "web-2")
	has := func(agent string) int {
		s, err := statusOf(agents[agent])
		if err != nil {
			t.Fatal(err)
		}
		return len(s.Commands)
	}
	for team, want := range map[string]string{"feed": "web-1", "user": "web-2"} {
		id := l.command(fmt.Sprintf(`{"type": "limit", "select": {"labels": {"team": %q}}, "rate": "5/s", "why": "test"}`, team))
		l.await(5*time.Second, want+" to have the command", func() error {
			if n := has(want); n != 1 {
				return fmt.Errorf("it has %d commands", n)
			}
			return nil
		})
		if team == "feed" {
			l.scoped()
		}
		l.center.Must("DELETE", "/v1/commands/"+id, "")
		l.await(5*time.Second, want+" to have no command", func() error {
			if n := has(want); n != 0 {
				return fmt.Errorf("it has %d commands", n)
			}
			return nil
		})
	}
}

// scoped checks that who may command one of the two definitions may not command nor watch both.
func (l *lab) scoped() {
	l.Helper()
	var token struct{ Token string }
	l.get("POST", "/v1/tokens", `{"name": "feed", "roles": [{"role": "operator", "select": {"labels": {"team": "feed"}}}]}`, &token)
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/v1/commands", `{"type": "limit", "resource": "cache", "rate": "5/s"}`, http.StatusForbidden},
		{"POST", "/v1/commands", `{"type": "limit", "select": {"kind": "redis"}, "rate": "5/s"}`, http.StatusForbidden},
		{"POST", "/v1/commands?dry-run", `{"type": "limit", "select": {"labels": {"team": "feed"}}, "rate": "5/s"}`, http.StatusOK},
		{"GET", "/v1/observe?resource=cache", "", http.StatusForbidden},
	} {
		status, body, err := l.center.Call(c.method, c.path, c.body, "Authorization", "Bearer "+token.Token)
		if err != nil || status != c.status {
			l.Errorf("%s %s %s: %d %s %v, want %d", c.method, c.path, c.body, status, body, err, c.status)
		}
	}
}
