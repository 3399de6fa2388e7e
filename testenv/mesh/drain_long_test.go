//go:build long

package mesh

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// alongside is an agent beside one server, for others.
const alongside = `
agent: { admin: {{addr "admin"}}, application: mesh-test, drain: { wait: 0s, timeout: 10s } }
resources:
  peers:
    kind: motan2
    listen: {{addr "export"}}
    settings: { service: sluice.testenv.PeerService }
    groups: { testenv: { endpoints: ["{{.server}}"] } }
    policy: { timeout: 3s }
`

// Two agents beside servers are stopped and started in turn, 25 times each, while clients call through a third one: each call
// must be answered, and carried out once, though none of the methods may be repeated.
func TestLongDrainsUnderLoad(t *testing.T) {
	const drains = 50
	var agents []*server.AgentProcess
	for range 2 {
		s := motan.Serve(t, motan.Server{})
		agents = append(agents, server.Start(t, server.Agent{Config: alongside, Vars: map[string]string{"server": s.Addr}}))
	}
	front := forward(t, agents[0].Addr("peers"), agents[1].Addr("peers"))
	stop := make(chan struct{})
	var calls atomic.Int64
	var load sync.WaitGroup
	for n := range 4 {
		peer := []motan.Peer{motan.Go, motan.PHP, motan.Go, motan.Java}[n]
		c := motan.Dial(t, motan.Client{Peer: peer, Registry: motan.Direct(front.Addr("peers"))})
		load.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				var batch []motan.Call
				for k := range 8 {
					batch = append(batch, motan.Count(fmt.Sprint(n, "/", i, "/", k), time.Duration(k)*time.Millisecond))
				}
				results, err := c.Try(batch...)
				if err != nil {
					t.Error(err)
					return
				}
				for k, r := range results {
					if r.Exception != nil || r.Value != int64(1) {
						t.Errorf("%s: call %d of batch %d: %v, %v", peer, k, i, r.Value, r.Exception)
						return
					}
				}
				calls.Add(int64(len(results)))
			}
		})
	}
	for n := range drains {
		before := calls.Load()
		server.Wait(t, 20*time.Second, "calls", func() error {
			if t.Failed() || calls.Load() > before+100 {
				return nil
			}
			return fmt.Errorf("%d calls", calls.Load()-before)
		})
		if t.Failed() {
			t.Errorf("at drain %d", n)
			break
		}
		a := agents[n%2]
		a.Stop()
		if a.State() != "exit status 0" {
			t.Errorf("drain %d: %s", n, a.State())
		}
		a.Restart()
		a.AwaitReady()
		server.Wait(t, 20*time.Second, "the agent to be called again", func() error { return bothUp(front) })
	}
	close(stop)
	load.Wait()
	t.Logf("%d calls during %d drains", calls.Load(), drains)
}

// bothUp asks whether an agent calls both of its endpoints.
func bothUp(a *server.AgentProcess) error {
	code, text, err := a.Call("GET", "/v1/resources/peers/endpoints", "")
	if err != nil || code != 200 {
		return fmt.Errorf("%d %s %v", code, text, err)
	}
	if n := strings.Count(text, `"state":"up"`); n != 2 {
		return fmt.Errorf("%d endpoints are up: %s", n, text)
	}
	return nil
}
