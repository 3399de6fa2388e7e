//go:build long

package mesh

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/grpc"
	"github.com/sluice-mesh/sluice/testenv/http"
	"github.com/sluice-mesh/sluice/testenv/load/counted"
	grpcload "github.com/sluice-mesh/sluice/testenv/load/grpc"
	httpload "github.com/sluice-mesh/sluice/testenv/load/http"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// serviceAgent is an agent for a service, whose servers or next agents are given.
const serviceAgent = `
agent: { admin: {{addr "admin"}}, application: mesh-test, drain: { wait: 0s, timeout: 10s } }
resources:
  peers:
    kind: {{.kind}}
    listen: {{addr "peers"}}
    settings: { {{.settings}} }
    groups: { testenv: { endpoints: [{{.endpoints}}] } }
    policy: { timeout: 3s, probe: { every: 200ms }, eject: { base: 200ms, max: 1s } }
`

// As TestLongDrainsUnderLoad, for clients of HTTP.
func TestLongHTTPDrainsUnderLoad(t *testing.T) {
	var servers []string
	for range 2 {
		servers = append(servers, http.Serve(t, http.Server{}).Addr)
	}
	drainInTurn(t, "http", "forwarded: append", httpload.Dial, servers)
}

// The same for clients of gRPC.
func TestLongGRPCDrainsUnderLoad(t *testing.T) {
	var servers []string
	for range 2 {
		servers = append(servers, grpc.Serve(t, grpc.Server{}).Addr)
	}
	drainInTurn(t, "grpc", "services: ["+grpcload.Service+"]", grpcload.Dial, servers)
}

// drainInTurn stops and starts the agents beside two servers in turn, 25 times each, while clients call through a third one. Each call
// must be answered, and each write carried out once.
func drainInTurn(t *testing.T, kind, settings string, dial counted.Dial, servers []string) {
	const drains = 50
	start := func(endpoints string) *server.AgentProcess {
		return server.Start(t, server.Agent{Config: serviceAgent, Vars: map[string]string{"kind": kind, "settings": settings, "endpoints": endpoints}})
	}
	var agents []*server.AgentProcess
	for _, s := range servers {
		agents = append(agents, start(fmt.Sprintf("%q", s)))
	}
	front := start(fmt.Sprintf("%q, %q", agents[0].Addr("peers"), agents[1].Addr("peers")))
	load := counted.Start(context.Background(), counted.Config{Dial: dial, Address: front.Addr("peers"), Servers: servers, Clients: 8, Rate: 800, Timeout: 10 * time.Second})
	for n := range drains {
		before := load.Counts()
		server.Wait(t, 20*time.Second, "calls", func() error {
			if now := load.Counts(); now.OK < before.OK+100 && now.Errors == 0 {
				return fmt.Errorf("%d calls", now.OK-before.OK)
			}
			return nil
		})
		if failed := load.Counts().Errors; failed > 0 {
			t.Errorf("%d calls failed by drain %d", failed, n)
			break
		}
		a := agents[n%2]
		a.Stop()
		if a.State() != "exit status 0" {
			t.Errorf("drain %d: %s", n, a.State())
		}
		a.Restart()
		server.Wait(t, 20*time.Second, "the agent to be called again", func() error { return errors.Join(called(a), bothUp(front)) })
	}
	r := load.Stop()
	r.Check(t, 50)
	for i, s := range servers {
		if load.CountedBy(s) == 0 {
			t.Errorf("server %d counted nothing", i)
		}
	}
}

// called asks whether an agent had calls since it was started: who calls it may know only now that it was gone.
func called(a *server.AgentProcess) error {
	_, text, err := a.Get("/metrics")
	if err == nil && !strings.Contains(text, `sluice_calls_total{resource="peers"`) {
		err = errors.New("it has had no call")
	}
	return err
}
