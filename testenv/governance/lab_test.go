package governance

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// lab is a centre with its agents.
type lab struct {
	*testing.T
	center *server.CenterProcess
	urls   []string // by which agents reach centres
}

func newLab(t *testing.T) *lab {
	t.Helper()
	return labOf(t, server.Center{Name: "c1"})
}

// labOf is newLab with a centre of one's own.
func labOf(t *testing.T, c server.Center) *lab {
	t.Helper()
	l := &lab{T: t, center: server.Start(t, c)}
	l.urls = []string{l.center.URL()}
	return l
}

// joinToken makes a token for some agents.
func (l *lab) joinToken(uses int) string {
	l.Helper()
	var out struct{ Token string }
	l.get("POST", "/v1/joins", fmt.Sprintf(`{"uses": %d}`, uses), &out)
	return out.Token
}

// get asks the centre and decodes its answer.
func (l *lab) get(method, path, body string, into any) {
	l.Helper()
	answer := l.center.Must(method, path, body)
	if err := json.Unmarshal([]byte(answer), into); err != nil {
		l.Fatalf("%s %s: %v in %s", method, path, err, answer)
	}
}

// agent starts an agent that takes resources from the centre; each listens on {{addr NAME}}, or is written NAME@ADDRESS. more is
// further configuration of the agent's section, one line with its indent each.
func (l *lab) agent(name, idc, more string, resources ...string) *server.AgentProcess {
	l.Helper()
	return server.Start(l, server.Agent{Config: l.configOf(name, idc, more, resources), Env: []string{"SLUICE_JOIN=" + l.joinToken(1)}})
}

// agentEnv is agent with further environment variables.
func (l *lab) agentEnv(env []string, name string, resources ...string) *server.AgentProcess {
	l.Helper()
	a := server.Start(l, server.Agent{Config: l.configOf(name, "yf", "", resources), Env: append(env, "SLUICE_JOIN="+l.joinToken(1)), NoWait: true})
	l.await(10*time.Second, name+" to be linked", func() error { return linked(a) })
	return a
}

func (l *lab) configOf(name, idc, more string, resources []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "agent:\n  name: %s\n  application: app-of-%s\n  idc: %s\n  admin: {{addr \"admin\"}}\n  data: data\n  center: [%s]\n"+
		"  drain: { wait: 0s, timeout: 5s }\n%sresources:\n", name, name, idc, strings.Join(l.urls, ", "), more)
	for _, r := range resources {
		if name, at, fixed := strings.Cut(r, "@"); fixed {
			fmt.Fprintf(&b, "  %s: { listen: %q }\n", name, at)
			continue
		}
		fmt.Fprintf(&b, "  %s: { listen: {{addr %q}} }\n", r, r)
	}
	return b.String()
}

// put publishes a document.
func (l *lab) put(name, yaml string) {
	l.Helper()
	l.center.Must("PUT", "/v1/resources/"+name+"?why=test", yaml)
}

// redisSpec is a cache in two data centres, of which yf has all the traffic.
func redisSpec(yf, tc string) string {
	return fmt.Sprintf("kind: redis\nlabels: { team: feed }\ngroups:\n  yf: { weight: 100, endpoints: [%q] }\n  tc: { weight: 0, endpoints: [%q] }\n", yf, tc)
}

// agentLine is what the list of agents says of one.
type agentLine struct {
	Name        string
	Connected   bool
	Connections int
	Revision    int64
	Ready       bool
	Behind      bool
	Since       time.Time // of Connected
	Stale       *time.Time
	Clock       string // how far it is ahead of the centre's
	ClockOff    bool
	Refused     []struct{ Resource, Path, Message string }
}

func (l *lab) agents() map[string]agentLine {
	l.Helper()
	var out struct{ Agents []agentLine }
	l.get("GET", "/v1/agents", "", &out)
	by := make(map[string]agentLine)
	for _, a := range out.Agents {
		by[a.Name] = a
	}
	return by
}

// await waits for a condition.
func (l *lab) await(d time.Duration, what string, cond func() error) {
	l.Helper()
	server.Wait(l, d, what, cond)
}

// settled waits until an agent is connected and runs what it should.
func (l *lab) settled(names ...string) {
	l.Helper()
	l.await(10*time.Second, "the agents to run what they should", func() error {
		all := l.agents()
		for _, n := range names {
			if a := all[n]; !a.Connected || a.Behind || !a.Ready {
				return fmt.Errorf("%s: %+v", n, a)
			}
		}
		return nil
	})
}

// command gives one and returns its id.
func (l *lab) command(body string) string {
	l.Helper()
	var out struct{ ID string }
	l.get("POST", "/v1/commands", body, &out)
	return out.ID
}
