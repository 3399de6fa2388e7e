package metrics

import (
	"sync"
	"testing"
	"unsafe"
)

func TestCellCounts(t *testing.T) {
	var c Cell
	c.Done(0, 1000, false, 10, 100)
	c.Done(0, 2000, true, 20, 0)
	c.Done(3, 4000, true, 0, 7)
	c.Done(200, 8000, false, -1, -1)
	var s CellSnapshot
	c.Snapshot(&s)
	if s.Total() != 4 || s.Errors() != 2 || s.Outcomes[0] != 2 || s.Outcomes[3] != 1 || s.Outcomes[MaxOutcomes-1] != 1 {
		t.Fatalf("outcomes %v", s.Outcomes)
	}
	if s.Slow != 2 || s.BytesIn != 30 || s.BytesOut != 107 || s.Latency.Count != 4 || s.Latency.Max != 8000 {
		t.Fatalf("slow %d, in %d, out %d, latencies %d up to %d", s.Slow, s.BytesIn, s.BytesOut, s.Latency.Count, s.Latency.Max)
	}

	var before, doubled CellSnapshot
	before.Set(&s)
	c.Done(1, 500, false, 1, 2)
	c.Snapshot(&s)
	doubled.Set(&s)
	doubled.Merge(&s)
	if doubled.Total() != 10 || doubled.BytesIn != 62 || doubled.Latency.Count != 10 {
		t.Fatalf("merged: %d calls, %d bytes, %d latencies", doubled.Total(), doubled.BytesIn, doubled.Latency.Count)
	}
	s.Sub(&before)
	if s.Total() != 1 || s.Outcomes[1] != 1 || s.Slow != 0 || s.BytesIn != 1 || s.BytesOut != 2 || s.Latency.Quantile(0.5) < 490 || s.Latency.Max > 520 {
		t.Fatalf("since then: %+v", s)
	}
}

func TestCellDoneAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Log("allocations are not counted under the race detector")
		return
	}
	var c Cell
	c.Done(0, 123_456, false, 1, 1)
	if n := testing.AllocsPerRun(1000, func() { c.Done(0, 123_456, true, 64, 64) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestOutcomesNeverFallAndAddUp(t *testing.T) {
	const each = 50000
	var c Cell
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range each {
				c.Done(uint8(i%3), int64(i), false, 0, 0)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for last, running := c.Outcomes(), true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		now := c.Outcomes()
		for o := range now {
			if now[o] < last[o] {
				t.Fatalf("outcome %d fell from %d to %d", o, last[o], now[o])
			}
		}
		last = now
	}
	by := c.Outcomes()
	if by[0] != 4*((each+2)/3) || by[1] != 4*((each+1)/3) || by[2] != 4*(each/3) {
		t.Fatalf("outcomes %v", by)
	}
}

// What every call changes must share one cache line.
func TestCellLayout(t *testing.T) {
	var c Cell
	if end := unsafe.Offsetof(c.latency) + unsafe.Offsetof(c.latency.max) + unsafe.Sizeof(c.latency.max); end > 64 {
		t.Fatalf("hot counters end at byte %d", end)
	}
	if n := unsafe.Sizeof(c); n > 512 {
		t.Fatalf("a cell takes %d bytes: above 512 it is no longer aligned to a cache line", n)
	}
}

func BenchmarkCellDone(b *testing.B) {
	c := new(Cell)
	ns := int64(0)
	for b.Loop() {
		c.Done(0, 50_000+ns&0xfffff, false, 64, 64)
		ns += 7919
	}
}

func BenchmarkCellDoneParallel(b *testing.B) {
	c := new(Cell)
	b.RunParallel(func(pb *testing.PB) {
		ns := int64(0)
		for pb.Next() {
			c.Done(0, 50_000+ns&0xfffff, false, 64, 64)
			ns += 7919
		}
	})
}
