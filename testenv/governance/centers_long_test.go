//go:build long

package governance

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// etcd's leader is killed while two centres use it: the data plane does not move, and within 5 s commands can be given at either
// centre again and reach the agent. The same once more when the agent's centre is killed together with the leader.
func TestLongEtcdLeaderLost(t *testing.T) {
	c, etcd := startCenters(t, 3)
	give := func(where, command string) {
		t.Helper()
		lost := time.Now()
		_, other := c.at()
		if !other.Running() {
			other, _ = c.at()
		}
		c.await(5*time.Second, "a command to be taken without the old leader", func() error {
			code, body, err := other.Call(http.MethodPost, "/v1/commands", command)
			if err == nil && code != http.StatusCreated {
				err = fmt.Errorf("%d %s", code, body)
			}
			return err
		})
		c.answers(where, "after a command without the old leader")
		t.Logf("%s answers %v after the leader was killed", where, time.Since(lost).Round(time.Millisecond))
	}
	leader := etcd.Leader(t)
	leader.Kill()
	give("tc", `{"type": "switch", "select": {"name": "feed-cache"}, "weights": {"tc": 100}, "why": "test"}`)
	c.app.unharmed(t, "without etcd's leader")
	leader.Restart()

	leader = etcd.Leader(t)
	linked, _ := c.at()
	leader.Kill()
	linked.Kill()
	give("yf", `{"type": "switch", "select": {"name": "feed-cache"}, "weights": {"yf": 100}, "why": "test"}`)
	c.app.unharmed(t, "without etcd's leader and the agent's centre")
	leader.Restart()
	linked.Restart()
	c.at()
	c.app.unharmed(t, "with all of them again")
}
