package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-mesh/sluice/testenv/server"
)

func (l *lab) twemproxy(name string) *target {
	return l.once(name, func() *target {
		p := server.Start(l.t, server.Twemproxy{Redis: []string{l.redis.addr}})
		l.version("nutcracker", "--version")
		return &target{name: name, addr: p.Addr, pid: p.PID()}
	})
}

func (l *lab) haproxy() *target {
	return l.once("haproxy", func() *target {
		p := server.Start(l.t, server.HAProxy{Redis: []string{l.redis.addr}})
		l.version("haproxy", "-v")
		return &target{name: "haproxy", addr: p.Addr, pid: p.PID()}
	})
}

// agentConfig is an agent with the defaults of every policy.
const agentConfig = `agent:
  name: bench
  admin: {{addr "admin"}}
resources:
  bench:
    kind: redis
    listen: {{addr "bench"}}
    groups:
      main: { endpoints: ["{{.redis}}"] }
`

// bigPolicy gives 512 MB the time that they take.
const bigPolicy = `    policy:
      timeout: 2m
`

// allFilters switches every filter on, with rules that ordinary calls pass. The filters that work by commands get one of
// each (filterCommands).
const allFilters = `    policy:
      backup: { after: 500ms, budget: 1% }
      breaker: { errors: 50%, slow: 80%, slower-than: 100ms, window: 10s, min-calls: 20, open: 5s, mode: enforce }
      limits:
        - { rate: 50000000/s, burst: 1000000 }
        - { match: { op: "KEYS" }, rate: 0/s }
        - { match: { caller: "batch-*", class: write }, rate: 100/s, mode: observe }
      acl: { deny: [ { op: "FLUSHALL" }, { key: "secret:*" } ] }
      access-log: { sample: 1%, slower-than: 500ms, errors: true, path: access.log }
      trace: { sample: 0.1% }
`

// filterCommands are commands that no call of the bench matches, but whose filters look at every call.
var filterCommands = []string{
	`{"type":"degrade","resource":"bench","match":{"key":"nobody:*"},"percent":"50%","reply":"error"}`,
	`{"type":"fault","resource":"bench","match":{"key":"nobody:*"},"delay":"1ms"}`,
	`{"type":"mock","resource":"bench","match":{"key":"nobody:*"},"reply":"mocked"}`,
	`{"type":"limit","resource":"bench","match":{"key":"nobody:*"},"rate":"1/s"}`,
}

// agent returns the agent of a name: one that has "big" in it gives a call more time, one that has "all filters" has
// them on.
func (l *lab) agent(name string) *target {
	return l.once(name, func() *target {
		config, full := agentConfig, strings.Contains(name, "all filters")
		switch {
		case full:
			config += allFilters
		case strings.Contains(name, "big"):
			config += bigPolicy
		}
		a := server.Start(l.t, server.Agent{Config: config, Vars: map[string]string{"redis": l.redis.addr}, Binary: l.binary})
		t := &target{name: name, addr: a.Addr("bench"), pid: a.PID(), at: "http://" + a.Admin}
		if token, err := os.ReadFile(filepath.Join(a.Dir, "data", "admin.token")); err == nil {
			t.auth = strings.TrimSpace(string(token))
		}
		if full {
			for _, c := range filterCommands {
				if err := t.command(c); err != nil {
					l.t.Fatalf("%v", err)
				}
			}
		}
		l.agents = append(l.agents, t)
		return t
	})
}

// command posts one command to an agent.
func (t *target) command(text string) error {
	if !json.Valid([]byte(text)) {
		return fmt.Errorf("command %s is not JSON", text)
	}
	req, err := http.NewRequest(http.MethodPost, t.at+"/v1/commands", bytes.NewReader([]byte(text)))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+t.auth)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("command %s: %w", text, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		var said bytes.Buffer
		_, _ = said.ReadFrom(resp.Body) // the status says enough when this fails
		return fmt.Errorf("command %s: %s: %s", text, resp.Status, said.String())
	}
	return nil
}
