package redis

import (
	"fmt"
	"testing"

	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// hashedAgent is an agent in front of three servers that know nothing of each other.
func hashedAgent(t *testing.T, set *Settings, prepare ...func(*fakeRuntime)) (*agent, []*server.RedisNode) {
	t.Helper()
	var nodes []*server.RedisNode
	var addrs []string
	for range 3 {
		n := server.Start(t, server.Redis{}).Primary
		nodes = append(nodes, n)
		addrs = append(addrs, n.Addr)
	}
	f := newFake(t, addrs...)
	f.routes = func(c *resources.Call) *resources.Endpoint { return f.Endpoints()[int(c.Key*0x9e3779b97f4a7c15>>32%3)] }
	for _, p := range prepare {
		p(f)
	}
	set.Topology = topologyHashed
	return startAgent(t, f, set), nodes
}

func TestHashed(t *testing.T) {
	a, nodes := hashedAgent(t, &Settings{})
	flush := func() *wire {
		c := dial(t, a.addr)
		c.want("FLUSHALL", ok)
		return c
	}
	t.Run("several keys", func(t *testing.T) { testSplit(t, flush()) })
	t.Run("every server", func(t *testing.T) { testEveryServer(t, flush()) })
	t.Run("transactions", func(t *testing.T) {
		c := flush()
		for i := range 9 {
			c.want("MULTI", ok)
			c.want(fmt.Sprintf("INCR n%d", i), "+QUEUED\r\n")
			c.want(fmt.Sprintf("GET n%d", i), "+QUEUED\r\n")
			c.want("EXEC", "*2\r\n:1\r\n$1\r\n1\r\n")
		}
		testPlaces(t, c)
		c.want("MULTI", ok)
		c.want("SUNION a b c", crossSlot)
		c.want("EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n")
	})
	t.Run("spread", func(t *testing.T) {
		c := flush()
		for i := range 300 {
			c.want(fmt.Sprintf("SET key:%d v", i), ok)
		}
		total := int64(0)
		for _, n := range nodes {
			v := n.Do("DBSIZE")
			if v.Int < 50 {
				t.Errorf("%s has %d keys of 300", n.Name, v.Int)
			}
			total += v.Int
		}
		if total != 300 {
			t.Errorf("there are %d keys, want 300", total)
		}
	})
}

// TestHashTag keeps keys with the same tag on one server.
func TestHashTag(t *testing.T) {
	a, nodes := hashedAgent(t, &Settings{HashTag: "{}"})
	c := dial(t, a.addr)
	for i := range 30 {
		c.want(fmt.Sprintf("SADD {user}:%d 1 2", i), ":2\r\n")
	}
	c.want("SUNION {user}:1 {user}:2", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n")
	c.want("SINTERSTORE {user}:x {user}:1 {user}:2", ":2\r\n")
	used := 0
	for _, n := range nodes {
		if n.Do("DBSIZE").Int > 0 {
			used++
		}
	}
	if used != 1 {
		t.Errorf("keys of one tag are on %d servers", used)
	}
	c.want("SUNION {user}:1 {other}:2", crossSlot)
}

// TestPartOfASplitFails: one error, and no count that would hide it.
func TestPartOfASplitFails(t *testing.T) {
	a, nodes := hashedAgent(t, &Settings{})
	c := dial(t, a.addr)
	c.want("MSET a 1 b 1 c 1 d 1 e 1 f 1", ok)
	nodes[1].Kill()
	eventually(t, "the loss to be noticed", func() bool {
		for _, line := range []string{"MGET a b c d e f", "DEL a b c d e f", "DBSIZE"} {
			if r := c.say(line); r[0] != '-' {
				return false
			} else if w := word(r); w != "-UNAVAILABLE" && w != "-UNKNOWN" {
				t.Fatalf("%s: got %q", line, r)
			}
		}
		return true
	})
	nodes[1].Restart()
	eventually(t, "the server to be used again", func() bool { return c.say("MSET a 1 b 1 c 1 d 1 e 1 f 1") == ok })
	c.want("DEL a b c d e f", ":6\r\n")
}
