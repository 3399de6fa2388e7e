package mesh

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/admin"
	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// found is the configuration of an agent that finds the servers in ZooKeeper.
const found = `
agent: { admin: {{addr "admin"}}, idc: yf, application: mesh-test, data: data, drain: { wait: 0s } }
resources:
  peers:
    kind: motan2
    listen: {{addr "forward"}}
    settings: { service: sluice.testenv.PeerService, idempotent: [echo, name] }
    groups: { testenv: { registry: "zookeeper://{{.zk}}" } }
    policy: { timeout: 3s, probe: { every: 200ms } }
`

// exports is that of an agent beside a local server, which others find in ZooKeeper.
const exports = `
agent:
  admin: {{addr "admin"}}
  application: mesh-test
  drain: { wait: 1s }
  exports: [{ resource: local, kind: motan2, group: testenv, address: {{addr "export"}}, registry: "zookeeper://{{.zk}}", version: "1.0" }]
resources:
  local:
    kind: motan2
    listen: {{addr "export"}}
    settings: { service: sluice.testenv.PeerService }
    groups: { testenv: { endpoints: ["{{.local}}"] } }
    policy: { timeout: 3s, probe: { every: 200ms } }
`

// names returns the servers that answer within many calls, sorted.
func names(t *testing.T, c *motan.ClientProcess) []string {
	t.Helper()
	seen := map[string]bool{}
	var out []string
	for range 60 {
		name, _ := c.Must(motan.Name()).(string)
		if !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// reaches waits until a client that asks a registry has found and connected somebody, which it does beside its first calls.
func reaches(t *testing.T, c *motan.ClientProcess) {
	t.Helper()
	server.Wait(t, 20*time.Second, "a client to find a server", func() error {
		if r := c.Do(motan.Name()); r.Exception != nil {
			return r.Exception
		}
		return nil
	})
}

func awaitNames(t *testing.T, c *motan.ClientProcess, want ...string) {
	t.Helper()
	slices.Sort(want)
	server.Wait(t, 20*time.Second, "the servers "+strings.Join(want, " and "), func() error {
		if got := names(t, c); !slices.Equal(got, want) {
			return fmt.Errorf("they are %v", got)
		}
		return nil
	})
}

// registryOf returns what an agent's status says of its only registry.
func registryOf(t *testing.T, a *server.AgentProcess) admin.Registry {
	t.Helper()
	all := registriesOf(t, a)
	if len(all) != 1 {
		t.Fatalf("it has %d registries: %+v", len(all), all)
	}
	return all[0]
}

// registriesOf returns what an agent's status says of all of them.
func registriesOf(t *testing.T, a *server.AgentProcess) []admin.Registry {
	t.Helper()
	var status admin.Status
	code, text, err := a.Call("GET", "/v1/status", "")
	if err == nil {
		err = json.Unmarshal([]byte(text), &status)
	}
	if err != nil || code != 200 {
		t.Fatalf("status: %d %v %s", code, err, text)
	}
	return status.Registries
}

// agentsMeet starts an agent of motan-go that exports a server to ZooKeeper and forwards calls to what it finds there. c calls
// through our agent; the others are what else is registered, one of them beside an agent of ours. Each agent reaches all.
func agentsMeet(t *testing.T, z *server.ZooKeeperServer, c *motan.ClientProcess, others ...string) {
	t.Helper()
	s := motan.Serve(t, motan.Server{})
	theirs := motan.StartAgent(t, motan.Agent{
		Refers: []motan.Refer{{Registry: motan.ZooKeeper(z)}}, Exports: []motan.Export{{Local: s.Addr, Registry: motan.ZooKeeper(z)}}, Filters: "-",
	})
	all := append([]string{s.Name}, others...)
	awaitNames(t, c, all...)
	for _, peer := range []motan.Peer{motan.Go, motan.Java} {
		through := motan.Dial(t, motan.Client{Peer: peer, Registry: motan.Direct(theirs.Forward)})
		reaches(t, through)
		awaitNames(t, through, all...)
		fails(t, through, motan.Fail("as asked"), motan.BusinessException, "as asked")
	}
	theirs.SetAvailable(false)
	awaitNames(t, c, others...)
}

// Servers that Java and motan-go registered are found, come and go; ZooKeeper may go, and a restart without it finds what
// was known.
func TestFindsServersInZooKeeper(t *testing.T) {
	t.Parallel()
	z := server.Start(t, server.ZooKeeper{})
	java := motan.Serve(t, motan.Server{Peer: motan.Java, Registry: motan.ZooKeeper(z)})
	a := server.Start(t, server.Agent{Config: found, Vars: map[string]string{"zk": z.Addr}})
	c := motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(a.Addr("peers"))})
	exercise(t, c, java.Name)
	other := motan.Serve(t, motan.Server{Peer: motan.Go, Registry: motan.ZooKeeper(z)})
	awaitNames(t, c, java.Name, other.Name)
	if r := registryOf(t, a); !r.Connected || r.Watches != 3 || r.Address != "zookeeper://"+z.Addr {
		t.Errorf("the status says of the registry: %+v", r)
	}
	z.Kill()
	server.Wait(t, 10*time.Second, "the status to say that the registry is gone", func() error {
		if r := registryOf(t, a); r.Connected || r.Error == "" {
			return fmt.Errorf("it says %+v", r)
		}
		return nil
	})
	awaitNames(t, c, java.Name, other.Name)
	other.Kill() // and nobody tells: probes do
	time.Sleep(time.Second)
	awaitNames(t, c, java.Name)
	a.Kill()
	a.Restart()
	again := motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(a.Addr("peers"))})
	awaitNames(t, again, java.Name)
	z.Restart()
	other.Restart()
	awaitNames(t, again, java.Name, other.Name)
}

