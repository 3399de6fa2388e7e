package stages

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// config has each kind twice: behind a link that can be made slow, and at an address that takes no connection at first. There a check that
// fails, which a call right after it believes, comes at the start and then no more.
const config = `
agent: { admin: {{addr "admin"}}, application: stages-test, drain: { wait: 0s, timeout: 2s } }
resources:
  {{.name}}:
    kind: {{.kind}}
    listen: {{addr "near"}}
    groups: { testenv: { endpoints: ["{{.link}}"] } }
    settings: {{.settings}}
    policy: { timeout: 20s, connect-timeout: 10s }
  {{.name}}-late:
    kind: {{.kind}}
    listen: {{addr "late"}}
    groups: { testenv: { endpoints: ["{{.late}}"] } }
    settings: {{.settings}}
    policy: { timeout: 20s, connect-timeout: 10s, probe: { every: 10m, timeout: 100ms } }
`

// lab is an agent before a server of one kind.
type lab struct {
	t      *testing.T
	name   string
	agent  *server.AgentProcess
	server *fault.Proxy // between the agent and the server
	client *fault.Proxy // between clients and the agent
	late   *late
}

func newLab(t *testing.T, kind, addr, settings string) *lab {
	t.Helper()
	l := &lab{t: t, name: "peer", server: fault.Start(t, fault.Options{Target: addr, Seed: 1}), late: listenLate(t, addr)}
	l.agent = server.Start(t, server.Agent{Config: config, Vars: map[string]string{
		"name": l.name, "kind": kind, "settings": settings, "link": l.server.Addr, "late": l.late.addr,
	}})
	l.client = fault.Start(t, fault.Options{Target: l.agent.Addr(l.name), Seed: 2})
	return l
}

// times are the stages of a call in the order of names, in µs.
type times struct {
	Receive int64 `json:"receive-us"`
	Route   int64 `json:"route-us"`
	Send    int64 `json:"send-us"`
	Wait    int64 `json:"wait-us"`
	Reply   int64 `json:"reply-us"`
	Total   int64 `json:"total-us"`
}

func (s times) all() map[string]int64 {
	return map[string]int64{"receive": s.Receive, "route": s.Route, "send": s.Send, "wait": s.Wait, "reply": s.Reply}
}

// seen is what an observer gets of a call.
type seen struct {
	Op      string
	Outcome string
	Latency string
	Text    string
	Stages  times
}

// observe makes a call and returns what an observer of a resource sees of the first one that match selects.
func (l *lab) observe(resource, match string, call func()) seen {
	l.t.Helper()
	token, err := l.agent.Token()
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer cancel()
	url := "http://" + l.agent.Admin + "/v1/observe?resource=" + resource
	if match != "" {
		url += "&match=" + match
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		l.t.Fatalf("observe: %v %v", resp, err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	called := make(chan struct{})
	for lines.Scan() {
		if text := lines.Text(); strings.HasPrefix(text, ": watching") {
			go func() {
				defer close(called)
				call()
			}()
		} else if data, ok := strings.CutPrefix(text, "data: "); ok {
			var s seen
			if err := json.Unmarshal([]byte(data), &s); err != nil {
				l.t.Fatalf("%s: %v", data, err)
			}
			<-called
			l.check(s)
			return s
		}
	}
	l.t.Fatalf("no call was seen: %v", lines.Err())
	return seen{}
}

// check looks whether the stages of a call add up.
func (l *lab) check(s seen) {
	l.t.Helper()
	sum := int64(0)
	for stage, us := range s.Stages.all() {
		if sum += us; us < 0 {
			l.t.Errorf("%s takes %d µs: %+v", stage, us, s)
		}
	}
	latency, err := time.ParseDuration(s.Latency)
	if sum != s.Stages.Total || err != nil || s.Stages.Total < latency.Microseconds() {
		l.t.Errorf("the stages add up to %d µs, total is %d µs, latency %s", sum, s.Stages.Total, s.Latency)
	}
	if s.Outcome != "ok" {
		l.t.Errorf("the call is %+v", s)
	}
}

// longest checks that a stage took at least so long, and more than any other.
func (l *lab) longest(s seen, stage string, least time.Duration) {
	l.t.Helper()
	all := s.Stages.all()
	if all[stage] < least.Microseconds() {
		l.t.Errorf("%s takes %d µs, want at least %s: %+v", stage, all[stage], least, s)
	}
	for other, us := range all {
		if other != stage && us >= all[stage] {
			l.t.Errorf("%s takes %d µs and %s %d µs: %+v", other, us, stage, all[stage], s)
		}
	}
}

// slow is how slow things are made, and felt what must be seen of it.
const (
	slow = 300 * time.Millisecond
	felt = 250 * time.Millisecond
)

// calls are what a lab does with its server: a call at an address, and one with an answer of size bytes.
type calls struct {
	match string // of the operation; "": any
	small func(addr string)
	large func(addr string)
}

// run checks all of it: which stage is slow, when one part of the way is.
func (l *lab) run(c calls) {
	l.t.Helper()
	near := l.agent.Addr(l.name)
	c.small(near) // so that there is a connection
	quick := l.observe(l.name, c.match, func() { c.small(near) })
	if quick.Stages.Wait == 0 || quick.Stages.Reply == 0 {
		l.t.Errorf("nothing is known of an ordinary call: %+v", quick)
	}

	l.server.Set(fault.Latency(slow, 0).Down())
	l.longest(l.observe(l.name, c.match, func() { c.small(near) }), "wait", felt)
	l.server.MustHaveFired(l.t, fault.KindLatency)
	l.server.Clear()

	l.client.Set(fault.Bandwidth(16 << 20).Down())
	l.longest(l.observe(l.name, c.match, func() { c.large(l.client.Addr) }), "reply", felt)
	l.client.MustHaveFired(l.t, fault.KindBandwidth)
	l.client.Clear()

	late := l.agent.Addr(l.name + "-late")
	s := l.observe(l.name+"-late", c.match, func() {
		timer := time.AfterFunc(slow, l.late.open)
		defer timer.Stop()
		c.small(late)
	})
	l.longest(s, "route", felt)
}
