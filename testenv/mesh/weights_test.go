package mesh

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/admin"
	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// weighing is an agent that calls two servers, and one that applications may have say something of itself.
const weighing = `
agent:
  admin: {{addr "admin"}}
  application: mesh-test
  motan: { forward: {{addr "forward"}}, export: {{.export}}, registries: { zk: "zookeeper://127.0.0.1:1" } }
resources:
  peers:
    kind: motan2
    listen: {{addr "peers"}}
    settings: { service: sluice.testenv.PeerService }
    groups: { testenv: { endpoints: ["{{.heavy}}", "{{.plain}}"] } }
    policy: { timeout: 3s, balance: random, probe: { every: 200ms } }
  deaf:
    kind: motan2
    listen: {{addr "deaf"}}
    settings: { service: sluice.testenv.PeerService, weights: false }
    groups: { testenv: { endpoints: ["{{.heavy}}", "{{.plain}}"] } }
    policy: { timeout: 3s, balance: random, probe: { every: 200ms } }
  told:
    kind: motan2
    listen: {{addr "told"}}
    settings: { service: sluice.testenv.PeerService }
    groups: { testenv: { endpoints: [{ address: "{{.heavy}}", weight: 70 }, "{{.plain}}"] } }
    policy: { timeout: 3s, balance: random, probe: { every: 200ms } }
  local:
    kind: motan2
    listen: {{.export}}
    settings: { service: sluice.testenv.PeerService }
    groups: { testenv: { endpoints: ["{{.local}}"] } }
    policy: { timeout: 3s, probe: { every: 200ms } }
`

// The weight that a server of motan-go, or its agent, says of itself while it runs is followed, except where the config says not to
// or has a weight of its own, and motan-go's agent follows the one
// that an application has this agent say.
func TestDynamicWeights(t *testing.T) {
	t.Parallel()
	heavy, plain := motan.Serve(t, motan.Server{}), motan.Serve(t, motan.Server{})
	theirs := motan.StartAgent(t, motan.Agent{Exports: []motan.Export{{Local: heavy.Addr}}, Filters: "-"})
	export := server.FreeAddr(t)
	a := server.Start(t, server.Agent{Config: weighing, Vars: map[string]string{
		"heavy": theirs.Export, "plain": plain.Addr, "local": heavy.Addr, "export": export,
	}})
	weighs := func(resource string, want int, from string) {
		t.Helper()
		server.Wait(t, 20*time.Second, fmt.Sprintf("%s: a weight of %d from %q", resource, want, from), func() error {
			var list struct{ Endpoints []admin.Endpoint }
			status, text, err := a.Call("GET", "/v1/resources/"+resource+"/endpoints", "")
			if err != nil || status != 200 || json.Unmarshal([]byte(text), &list) != nil {
				return fmt.Errorf("%d %v %s", status, err, text)
			}
			for _, e := range list.Endpoints {
				if e.Address == theirs.Export && e.Weight == want && e.WeightFrom == from {
					return nil
				}
			}
			return fmt.Errorf("the endpoints are %s", text)
		})
	}
	weight := func(want int, from string) {
		t.Helper()
		weighs("peers", want, from)
	}
	ours := map[string]*motan.ClientProcess{"ours": motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(a.Addr("peers"))})}
	weight(100, "")
	awaitShare(t, "nobody said anything", ours, heavy.Name, 0.5)
	theirs.Manage("/meta/update?META_WEIGHT=40", "")
	weight(400, "server")
	awaitShare(t, "a weight", ours, heavy.Name, 0.8)
	weighs("deaf", 100, "")      // by now it would have heard it: it asks as often
	weighs("told", 70, "config") // the config goes before
	theirs.Manage("/meta/delete?key=META_WEIGHT", "")
	weight(100, "")

	refer := motan.Refer{Registry: motan.Direct(export, plain.Addr), Parameters: map[string]string{"loadbalance": "wrr"}}
	calls := motan.StartAgent(t, motan.Agent{Refers: []motan.Refer{refer}, Filters: "-"})
	motango := map[string]*motan.ClientProcess{"motan-go": motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(calls.Forward)})}
	awaitShare(t, "nobody said anything", motango, heavy.Name, 0.5)
	if status, text, err := a.Call("POST", "/meta/update?META_WEIGHT=40", ""); status != 200 || err != nil {
		t.Fatalf("%d %s %v", status, text, err)
	}
	awaitShare(t, "a weight", motango, heavy.Name, 0.8)
}
