//go:build long

package governance

import "testing"

// While six clients change and read the same things at two centres, etcd's leader is killed and comes back, a centre is killed and comes
// back, and both at once: what the clients saw is explained by one order of all changes, as in TestHistoryOfTwoCenters.
func TestLongHistoryWithLosses(t *testing.T) {
	c, etcd := startCenters(t, 3)
	one, two := c.all["c1"], c.all["c2"]
	clients := startCrowd(t, 6, one, two)
	told := clients.follow(c.lab, one, two)
	clients.more(100, "at first")

	leader := etcd.Leader(t)
	leader.Kill()
	clients.more(60, "without the old leader")
	leader.Restart()
	clients.more(60, "after the old leader came back")

	one.Kill()
	clients.more(60, "at one of two centres")
	one.Restart()
	clients.more(60, "after a centre came back")

	leader = etcd.Leader(t)
	leader.Kill()
	two.Kill()
	clients.more(60, "without the leader and a centre")
	leader.Restart()
	two.Restart()
	clients.more(100, "with all of them again")
	clients.judge(told)
	for _, x := range told {
		x.mu.Lock()
		if x.links < 2 {
			t.Errorf("the page at %s was never cut off", x.node.name)
		}
		x.mu.Unlock()
	}
	c.app.unharmed(t, "while leaders and centres were lost")
}
