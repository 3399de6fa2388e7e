package redis

import (
	"slices"
	"testing"

	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// TestSentinel follows a primary that is killed, and a sentinel that is.
func TestSentinel(t *testing.T) {
	s := server.Start(t, server.Redis{Replicas: 1, Sentinels: 3})
	a := startAgent(t, newFake(t), &Settings{Topology: topologySentinel, Master: server.SentinelName})
	var seeds []string
	for _, n := range s.Sentinels {
		seeds = append(seeds, n.Addr)
	}
	a.watch(t, seeds...)
	primary := func() string {
		for _, ep := range a.Endpoints() {
			if ep.Role() == resources.RolePrimary {
				return ep.Address
			}
		}
		return ""
	}
	eventually(t, "the primary to be known", func() bool { return primary() == s.Primary.Addr && len(a.Endpoints()) == 2 })
	c := dial(t, a.addr)
	c.want("SET k 1", ok)
	s.Sentinels[0].Kill() // the first that is asked
	s.Primary.Kill()
	successor := s.AwaitFailover(t, s.Primary)
	eventually(t, "the new primary to be reported", func() bool { return primary() == successor.Addr })
	eventually(t, "writes to go there", func() bool { return c.say("SET k 2") == ok })
	if v := successor.Do("GET", "k"); string(v.Str) != "2" {
		t.Errorf("the new primary has %q", v.Str)
	}
	s.Primary.Restart()
	eventually(t, "the old primary to come back as a replica", func() bool {
		return slices.ContainsFunc(a.Endpoints(), func(ep *resources.Endpoint) bool {
			return ep.Address == s.Primary.Addr && ep.Role() == resources.RoleReplica
		})
	})
}
