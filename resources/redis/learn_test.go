package redis

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// TestRestrictedLoginDoesNotSettleLearning lets a client come first whose login may not ask for the server's commands.
func TestRestrictedLoginDoesNotSettleLearning(t *testing.T) {
	s := server.Start(t, server.Redis{Users: []string{"app on >pw ~* &* +@all -command"}})
	a := startAgent(t, newFake(t, s.Primary.Addr), nil)
	c := dial(t, a.addr)
	c.want("AUTH app pw", "+OK\r\n")
	server.Wait(t, 5*time.Second, "the client's login to be refused the commands", func() error {
		if a.res.denied.Load() == nil || a.res.learnt.Load() {
			return errors.New("it was not")
		}
		return nil
	})
	dial(t, a.addr).want("PING", "+PONG\r\n")
	server.Wait(t, 5*time.Second, "another login to be told them", func() error {
		if stats := string(s.Primary.Do("INFO", "commandstats").Str); !strings.Contains(stats, "cmdstat_command:calls=1,") {
			return fmt.Errorf("no COMMAND was executed:\n%s", stats)
		}
		return nil
	})
	if !a.res.learnt.Load() {
		t.Error("the server will be asked again")
	}
}
