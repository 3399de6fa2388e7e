package example_test

import (
	"fmt"
	"log"
	"time"

	"github.com/sluice-mesh/sluice/agent/filter"
	_ "github.com/sluice-mesh/sluice/agent/filter/example" // registers office-hours
	"github.com/sluice-mesh/sluice/resources"
)

// A program that imports a filter's package has the filter: a policy that names it switches it on.
func Example() {
	policy := resources.DefaultPolicy()
	policy.Filters = map[string]any{"office-hours": map[string]any{"match": map[string]any{"caller": "batch-*"}, "from": "22:00", "to": "06:00"}}
	ops := resources.NewOps([]resources.OpInfo{{Name: "GET", Class: resources.ClassRead}})

	chain, err := filter.Compile(&filter.Env{Resource: "feed-cache", Kind: "redis", Ops: ops, Policy: &policy}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer chain.Close(nil)

	tomorrow := time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	for _, call := range []struct {
		caller string
		hour   int
	}{{"batch-report", 3}, {"batch-report", 12}, {"feed-web", 12}} {
		session := &resources.Session{}
		session.SetIdentity(&resources.Identity{Caller: call.caller})
		at := tomorrow.Add(time.Duration(call.hour) * time.Hour)
		c := &resources.Call{Session: session, Op: 1, Class: resources.ClassRead, Start: int64(at.Sub(filter.Wall(0)))}

		f := chain.Find("office-hours")
		answer := "may run"
		if stop := f.OnCall(c); stop != nil {
			answer = stop.Fault.Text
		}
		f.OnDone(c)
		fmt.Printf("%s at %02d:00: %s\n", call.caller, call.hour, answer)
	}
	// Output:
	// batch-report at 03:00: may run
	// batch-report at 12:00: sluice: feed-cache: outside of the hours 22:00 to 06:00 UTC (filter office-hours)
	// feed-web at 12:00: may run
}
