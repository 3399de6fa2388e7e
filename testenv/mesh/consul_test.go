package mesh

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// inConsul is a configuration of this package with Consul in the place of ZooKeeper.
func inConsul(config string) string {
	return strings.ReplaceAll(config, "zookeeper://{{.zk}}", "consul://{{.consul}}")
}

// Servers that Java registered in Consul are found, come and go, and so do the agent's own exports for Java; Consul may go, and
// a restart without it finds what was known.
func TestFindsAndExportsInConsul(t *testing.T) {
	t.Parallel()
	k := server.Start(t, server.Consul{})
	vars := map[string]string{"consul": k.Addr}
	java := motan.Serve(t, motan.Server{Peer: motan.Java, Registry: motan.Consul(k)})
	a := server.Start(t, server.Agent{Config: inConsul(found), Vars: vars})
	c := motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(a.Addr("peers"))})
	awaitNames(t, c, java.Name)
	exercise(t, c, java.Name)

	local := motan.Serve(t, motan.Server{Peer: motan.Go})
	vars["local"] = local.Addr
	exporting := server.Start(t, server.Agent{Config: inConsul(exports), Vars: vars})
	awaitNames(t, c, java.Name, local.Name)
	theirs := motan.Dial(t, motan.Client{Peer: motan.Java, Registry: motan.Consul(k)})
	reaches(t, theirs)
	awaitNames(t, theirs, java.Name, local.Name)

	k.Kill()
	server.Wait(t, 20*time.Second, "the status to say that the registry is gone", func() error {
		if r := registryOf(t, a); r.Connected || r.Error == "" {
			return fmt.Errorf("it says %+v", r)
		}
		return nil
	})
	awaitNames(t, c, java.Name, local.Name)
	a.Kill()
	a.Restart()
	c = motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(a.Addr("peers"))})
	awaitNames(t, c, java.Name, local.Name)
	k.Restart()
	server.Wait(t, 20*time.Second, "the status to say that the registry is back", func() error {
		if r := registryOf(t, a); !r.Connected {
			return fmt.Errorf("it says %+v", r)
		}
		return nil
	})
	k.Ask("PUT", "/v1/kv/motan/command/motanrpc_testenv", document(`{"index":1,"version":"1.0","commandType":1,"pattern":"sluice.*"}`))
	server.Wait(t, 20*time.Second, "a command in Consul", func() error {
		if list := commands(t, a); len(list) != 1 || list[0].Origin != "consul://"+k.Addr+"/motan/command/motanrpc_testenv" || list[0].Problem != "" {
			return fmt.Errorf("there are %+v", list)
		}
		return nil
	})
	k.Ask("DELETE", "/v1/kv/motan/command/motanrpc_testenv", "")
	awaitNoCommand(t, a)
	settles(t, c, java.Name, local.Name)

	local.Kill() // its agent lives, and says that nothing is behind it
	settles(t, theirs, java.Name)
	awaitNames(t, c, java.Name)
	local.Restart()
	settles(t, theirs, java.Name, local.Name)
	exporting.Stop()
	settles(t, theirs, java.Name)
	if got := k.Ask("GET", "/v1/health/service/motanrpc_testenv", ""); strings.Contains(got, exporting.Addr("local")) {
		t.Errorf("it stopped, and is in Consul still: %s", got)
	}
}

// settles waits until a client calls these servers alone, and its calls succeed. One of Java's learns of a server's end when it reads
// Consul the next time, and calls may fail until then.
func settles(t *testing.T, c *motan.ClientProcess, want ...string) {
	t.Helper()
	slices.Sort(want)
	server.Wait(t, 20*time.Second, "the servers "+strings.Join(want, " and "), func() error {
		var got []string
		for range 60 {
			r := c.Do(motan.Name())
			if r.Exception != nil {
				return r.Exception
			}
			if name, _ := r.Value.(string); !slices.Contains(got, name) {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("they are %v", got)
		}
		return nil
	})
}
