package breaker

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The window holds every call of its length and none that is older by more than a slice.
func TestWindowAgainstAList(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		length := rapid.Int64Range(int64(time.Second), int64(5*time.Minute)).Draw(rt, "window")
		g := newGeometry(length)
		if g.slices < 8 || g.slices > ring {
			rt.Fatalf("%d slices, want 8 to %d", g.slices, ring)
		}
		var w window
		var at []int64
		now := rapid.Int64Range(1, 1<<50).Draw(rt, "start")
		for range rapid.IntRange(1, 200).Draw(rt, "calls") {
			now += int64(rapid.Float64Range(0, 0.2).Draw(rt, "pause") * float64(length))
			at = append(at, now)
			slice := g.slice(now)
			w.buckets[slice%ring].calls.add(slice)
			var least, most int64
			for _, a := range at {
				if now-a < length-1<<g.shift {
					least++
				}
				if now-a < length+1<<g.shift {
					most++
				}
			}
			if n := w.sum(g, now).calls; n < least || n > most {
				rt.Fatalf("the window holds %d calls, want %d to %d", n, least, most)
			}
		}
	})
}

func TestWindowLosesNothingUnderConcurrency(t *testing.T) {
	g := newGeometry(int64(10 * time.Second))
	var w window
	var wg sync.WaitGroup
	const each = 5000
	for range 4 {
		wg.Go(func() {
			for i := range each { // through four slices
				slice := g.slice(int64(i) << g.shift * 4 / each)
				w.buckets[slice%ring].calls.add(slice)
			}
		})
	}
	wg.Wait()
	// A slow goroutine may find a slice that the others left; none was reused, so nothing is lost.
	if n := w.sum(g, 3<<g.shift).calls; n != 4*each {
		t.Errorf("the window holds %d calls, want %d", n, 4*each)
	}
}

func TestLateCallDoesNotTouchANewerSlice(t *testing.T) {
	g := newGeometry(int64(10 * time.Second))
	var w window
	old, later := uint64(3), uint64(3+ring)
	w.buckets[later%ring].calls.add(later)
	w.buckets[old%ring].calls.add(old)
	if n := w.buckets[later%ring].calls.in(later); n != 1 {
		t.Errorf("the newer slice holds %d calls, want 1", n)
	}
	if n := w.sum(g, int64(later)<<g.shift).calls; n != 1 {
		t.Errorf("the window holds %d calls, want 1", n)
	}
}
