package redis

import (
	"testing"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// TestShrink gives back what waits for its next use, again and again, and nothing that is in use.
func TestShrink(t *testing.T) {
	s := server.Start(t, server.Redis{})
	a := startAgent(t, newFake(t, s.Primary.Addr), nil)
	busy, idle := dial(t, a.addr), dial(t, a.addr)
	busy.want("MULTI", "+OK\r\n")
	for range 5 {
		idle.say("BLPOP nolist 0.001")
		eventually(t, "two connections to be lent or kept", func() bool { return a.open(modeLeased) == 2 })
		a.res.Shrink()
		eventually(t, "the connection that nobody uses to be closed", func() bool { return a.open(modeLeased) == 1 })
		busy.want("SET a 1", "+QUEUED\r\n")
		idle.want("PING", "+PONG\r\n")
	}
	if got := busy.say("EXEC"); got != "*5\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n" {
		t.Errorf("EXEC was answered %q", got)
	}
}
