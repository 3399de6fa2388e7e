package series

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// exact returns the durations at the ranks of shares.
func exact(all []int64) (out [len(shares)]int64) {
	slices.Sort(all)
	for i, q := range shares {
		out[i] = all[int(math.Ceil(q*float64(len(all))))-1]
	}
	return out
}

func worst(p Point, want [len(shares)]int64) (off float64) {
	for i, got := range []int64{p.P50, p.P95, p.P99, p.P999} {
		off = max(off, math.Abs(float64(got-want[i]))/float64(want[i]))
	}
	return off
}

// A hundred agents with a long tail, each with a typical duration of its own, over five minutes.
func TestFleetPercentilesAreTrue(t *testing.T) {
	f := newFixture(t, Options{Dir: t.TempDir()})
	rnd := rand.New(rand.NewPCG(1, 2))
	var agents []*testAgent
	for i := range 100 {
		agents = append(agents, newAgent(fmt.Sprintf("web-%d", i), "web", []string{"yf", "tc"}[i%2]))
	}
	var all, canaries []int64
	for range 30 {
		f.step(10 * time.Second)
		for i, a := range agents {
			for range 40 {
				ns := int64(200e3 * (1 + float64(i)/50) * math.Exp(rnd.NormFloat64()))
				if rnd.IntN(50) == 0 {
					ns = int64(2e6 * math.Pow(1-rnd.Float64(), -1/1.3)) // Pareto
				}
				all = append(all, ns)
				if i%10 == 3 {
					canaries = append(canaries, ns)
				}
				a.done("feed", "yf", "GET", 0, ns)
			}
		}
		f.report(agents...)
	}
	f.step(2 * time.Minute)
	window := Query{Resource: "feed", From: epoch, To: f.now}
	want := exact(all)
	p := f.window(window)
	if p.Calls != uint64(len(all)) || p.Max != slices.Max(all) {
		t.Fatalf("%d calls up to %d, want %d up to %d", p.Calls, p.Max, len(all), slices.Max(all))
	}
	fleet := worst(p, want)
	window.Agent = "web-*3"
	some := f.window(window)
	if some.Calls != uint64(len(canaries)) {
		t.Fatalf("%d calls of the canaries, want %d", some.Calls, len(canaries))
	}
	set := worst(some, exact(canaries))
	t.Logf("off by at most %.2f %% over the fleet, %.2f %% over ten agents", 100*fleet, 100*set)
	if fleet > 0.01 || set > 0.01 {
		t.Errorf("off by %.2f %% and %.2f %%, want at most 1 %%", 100*fleet, 100*set)
	}
}

// Many shapes of long-tailed data, all quantiles: the error must stay below 2 %, and the usual one far below 1 %.
func TestQuantilesOverManyShapes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var most, total float64
	n := 0
	for round := range 60 {
		scale := math.Exp(rnd.Float64()*9 + 8) // 3 µs to 24 ms
		all := make([]int64, 20_000)
		a := newAgent("a", "a", "a")
		for i := range all {
			switch round % 3 {
			case 0:
				all[i] = int64(scale * math.Exp(rnd.NormFloat64()))
			case 1:
				all[i] = int64(scale * math.Pow(1-rnd.Float64(), -1/1.5))
			default:
				all[i] = int64(scale * (1 + 20*float64(rnd.IntN(100)/95)) * (0.5 + rnd.ExpFloat64()))
			}
		}
		a.done("feed", "yf", "GET", 0, all...)
		f := newFixture(t, Options{})
		f.step(10 * time.Second)
		f.report(a)
		off := worst(f.window(Query{From: epoch.Add(-time.Minute), To: epoch.Add(time.Minute)}), exact(all))
		most = max(most, off)
		total += off
		n++
	}
	t.Logf("the worst quantile of a shape is off by %.2f %% on average, %.2f %% at most", 100*total/float64(n), 100*most)
	if most > 0.02 || total/float64(n) > 0.007 {
		t.Errorf("off by %.2f %% on average and %.2f %% at most", 100*total/float64(n), 100*most)
	}
}

// Data that no assumption about its spread holds for: all durations equal, at any place in a bucket.
func TestQuantilesOfEqualDurations(t *testing.T) {
	for _, ns := range []int64{1, 63, 64, 65, 127, 1024, 1055, 1056, 32768, 33791, 65535, 1 << 20, 1<<20 + 32767, 999_999_999, 1 << 42} {
		for _, n := range []int{1, 2, 1000} {
			f := newFixture(t, Options{})
			a := newAgent("a", "a", "a")
			a.done("feed", "yf", "GET", 0, repeat(ns, n)...)
			a.done("feed", "yf", "GET", 0, 1<<43) // so that the maximum does not tell
			f.step(10 * time.Second)
			f.report(a)
			p := f.window(Query{From: epoch.Add(-time.Minute), To: epoch.Add(time.Minute)})
			if off := math.Abs(float64(p.P50-ns)) / float64(ns); off > 0.02 {
				t.Errorf("%d times %d: median %d, %.2f %% off", n, ns, p.P50, 100*off)
			}
		}
	}
}
