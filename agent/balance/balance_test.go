package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sluice-mesh/sluice/resources"
	"pgregory.net/rapid"
)

func testNode(address string, weight int) *Node {
	ep := &resources.Endpoint{Address: address}
	ep.SetWeight(int32(weight))
	return NewNode(ep)
}

func testNodes(weights ...int) []*Node {
	var nodes []*Node
	for i, w := range weights {
		nodes = append(nodes, testNode(fmt.Sprintf("10.0.0.%d:6379", i+1), w))
	}
	return nodes
}

func mustCompile(t testing.TB, name string, nodes []*Node) Picker {
	t.Helper()
	p, err := Compile(name, nodes)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// shares picks n times and returns each node's part. Every pick is over before the next one begins, and all nodes are
// equally fast.
func shares(p Picker, nodes []*Node, n int, now int64) []float64 {
	at := map[*Node]int{}
	for i := range n {
		at[p.Pick(uint64(i)*0x9e3779b97f4a7c15, now, nil)]++
	}
	out := make([]float64, len(nodes))
	for i, node := range nodes {
		out[i] = float64(at[node]) / float64(n)
	}
	return out
}

func TestWeightsDecideShares(t *testing.T) {
	for _, name := range []string{Random, RoundRobin} {
		nodes := testNodes(100, 50, 0, 10, 40)
		got := shares(mustCompile(t, name, nodes), nodes, 100_000, 1)
		for i, want := range []float64{0.5, 0.25, 0, 0.05, 0.2} {
			if math.Abs(got[i]-want) > 0.01 {
				t.Errorf("%s: node %d gets %.3f, want %.2f", name, i, got[i], want)
			}
		}
	}
}

// With p2c the weights decide how many calls each node has in flight.
func TestP2CKeepsInflightByWeight(t *testing.T) {
	nodes := testNodes(100, 100, 50, 50)
	p := mustCompile(t, P2C, nodes)
	for _, n := range nodes {
		n.Seed(100_000, 1)
	}
	for range 3000 {
		p.Pick(0, 1, nil).Endpoint.Inflight.Add(1)
	}
	for i, want := range []int32{1000, 1000, 500, 500} {
		if got := nodes[i].Endpoint.Inflight.Load(); math.Abs(float64(got-want)) > 60 {
			t.Errorf("node %d has %d in flight, want about %d", i, got, want)
		}
	}
}

func TestP2CAvoidsTheSlowOne(t *testing.T) {
	nodes := testNodes(100, 100, 100)
	p := mustCompile(t, P2C, nodes)
	now := int64(1e9)
	for i, n := range nodes {
		n.Observe([]int64{100_000, 100_000, 10_000_000}[i], now)
	}
	if got := shares(p, nodes, 10_000, now); got[2] > 0.01 {
		t.Errorf("the slow node gets %.3f of the calls", got[2])
	}
	// Left alone, its average fades, so that it is tried again.
	for _, n := range nodes[:2] {
		n.Observe(100_000, now+20e9)
	}
	if got := shares(p, nodes, 10_000, now+20e9); got[2] < 0.1 {
		t.Errorf("20 s later the slow node still gets only %.3f of the calls", got[2])
	}
}

func TestLatencyRisesAtOnceAndFallsSlowly(t *testing.T) {
	n := testNode("a:1", 100)
	n.Observe(1_000_000, 1e9)
	n.Observe(50_000_000, 2e9)
	if got := n.Latency(2e9); got != 50_000_000 {
		t.Fatalf("after a peak the latency is %d", got)
	}
	n.Observe(1_000_000, 3e9)
	if got := n.Latency(3e9); got < 20_000_000 || got > 32_000_000 {
		t.Fatalf("a second later the latency is %d, want about half", got)
	}
	for at := int64(3e9); at < 20e9; at += 1e8 {
		n.Observe(1_000_000, at)
	}
	if got := n.Latency(20e9); got > 1_100_000 {
		t.Fatalf("17 s later the latency is %d", got)
	}
}

func TestIdleNodeIsNeitherForgottenNorIrresistible(t *testing.T) {
	n := testNode("a:1", 100)
	start := int64(1e15)
	n.Observe(400_000, start)
	for _, x := range []struct{ idle, want int64 }{
		{1e8, 400_000}, {2e9, 200_000}, {3600e9, 20_000}, {4 * 86400e9, 20_000}, {-1e8, 400_000},
	} {
		if got := n.Latency(start + x.idle); got != x.want {
			t.Errorf("after %d ms: %d, want %d", x.idle/1e6, got, x.want)
		}
	}
	late := start + 4*86400e9 // ticks went round by more than half
	n.Observe(100_000, late)
	if got := n.Latency(late); got != 100_000 {
		t.Errorf("after four idle days an answer in 100 µs gives %d", got)
	}
}

func TestSlowStartGrowsTheShare(t *testing.T) {
	for _, name := range []string{Random, RoundRobin, P2C} {
		nodes := testNodes(100, 100, 100, 100)
		p := mustCompile(t, name, nodes)
		for _, n := range nodes {
			n.Seed(100_000, 1)
		}
		nodes[0].Rise(1e9, 10e9)
		last := 0.0
		for _, at := range []struct {
			now      int64
			min, max float64
		}{{1e9, 0, 0.06}, {6e9, 0.02, 0.2}, {11e9, 0.2, 0.3}} {
			for _, n := range nodes {
				n.ewma.Store(pack(100_000, uint32(at.now>>tickShift)))
			}
			got := shares(p, nodes, 20_000, at.now)[0]
			if got < at.min || got > at.max || got < last {
				t.Errorf("%s at %d s: share %.3f, want %.2f to %.2f", name, at.now/1e9, got, at.min, at.max)
			}
			last = got
		}
	}
}

func TestHashMovesOnlyTheKeysOfTheNodeThatLeft(t *testing.T) {
	nodes := testNodes(100, 100, 100, 100, 100)
	all, less := mustCompile(t, Hash, nodes), mustCompile(t, Hash, nodes[:4])
	for key := range uint64(20_000) {
		key *= 0x9e3779b1
		was, is := all.Pick(key, 1, nil), less.Pick(key, 1, nil)
		if was != nodes[4] && was != is {
			t.Fatalf("key %d moved from %s to %s", key, was.Endpoint.Address, is.Endpoint.Address)
		}
		if avoided := all.Pick(key, 1, nodes[4]); avoided != is {
			t.Fatalf("key %d: avoiding a node and removing it give %s and %s", key, avoided.Endpoint.Address, is.Endpoint.Address)
		}
	}
}

func TestPickAvoids(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(Names()).Draw(t, "balance")
		nodes := testNodes(rapid.SliceOfN(rapid.IntRange(0, 10000), 0, 12).Draw(t, "weights")...)
		p, err := Compile(name, nodes)
		if err != nil {
			t.Fatal(err)
		}
		usable := 0
		for _, n := range nodes {
			if n.Endpoint.Weight() > 0 {
				usable++
			}
			if rapid.Bool().Draw(t, "rises") {
				n.Rise(1, 1e9)
			}
			n.Seed(rapid.Int64Range(1, 1e10).Draw(t, "latency"), 1)
		}
		if len(nodes) == 0 {
			nodes = append(nodes, nil)
		}
		avoid := rapid.SampledFrom(nodes).Draw(t, "avoid")
		for range 20 {
			got := p.Pick(rapid.Uint64().Draw(t, "key"), 2, avoid)
			switch {
			case (got == nil) != (usable == 0):
				t.Fatalf("%s: got %v of %d usable nodes", name, got, usable)
			case got == nil:
			case got.Endpoint.Weight() == 0:
				t.Fatalf("%s: picked a node of weight 0", name)
			case got == avoid && usable > 1:
				t.Fatalf("%s: picked the node to avoid, of %d usable", name, usable)
			}
		}
	})
}

