package mysql

import (
	"testing"

	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// A hint that asks for the primary holds for text and for prepared statements, each time that they are executed.
func TestHintsAskForThePrimary(t *testing.T) {
	n := server.Start(t, server.MariaDB{}).Primary
	f := newFake(t, n.Addr)
	primary := make(chan bool, 100)
	f.begin = func(c *resources.Call) *resources.Stop {
		if f.ops.Info(c.Op).Name == "SELECT" {
			primary <- c.Primary
		}
		return nil
	}
	a := startAgent(t, f, testSettings(1))
	c := dial(t, a.addr, "test", clientCaps)
	for text, asks := range map[string]bool{
		"SELECT 1":                            false,
		"/* sluice: primary */ SELECT 1":      true,
		"SELECT /* sluice: primary */ 1":      true,
		"/* sluice: reads=primary */SELECT 1": true,
		"/* sluice: reads=replica */SELECT 1": false,
		"SELECT 1 /* sluice: primary */":      false,
		"/* primary */ SELECT 1":              false,
	} {
		c.must(text)
		id := c.prepare(text)
		c.execute(id, false)
		c.execute(id, false)
		for range 3 {
			if got := <-primary; got != asks {
				t.Errorf("%s: asks for the primary: %v, want %v", text, got, asks)
			}
		}
	}
}
