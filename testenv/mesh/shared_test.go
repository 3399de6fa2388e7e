package mesh

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// shared is an agent with several services at one address; the text of each is put in its place.
const shared = `
agent: { admin: {{addr "admin"}}, application: mesh-test, drain: { wait: 0s, timeout: 10s } }
resources:
`

// service is one of them.
func service(name, service, group, addr, more string) string {
	return fmt.Sprintf("  %s: { kind: motan2, listen: '{{addr \"forward\"}}', settings: { service: %s%s }, groups: { %s: { endpoints: [%q] } } }\n", name, service, more, group, addr)
}

// Services come to an address and go from it, and are opened anew, while a client of another service there calls on, on the
// connection that it has.
func TestServicesShareAnAddress(t *testing.T) {
	one, two := motan.Serve(t, motan.Server{}), motan.Serve(t, motan.Server{Group: "second"})
	first := service("one", motan.Service, motan.Group, one.Addr, "")
	a := server.Start(t, server.Agent{Config: shared + first})
	addr := a.Addr("one")
	busy := motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(addr)})
	stop := make(chan struct{})
	var calls atomic.Int64
	var load sync.WaitGroup
	load.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if r := busy.Do(motan.Name()); r.Exception != nil || r.Value != one.Name {
				t.Errorf("a call after %d others: %v, %v", calls.Load(), r.Value, r.Exception)
				return
			}
			calls.Add(1)
		}
	})
	c := motan.Dial(t, motan.Client{Registry: motan.Direct(addr)})
	other := motan.Name()
	other.Group = "second"
	coded(t, c, other, 10101, "is not served in group")
	for i, resources := range []string{
		first + service("two", motan.Service, "second", two.Addr, ""),
		first + service("two", motan.Service, "second", two.Addr, ", max-content: 1MiB"), // opened anew
	} {
		reload(t, a, resources)
		server.Wait(t, 10*time.Second, "the second service", func() error {
			if r := c.Do(other); r.Value != two.Name {
				return fmt.Errorf("reload %d: %v, %v", i, r.Value, r.Exception)
			}
			return nil
		})
	}
	reload(t, a, first)
	server.Wait(t, 10*time.Second, "the second service to go", func() error {
		if r := c.Do(other); r.Exception == nil || r.Exception.Code != 10101 {
			return fmt.Errorf("%v, %v", r.Value, r.Exception)
		}
		return nil
	})
	during := calls.Load()
	server.Wait(t, 10*time.Second, "more calls", func() error {
		if n := calls.Load() - during; n < 100 {
			return fmt.Errorf("%d calls since", n)
		}
		return nil
	})
	close(stop)
	load.Wait()
	if during < 5 {
		t.Errorf("%d calls while services came and went", during)
	}
	if status, text, err := a.Call("PUT", "/v1/resources/three", fmt.Sprintf(
		`{"kind":"motan2","listen":%q,"settings":{"service":%q},"groups":{%q:{"endpoints":[%q]}}}`, addr, motan.Service, motan.Group, two.Addr)); err != nil ||
		status/100 != 4 || !strings.Contains(text, "both serve") {
		t.Errorf("a service that callers could not tell apart: %d %s %v", status, text, err)
	}
}

// reload gives the agent another configuration.
func reload(t *testing.T, a *server.AgentProcess, resources string) {
	t.Helper()
	a.Rewrite(shared + resources)
	a.Signal(syscall.SIGHUP)
}

// Clients that call one by one lose no call when the agent stops: those whose next call finds no connection were not cut in the
// middle of one.
func TestStopsWithoutALostCall(t *testing.T) {
	s := motan.Serve(t, motan.Server{})
	for round := range 3 {
		a := server.Start(t, server.Agent{Config: shared + service("one", motan.Service, motan.Group, s.Addr, "")})
		c := motan.Dial(t, motan.Client{Registry: motan.Direct(a.Addr("one"))})
		var batch []motan.Call
		for n := range 20 {
			batch = append(batch, motan.Sleep(time.Duration(n*10)*time.Millisecond))
		}
		done := make(chan []motan.Result, 1)
		go func() { done <- c.Multi(batch...) }()
		time.Sleep(60 * time.Millisecond)
		a.Stop()
		for i, r := range <-done {
			if r.Exception != nil {
				t.Errorf("round %d: call %d, which was under way, failed: %v", round, i, r.Exception)
			}
		}
	}
}
