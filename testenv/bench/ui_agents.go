package main

import (
	"context"
	"fmt"
	"sync"

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
		a.See()
		a.Report = sim.Calls(a.Hello.Wants)
		u.all = append(u.all, a)
		u.running.Go(func() { _ = a.Keep(ctx) }) // whoever waits for the agents sees that one is not there
	}
	return u, nil
}

func (u *uiAgents) stop() {
	u.cancel()
	u.running.Wait()
}
