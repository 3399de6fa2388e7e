package governance

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
	sim "github.com/sluice-mesh/sluice/testenv/fleet"
)

// What the first pages ask for, and what a centre looks at by itself, with few agents of many resources and with many agents.
func BenchmarkAnswers(b *testing.B) {
	for _, size := range []struct{ resources, agents, each int }{{500, 20, 50}, {200, 1000, 20}} {
		z := openedAt(b, b.TempDir())
		populate(b, z, size.resources, size.agents, size.each)
		ctx, cancel := context.WithCancel(b.Context())
		var watching sync.WaitGroup
		watching.Go(func() { z.api.Watch(ctx) })
		b.Cleanup(func() { cancel(); watching.Wait() })
		token := bearer(z.adminToken(b))
		name := fmt.Sprintf("%dx%d", size.resources, size.agents)
		for _, path := range []string{"/v1/overview", "/v1/resources", "/v1/resources/cache-007", "/v1/agents", "/v1/commands", "/v1/topology"} {
			b.Run(name+path, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if w := z.ask(http.MethodGet, path, "", token...); w.Code != http.StatusOK {
						b.Fatal(w.Code, w.Body)
					}
				}
			})
		}
	}
}

// populate publishes resources and links agents, each of which takes some of them and says what it sees of their endpoints.
func populate(b *testing.B, z *Center, resources, agents, each int) {
	b.Helper()
	var names []string
	for i := range resources {
		names = append(names, fmt.Sprintf("cache-%03d", i))
		w := z.ask(http.MethodPut, "/v1/resources/"+names[i], fmt.Sprintf("kind: redis\nlabels: { team: t%d }\ngroups:\n"+
			"  yf: { endpoints: [\"10.1.%d.1:6379\", \"10.1.%[2]d.2:6379\"] }\n  tc: { weight: 0, endpoints: [\"10.2.%[2]d.1:6379\"] }\n", i%9, i%250), bearer(z.adminToken(b))...)
		if w.Code > 299 {
			b.Fatal(w.Code, w.Body)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	b.Cleanup(func() {
		cancel()
		running.Wait()
	})
	for i := range agents {
		a := &sim.Agent{Hello: control.Hello{Name: fmt.Sprintf("web-%04d", i), Application: fmt.Sprintf("app-%d", i%10), IDC: "yf", Version: "bench"}}
		for k := range each {
			a.Hello.Wants = append(a.Hello.Wants, names[(i*each+k)%len(names)])
		}
		said := false
		a.State = func(have map[string]string) *control.State {
			if said || len(have) < len(a.Hello.Wants) {
				return nil
			}
			said = true
			s := &control.State{Full: true, Ready: true}
			for _, name := range a.Hello.Wants {
				s.Resources = append(s.Resources, control.ResourceState{Name: name, Kind: "redis", Source: "center", Hash: have[name], Ready: true, Sessions: 3,
					Groups:    []control.GroupState{{Name: "yf", IDC: "yf", Weight: 100, Sound: 2, Of: 2}, {Name: "tc", IDC: "tc", Sound: 1, Of: 1}},
					Endpoints: []control.EndpointState{{Group: "yf", Address: "10.1.0.1:6379", Role: "any", State: "up"}, {Group: "tc", Address: "10.2.0.1:6379", Role: "any", State: "up"}}})
			}
			return s
		}
		a.Dial = func(context.Context) (net.Conn, error) {
			near, far := net.Pipe()
			running.Go(func() { z.fleet.Serve(context.Background(), far, a.Hello.Name) })
			return near, nil
		}
		running.Go(func() { _ = a.Keep(ctx) })
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		ready := 0
		for _, v := range z.fleet.Agents() {
			if v.Ready && !v.Behind {
				ready++
			}
		}
		if ready == agents {
			return
		}
		if time.Now().After(end) {
			b.Fatalf("%d of %d agents are ready", ready, agents)
		}
	}
}
