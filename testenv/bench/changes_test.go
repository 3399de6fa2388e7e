package main

import (
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/bench/load"
)

// TestChanges measures for some seconds what the part measures for minutes: every change reaches the agent, and no call fails.
func TestChanges(t *testing.T) {
	b := &bench{lab: openLab(t, "", make(map[string]string))}
	b.startRedis()
	c, err := b.openChanges()
	if err != nil {
		t.Fatal(err)
	}
	defer c.driver.stop()
	r, err := c.measure(2, 500*time.Millisecond, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if r.Applied == 0 || r.Applied > r.Taken || r.failed() != 0 || r.Due != 20 {
		t.Errorf("%+v", r)
	}
	if r.Another.OK == 0 || r.Changing.OK == 0 || r.Another.P99 <= 0 || r.Changing.P99 <= 0 || r.Ratio.Value <= 0 || len(r.Another.visits) != 4 {
		t.Errorf("%+v", r)
	}
}

// A run in which too little changed says nothing about changes.
func TestTooFewChanges(t *testing.T) {
	if err := (&changesRow{Due: 100, Taken: 95, Applied: 89}).enough(); err == nil {
		t.Error("89 of 100 changes are enough")
	}
	if err := (&changesRow{Due: 100, Taken: 95, Applied: 90}).enough(); err != nil {
		t.Error(err)
	}
}

func TestCallsAreAddedUp(t *testing.T) {
	c := calls{visits: []load.Result{{OK: 5, P50: 1e3, P99: 1e6, P999: 1e6, Errors: map[string]int{"TIMEOUT": 2}},
		{OK: 6, P50: 1e3, P99: 4e6, P999: 1e6, Errors: map[string]int{"TIMEOUT": 1, "BREAKER": 1}}}, Seconds: 2, agent: 1e9}
	near(t, "p99 of both", c.last(2), 2e6, 1)
	near(t, "p99 of the second", c.last(1), 4e6, 1)
	c.summarize()
	if c.OK != 11 || sum(c.Errors) != 4 || c.Errors["TIMEOUT"] != 3 {
		t.Errorf("%+v", c)
	}
	near(t, "p99 us", c.P99, 2000, 0.01)
	near(t, "cores", c.Agent, 0.5, 1e-9)
}
