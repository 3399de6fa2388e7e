//go:build long

package governance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
	sim "github.com/sluice-mesh/sluice/testenv/fleet"
	"github.com/sluice-mesh/sluice/testenv/server"
)

const (
	crowdAgents    = 1000
	crowdResources = 230 // of crowdEach endpoints each, beside the large one
	crowdEach      = 20
	crowdLarge     = 400 // endpoints of feed-large
	crowdCommands  = 200
)

// TestLongPagesOfACrowd opens all pages in Chromium over a centre with 1,000 agents and 5,000 endpoints of 231 resources, that go on
// saying what they see and how many calls they had (browser/crowd.test.mjs, which says what must hold), and leaves the busiest ones
// open and hides them (browser/heap.test.mjs). SLUICE_SHOTS=FOLDER keeps screenshots, and -v prints what was measured.
func TestLongPagesOfACrowd(t *testing.T) {
	server.NodeModules(t, "browser")
	l := newLab(t)
	names := manyDocuments(l)
	populate(l, names)
	l.await(2*time.Minute, "all agents to run what they should, and numbers of all resources", func() error { return crowdThere(l) })
	for i := range crowdCommands {
		l.command(fmt.Sprintf(`{"type": "limit", "resource": %q, "rate": "%d/s", "for": "2h", "why": "a crowd"}`, names[1+i], 1_000_000+i))
	}
	// What the browser's tests ask is only where they are told of the crowd.
	none := httptest.NewServer(nil)
	t.Cleanup(none.Close)
	t.Setenv("CROWD", fmt.Sprintf(`{"agents": %d, "resources": %d, "endpoints": %d, "large": %d, "commands": %d}`,
		crowdAgents, len(names), crowdLarge+crowdResources*crowdEach, crowdLarge, crowdCommands))
	for _, file := range []string{"crowd.test.mjs", "heap.test.mjs"} {
		for line := range strings.Lines(inBrowser(l, none.URL, file)) {
			if _, said, ok := strings.Cut(line, "measured: "); ok {
				t.Log(strings.TrimSpace(said))
			}
		}
	}
}

// manyDocuments publishes the resources, of which the first has the most endpoints.
func manyDocuments(l *lab) []string {
	names := []string{"feed-large"}
	put := func(name string, net, each int) {
		var lists [2][]string
		for i := range each {
			lists[i%2] = append(lists[i%2], fmt.Sprintf(`"10.%d.%d.%d:6379"`, net/200+1, net%200, i+1))
			if i >= 250 {
				lists[i%2][len(lists[i%2])-1] = fmt.Sprintf(`"10.99.%d.%d:6379"`, net%200, i-249)
			}
		}
		l.put(name, fmt.Sprintf(`{"kind":"redis","labels":{"team":"team-%d"},"groups":{"yf":{"idc":"yf","weight":60,"endpoints":[%s]},"tc":{"idc":"tc","weight":40,"endpoints":[%s]}}}`,
			net%25, strings.Join(lists[0], ","), strings.Join(lists[1], ",")))
	}
	put(names[0], 0, crowdLarge)
	for i := range crowdResources {
		name := fmt.Sprintf("%s-%s-%03d", []string{"feed", "user", "order", "search-of-the-whole-timeline"}[i%4], []string{"cache", "store", "queue"}[i%3], i)
		put(name, i+1, crowdEach)
		names = append(names, name)
	}
	return names
}

// populate lets agents join: of 60 applications, each with five resources, every tenth with the large one.
func populate(l *lab, names []string) {
	const joiners = 8
	ctx, cancel := context.WithCancel(context.Background())
	var running, joining sync.WaitGroup
	l.Cleanup(func() { cancel(); running.Wait() })
	for at := range joiners {
		token := l.joinToken(crowdAgents/joiners + 1) // each its own: a token that all use at once is refused
		joining.Go(func() {
			for i := at; i < crowdAgents; i += joiners {
				a := &sim.Agent{Hello: control.Hello{Name: fmt.Sprintf("agent-%04d", i), Application: fmt.Sprintf("app-of-team-%d", i%60),
					IDC: []string{"yf", "tc"}[i%2], Version: "test", Host: fmt.Sprintf("host-%04d", i)}}
				if i%10 == 0 {
					a.Hello.Wants = append(a.Hello.Wants, names[0])
				}
				for k := range 5 {
					a.Hello.Wants = append(a.Hello.Wants, names[1+(i%60*5+k*7)%crowdResources])
				}
				var err error
				if a.Dial, err = sim.Join(ctx, l.center.Address, token, a.Hello.Name); err != nil {
					l.Error(err)
					return
				}
				a.SeeChanges(10)
				a.Report = sim.Calls(a.Hello.Wants)
				running.Go(func() { _ = a.Keep(ctx) }) // crowdThere sees that one is not there
			}
		})
	}
	joining.Wait()
	if l.Failed() {
		l.FailNow()
	}
}

func crowdThere(l *lab) error {
	ready := 0
	for _, a := range l.agents() {
		if a.Connected && a.Ready && !a.Behind {
			ready++
		}
	}
	var list struct {
		Resources []struct{ Rate struct{ Calls float64 } }
	}
	if err := json.Unmarshal([]byte(l.center.Must("GET", "/v1/resources", "")), &list); err != nil {
		return err
	}
	called := 0
	for _, r := range list.Resources {
		if r.Rate.Calls > 0 {
			called++
		}
	}
	if ready != crowdAgents || called != crowdResources+1 {
		return fmt.Errorf("%d agents are ready and %d resources have numbers", ready, called)
	}
	return nil
}