// A service beside an agent is found in ZooKeeper by the clients of others, while it is up, and its agent stops without a call
// that fails.
func TestExportsToZooKeeper(t *testing.T) {
	t.Parallel()
	z := server.Start(t, server.ZooKeeper{})
	local := motan.Serve(t, motan.Server{Peer: motan.Go})
	a := server.Start(t, server.Agent{Config: exports, Vars: map[string]string{"zk": z.Addr, "local": local.Addr}})
	direct := motan.Serve(t, motan.Server{Peer: motan.Java, Registry: motan.ZooKeeper(z)})
	announced := func(available bool) error {
		r := registryOf(t, a)
		if len(r.Announced) != 1 || r.Announced[0].Available != available || !r.Announced[0].Stands || r.Announced[0].Address != a.Addr("local") {
			return fmt.Errorf("it says %+v", r)
		}
		return nil
	}
	server.Wait(t, 10*time.Second, "the status to say that the export is available", func() error { return announced(true) })
	for _, peer := range []motan.Peer{motan.Java, motan.Go} {
		c := motan.Dial(t, motan.Client{Peer: peer, Registry: motan.ZooKeeper(z)})
		reaches(t, c)
		awaitNames(t, c, local.Name, direct.Name)
	}
	ours := server.Start(t, server.Agent{Config: found, Vars: map[string]string{"zk": z.Addr}})
	c := motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(ours.Addr("peers"))})
	awaitNames(t, c, local.Name, direct.Name)
	local.Kill() // its agent lives, and says that nothing is behind it
	server.Wait(t, 10*time.Second, "the status to say that the export is not available", func() error { return announced(false) })
	awaitNames(t, c, direct.Name)
	local.Restart()
	awaitNames(t, c, local.Name, direct.Name)
	agentsMeet(t, z, c, local.Name, direct.Name)
	stop := make(chan struct{})
	failed := make(chan motan.Result, 1)
	go func() {
		defer close(failed)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if r := c.Do(motan.Name()); r.Exception != nil {
				failed <- r
				return
			}
		}
	}()
	a.Stop()
	close(stop)
	if r, bad := <-failed; bad {
		t.Errorf("a call failed while its agent drained: %v", r.Exception)
	}
	awaitNames(t, c, direct.Name)
}
