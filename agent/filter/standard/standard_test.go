package standard_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	_ "github.com/sluice-mesh/sluice/agent/filter/standard"
	"github.com/sluice-mesh/sluice/resources"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func command(t resources.CommandType, set func(*resources.Command)) resources.Command {
	c := resources.Command{
		ID: "c-7f3a", Type: t, Resource: conformance.Resource, Percent: 100, Author: "ana", Why: "it is slow",
		Created: time.Unix(1_700_000_000, 0),
	}
	set(&c)
	return c
}

// cases holds a configuration or more for every standard filter.
var cases = map[string][]conformance.Case{
	"accesslog": {
		{Name: "text", Policy: &resources.Policy{AccessLog: &resources.AccessLog{Sample: 100}}},
		{Name: "json", Policy: &resources.Policy{AccessLog: &resources.AccessLog{Sample: 30, Format: "json"}}},
	},
	"metrics": {{Name: "default"}},
	"tap":     {{Name: "default"}},
	"trace": {
		{Name: "all", Policy: &resources.Policy{Trace: &resources.Trace{Sample: 100, OTLP: "http://127.0.0.1:4318"}}},
		{Name: "unsent", Policy: &resources.Policy{Trace: &resources.Trace{Sample: 10}}},
	},
	"acl": {
		{Name: "deny", Policy: &resources.Policy{ACL: &resources.ACL{Deny: []resources.Match{{Op: "CONFIG|*"}, {Key: "user:*", Class: "write"}}}}},
		{Name: "allow", Policy: &resources.Policy{ACL: &resources.ACL{Allow: []resources.Match{{Class: "read", Caller: "feed-*"}}}}},
	},
	"ratelimit": {
		{Name: "limits", Policy: &resources.Policy{Limits: []resources.Limit{
			{Rate: 500, Burst: 20}, {Match: resources.Match{Op: "KEYS"}, Rate: 0}, {Match: resources.Match{Class: "read"}, Rate: 100, Burst: 5},
		}}},
		{Name: "observe", Policy: &resources.Policy{Limits: []resources.Limit{{Rate: 10, Mode: resources.Observe}}}},
		{Name: "command", Commands: []resources.Command{command(resources.CommandLimit, func(c *resources.Command) { c.Rate = 300 })}},
		{Name: "share", Random: true, Commands: []resources.Command{command(resources.CommandLimit, func(c *resources.Command) { c.Percent = 50 })}},
	},
	"switcher": {
		{Name: "error", Commands: []resources.Command{command(resources.CommandDegrade, func(c *resources.Command) {
			c.Match.Op, c.Reply = "KEYS", "error"
		})}},
		{Name: "empty", Commands: []resources.Command{command(resources.CommandDegrade, func(c *resources.Command) { c.Reply = "empty" })}},
		{Name: "text", Random: true, Commands: []resources.Command{command(resources.CommandDegrade, func(c *resources.Command) {
			c.Reply, c.Percent = "later", 50
		})}},
	},
	"mock": {{Name: "text", Commands: []resources.Command{command(resources.CommandMock, func(c *resources.Command) { c.Reply = "17" })}}},
	"breaker": {
		{Name: "errors", Policy: &resources.Policy{Breaker: &resources.Breaker{
			MinCalls: 5, Open: resources.Duration(100 * time.Millisecond), Window: resources.Duration(time.Second),
		}}},
		{Name: "slow", Policy: &resources.Policy{Breaker: &resources.Breaker{Slow: 10, MinCalls: 1, Open: resources.Duration(100 * time.Millisecond)}}},
		{Name: "observe", Policy: &resources.Policy{Breaker: &resources.Breaker{MinCalls: 5, Mode: resources.Observe}}},
	},
	"fault": {
		{Name: "error", OwnText: true, Commands: []resources.Command{command(resources.CommandFault, func(c *resources.Command) {
			c.Error = "LOADING Redis is loading the dataset in memory"
		})}},
		{Name: "delay", Commands: []resources.Command{command(resources.CommandFault, func(c *resources.Command) {
			c.Delay = resources.Duration(50 * time.Millisecond)
		})}},
	},
}