func TestBetter(t *testing.T) {
	nodes := testNodes(100, 100, 10)
	for i, latency := range []int64{2_000_000, 1_000_000, 500_000} {
		nodes[i].Seed(latency, 1)
	}
	if got := Better(nodes[0], nodes[1], 1); got != nodes[1] {
		t.Error("the slower node won")
	}
	if got := Better(nodes[1], nodes[2], 1); got != nodes[1] {
		t.Error("a node of a tenth of the weight won by half the latency")
	}
	if Better(nil, nodes[0], 1) != nodes[0] || Better(nodes[0], nil, 1) != nodes[0] || Better(nil, nil, 1) != nil {
		t.Error("nil is not the worst")
	}
}

func TestUnknownBalance(t *testing.T) {
	if err := Check("fastest"); err == nil || err.Error() != `unknown balance "fastest": use one of random, round-robin, p2c, hash` {
		t.Error(err)
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	if raceEnabled {
		return // the detector's own bookkeeping is counted
	}
	for _, name := range Names() {
		nodes := testNodes(100, 50, 100, 25)
		p := mustCompile(t, name, nodes)
		now := int64(1)
		if got := testing.AllocsPerRun(1000, func() {
			now++
			p.Pick(uint64(now), now, nil).Observe(now, now)
		}); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, name := range Names() {
		for kind, weights := range map[string][]int{"even": {100, 100, 100, 100, 100, 100, 100, 100}, "weighted": {100, 50, 100, 25, 100, 100, 100, 100}} {
			b.Run(name+"-"+kind, func(b *testing.B) {
				nodes := testNodes(weights...)
				p := mustCompile(b, name, nodes)
				for i, n := range nodes {
					n.Seed(int64(100_000+i), 1)
				}
				b.ReportAllocs()
				for i := range b.N {
					p.Pick(uint64(i)*0x9e3779b1, 2, nil)
				}
			})
		}
	}
}

func BenchmarkRandomBits(b *testing.B) {
	var sum uint64
	for range b.N {
		sum += rand.Uint64()
	}
	_ = sum
}

func BenchmarkObserve(b *testing.B) {
	n := testNode("a:1", 100)
	for i := range b.N {
		n.Observe(int64(100_000+i%64), int64(i)*10_000)
	}
}
