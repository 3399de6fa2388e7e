package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/metrics/report"
	"github.com/sluice-mesh/sluice/protocols/control"
	sim "github.com/sluice-mesh/sluice/testenv/fleet"
)

// uiAgents are simulated agents of a real centre, with numbers that change.
type uiAgents struct {
	all     []*sim.Agent
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// startUIAgents lets agents join. Agent i takes resources[i*each:][:each], round and round, so that each resource has several.
func startUIAgents(addr, token string, agents, each int, resources []string) (*uiAgents, error) {
	ctx, cancel := context.WithCancel(context.Background())
	u := &uiAgents{cancel: cancel}
	for i := range agents {
		a := &sim.Agent{Hello: control.Hello{Name: fmt.Sprintf("agent-%02d", i), Application: fmt.Sprintf("app-%d", i%10), IDC: []string{"yf", "tc"}[i%2],
			Version: "bench", Host: fmt.Sprintf("host-%02d", i)}}
		for k := range each {
			a.Hello.Wants = append(a.Hello.Wants, resources[(i*each+k)%len(resources)])
		}
		var err error
		if a.Dial, err = sim.Join(ctx, addr, token, a.Hello.Name); err != nil {
			u.stop()
			return nil, err
		}
		pretend(a)
		a.Report = called(a.Hello.Wants)
		u.all = append(u.all, a)
		u.running.Go(func() { _ = a.Keep(ctx) }) // whoever waits for the agents sees that one is not there
	}
	return u, nil
}

func (u *uiAgents) stop() {
	u.cancel()
	u.running.Wait()
}

// called makes reports in which every resource was called since the last one, at its own pace and with its own latency, which both
// vary from report to report. One in fifty has errors, a fifth of its calls and more: with a share near a tenth, where bad begins, it
// would be another thing at each look, and the pages would read all resources again.
func called(resources []string) func() []byte {
	r := metrics.NewRegistry(metrics.Options{})
	e := report.NewEncoder(r)
	var cells []*metrics.Cell
	for _, name := range resources {
		m := r.Resource(name, "redis")
		for _, group := range []string{"yf", "tc"} {
			cells = append(cells, m.Cell(group, "GET", "read"), m.Cell(group, "SET", "write"))
		}
	}
	return func() []byte {
		for i, c := range cells {
			for n := range 12 + rand.IntN(20+i%60) {
				outcome := uint8(0)
				if i/4%50 == 7 && n%5 == 0 {
					outcome = 1
				}
				c.Done(outcome, int64(50+i%40*20+rand.IntN(400))*int64(time.Microsecond), false, 64, 64)
			}
		}
		return e.Append(nil, time.Now())
	}
}