func TestEveryStandardFilterConforms(t *testing.T) {
	for _, def := range filter.Definitions() {
		t.Run(def.Name, func(t *testing.T) { conformance.Run(t, def, cases[def.Name]...) })
	}
}

func TestOrderOfTheChain(t *testing.T) {
	want := []string{"accesslog", "metrics", "tap", "trace", "acl", "ratelimit", "switcher", "mock", "breaker", "fault"}
	defs := filter.Definitions()
	if len(defs) != len(want) {
		t.Fatalf("%d filters are registered, want %d", len(defs), len(want))
	}
	for i, d := range defs {
		if d.Name != want[i] {
			t.Errorf("filter %d is %s, want %s", i, d.Name, want[i])
		}
		if d.Doc == "" {
			t.Errorf("filter %s has no Doc", d.Name)
		}
	}
}

// everything switches all filters on, in a way that lets calls pass.
func everything() (*resources.Policy, []resources.Command) {
	rare := resources.Match{Op: "CONFIG|*"}
	return &resources.Policy{
			AccessLog: &resources.AccessLog{Sample: 1}, Trace: &resources.Trace{Sample: 0.1, OTLP: "http://127.0.0.1:4318"},
			ACL: &resources.ACL{Deny: []resources.Match{rare}}, Limits: []resources.Limit{{Rate: 1e9, Burst: 1000000}},
			Breaker: &resources.Breaker{},
		}, []resources.Command{
			command(resources.CommandDegrade, func(c *resources.Command) { c.Match, c.Reply = rare, "error" }),
			command(resources.CommandMock, func(c *resources.Command) { c.Match, c.Reply = rare, "17" }),
			command(resources.CommandFault, func(c *resources.Command) { c.Match, c.Error = rare, "no" }),
		}
}

func TestWholeChainAllocatesNothing(t *testing.T) {
	policy, commands := everything()
	fx := conformance.New(t, policy, commands...)
	chain, err := filter.Compile(fx.Env(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer chain.Close(nil)
	if len(chain) != len(filter.Definitions()) {
		t.Fatalf("%d filters are on, want all %d", len(chain), len(filter.Definitions()))
	}
	call := through(fx, chain.Filters())
	call()
	if n := testing.AllocsPerRun(1000, call); n != 0 && !raceEnabled {
		t.Errorf("%v allocations for each call, want 0", n)
	}
	again, err := filter.Compile(fx.Env(), chain)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close(nil)
	if len(again) != len(chain) {
		t.Errorf("the chain has %d filters after another compilation, want %d", len(again), len(chain))
	}
}

// through returns a function that takes one GET through the chain.
func through(fx *conformance.Fixture, filters []resources.Filter) func() {
	c := &resources.Call{}
	return func() {
		fx.Advance(10 * time.Microsecond)
		fx.Reset(c, "GET")
		for _, f := range filters {
			if f.OnCall(c) != nil {
				panic("the call was stopped")
			}
		}
		fx.End(c, nil, resources.OutcomeOK, time.Microsecond)
		for i := len(filters) - 1; i >= 0; i-- {
			filters[i].OnDone(c)
		}
	}
}

func BenchmarkChain(b *testing.B) {
	policy, commands := everything()
	for _, bench := range []struct {
		name     string
		policy   *resources.Policy
		commands []resources.Command
	}{{"none", nil, nil}, {"default", nil, nil}, {"all", policy, commands}} {
		b.Run(bench.name, func(b *testing.B) {
			fx := conformance.New(b, bench.policy, bench.commands...)
			chain, err := filter.Compile(fx.Env(), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer chain.Close(nil)
			filters := chain.Filters()
			if bench.name == "none" { // what the fixture itself costs
				filters = nil
			}
			call := through(fx, filters)
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
}
