package discoverytest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/sluice-mesh/sluice/agent/discovery"
)

// testModel has sources announce, change and withdraw at random, and compares what is watched with what they should have
// come to, after bursts of any length.
func testModel(l *lab) {
	seed := uint64(time.Now().UnixNano())
	l.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	watch := Watch(l.T, l.open(), l.service("svc"))
	type place struct{ source, port int }
	sources := []discovery.Source{l.open(), l.open(), l.open()}
	standing := make(map[place]*discovery.Registration)
	nodes := make(map[place]discovery.Node)
	for range 40 {
		for range 1 + random.IntN(12) {
			p := place{random.IntN(len(sources)), random.IntN(4)}
			n := l.node("svc", fmt.Sprintf("10.0.0.%d:%d", p.source, 80+p.port))
			n.Weight, n.Available = random.IntN(300), random.IntN(2) == 0
			switch r := standing[p]; {
			case r == nil:
				standing[p], nodes[p] = l.register(sources[p.source], n), n
			case random.IntN(3) == 0:
				l.withdraw(r)
				delete(standing, p)
				delete(nodes, p)
			default:
				l.update(r, n)
				nodes[p] = n
			}
		}
		var want []discovery.Node
		for _, n := range nodes {
			want = append(want, n)
		}
		watch.UntilNodes(want...)
	}
}

// testMany is one agent that watches many services and announces a node of each.
func testMany(l *lab) {
	many := cmp.Or(l.back.Services, 500)
	a, b := l.open(), l.open()
	Watch(l.T, a, l.service("first")).Until("a report", func(discovery.Report) bool { return true }) // connected
	before := runtime.NumGoroutine()
	start := time.Now()
	var watches []*Watcher
	var nodes []discovery.Node
	var made []*discovery.Registration
	for i := range many {
		n := l.node(fmt.Sprint("svc", i), fmt.Sprintf("10.0.%d.%d:80", i/250, i%250))
		watches, nodes = append(watches, Watch(l.T, a, discovery.Service{Group: n.Group, Path: n.Path})), append(nodes, n)
	}
	for _, n := range nodes {
		made = append(made, l.register(b, n))
	}
	for i, w := range watches {
		w.UntilNodes(nodes[i])
	}
	l.Logf("%d services were announced and found in %v", many, time.Since(start).Round(time.Millisecond))
	// A watch of this suite is a goroutine, and so is an announcement; a source may name its subscribers by another one.
	if n := runtime.NumGoroutine() - before; n > 3*many+50 {
		l.Errorf("%d services need %d goroutines", many, n)
	}
	start = time.Now()
	for i, r := range made {
		nodes[i].Weight = 50
		l.update(r, nodes[i])
	}
	for i, w := range watches {
		w.UntilNodes(nodes[i])
	}
	l.Logf("%d changes were seen in %v", many, time.Since(start).Round(time.Millisecond))
	if st := a.Status(); st.Watches != many+1 || st.Sessions != 1 {
		l.Errorf("status is %+v", st)
	}
}
