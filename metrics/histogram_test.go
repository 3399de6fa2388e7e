package metrics

import (
	"math"
	"slices"
	"sync"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

// latencies draws values as they occur: spread over all magnitudes rather than over all numbers.
func latencies(t *rapid.T, label string, min int) []int64 {
	bits := rapid.IntRange(0, maxBits-1)
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) int64 {
		return rapid.Int64Range(0, 1<<bits.Draw(t, "bits")).Draw(t, "ns")
	}), min, 2000).Draw(t, label)
}

func record(values ...int64) *Histogram {
	h := new(Histogram)
	for _, v := range values {
		h.Record(v)
	}
	return h
}

func snapshot(h *Histogram) *Snapshot {
	s := new(Snapshot)
	h.Snapshot(s)
	return s
}

func TestQuantilesAreWithinTwoPercentOfSortedValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := latencies(t, "values", 1)
		s := snapshot(record(values...))
		slices.Sort(values)
		for _, q := range []float64{0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 1, rapid.Float64Range(0, 1).Draw(t, "q")} {
			rank := min(max(1, int(math.Ceil(q*float64(len(values))))), len(values))
			want := values[rank-1]
			got := s.Quantile(q)
			if math.Abs(float64(got-want)) > 0.02*float64(want) {
				t.Fatalf("quantile %v of %d values: got %d, want %d within 2 %%", q, len(values), got, want)
			}
		}
		var sum int64
		for _, v := range values {
			sum += v
		}
		if s.Count != uint64(len(values)) || s.Sum != uint64(sum) || s.Max != values[len(values)-1] || s.Mean() != sum/int64(len(values)) {
			t.Fatalf("count %d sum %d max %d mean %d of %v", s.Count, s.Sum, s.Max, s.Mean(), values)
		}
	})
}

func TestMergeIsRecordingBoth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := latencies(t, "a", 0), latencies(t, "b", 0)
		got, want := snapshot(record(a...)), snapshot(record(append(slices.Clone(a), b...)...))
		got.Merge(snapshot(record(b...)))
		equal(t, got, want)
	})
}

func TestSubIsWhatCameSince(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := latencies(t, "a", 0), latencies(t, "b", 0)
		h := record(a...)
		before := snapshot(h)
		for _, v := range b {
			h.Record(v)
		}
		got, want := snapshot(h), snapshot(record(b...))
		got.Sub(before)
		if float64(got.Max-want.Max) > float64(want.Max)/subBuckets || got.Max < want.Max {
			t.Fatalf("max of the difference: got %d, want %d and at most 1/%d above", got.Max, want.Max, subBuckets)
		}
		got.Max = want.Max
		equal(t, got, want)
	})
}

// equal compares contents: an octave that is missing is one without counts.
func equal(t *rapid.T, got, want *Snapshot) {
	t.Helper()
	if got.Count != want.Count || got.Sum != want.Sum || got.Max != want.Max {
		t.Fatalf("got count %d sum %d max %d, want %d %d %d", got.Count, got.Sum, got.Max, want.Count, want.Sum, want.Max)
	}
	type bucket struct {
		low, high int64
		n         uint64
	}
	list := func(s *Snapshot) (all []bucket) {
		s.Each(func(low, high int64, n uint64) { all = append(all, bucket{low, high, n}) })
		return all
	}
	if g, w := list(got), list(want); !slices.Equal(g, w) {
		t.Fatalf("got buckets %v, want %v", g, w)
	}
}

func TestSubOfAnotherHistogramNeverGoesBelowZero(t *testing.T) {
	s := snapshot(record(100, 100, 5000))
	s.Sub(snapshot(record(100, 100, 100, 7000)))
	if s.Count != 1 || s.Quantile(0.5) < 4900 || s.Quantile(0.5) > 5100 || s.Mean() < 4900 || s.Mean() > 5100 {
		t.Fatalf("count %d, median %d, mean %d", s.Count, s.Quantile(0.5), s.Mean())
	}
}

func TestCumulativeCountsEveryValueUpToTheBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := latencies(t, "values", 0)
		bounds := latencies(t, "bounds", 1)
		slices.Sort(bounds)
		got := make([]uint64, len(bounds))
		snapshot(record(values...)).Cumulative(bounds, got)
		for i, b := range bounds {
			least, most := uint64(0), uint64(0)
			for _, v := range values {
				if v <= b {
					least++
				}
				if float64(v) <= float64(b)*(1+1.0/subBuckets) {
					most++
				}
			}
			if got[i] < least || got[i] > most {
				t.Fatalf("at most %d ns: got %d, want %d to %d", b, got[i], least, most)
			}
		}
		if !slices.IsSorted(got) {
			t.Fatalf("not cumulative: %v", got)
		}
	})
}

func TestBucketsCoverAllValuesOnce(t *testing.T) {
	next := int64(0)
	for i := range numBlocks << subBits {
		low, high := bucketRange(i)
		if low != next || bucketOf(uint64(low)) != i || bucketOf(uint64(high)) != i {
			t.Fatalf("bucket %d is %d..%d after %d; its ends are in buckets %d and %d", i, low, high, next-1, bucketOf(uint64(low)), bucketOf(uint64(high)))
		}
		next = high + 1
	}
	if next != 1<<maxBits {
		t.Fatalf("buckets end at %d, want %d", next-1, uint64(maxValue))
	}
}

func TestValuesOutsideTheRange(t *testing.T) {
	day := int64(24 * time.Hour)
	s := snapshot(record(-5, 0, day, math.MaxInt64))
	if s.Count != 4 || s.Quantile(0) != 0 || s.Quantile(0.5) != 0 || s.Quantile(1) != math.MaxInt64 {
		t.Fatalf("count %d, quantiles %d %d %d", s.Count, s.Quantile(0), s.Quantile(0.5), s.Quantile(1))
	}
	if q := s.Quantile(0.75); q < int64(2*time.Hour) {
		t.Fatalf("a day counts as %v", time.Duration(q))
	}
	var empty Snapshot
	if empty.Quantile(0.5) != 0 || empty.Quantile(1) != 0 || empty.Mean() != 0 {
		t.Fatal("an empty snapshot is not all zero")
	}
}

func TestConcurrentRecordsAreAllCounted(t *testing.T) {
	const workers, each = 8, 20000
	var h Histogram
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range int64(each) {
				h.Record((i * 7919) << (w % 4 * 8))
			}
		})
	}
	var during Snapshot
	for last := uint64(0); last < workers*each/2; last = during.Count {
		h.Snapshot(&during)
		if during.Count < last {
			t.Fatalf("count fell from %d to %d", last, during.Count)
		}
		top := int64(0)
		during.Each(func(low, _ int64, _ uint64) { top = low })
		if during.Max < top {
			t.Fatalf("max %d is below a value of at least %d that was counted", during.Max, top)
		}
	}
	wg.Wait()
	if s := snapshot(&h); s.Count != workers*each {
		t.Fatalf("counted %d of %d", s.Count, workers*each)
	}
}

func TestSnapshotOverwritesAndKeepsMemory(t *testing.T) {
	h := record(10, 1000, 100000)
	var s Snapshot
	s.Merge(snapshot(record(5, 6, 7, 1e9)))
	h.Snapshot(&s)
	if s.Count != 3 || s.Sum != 101010 || s.Max != 100000 {
		t.Fatalf("count %d sum %d max %d", s.Count, s.Sum, s.Max)
	}
	if n := testing.AllocsPerRun(100, func() { h.Snapshot(&s) }); n != 0 && !raceEnabled {
		t.Fatalf("%v allocations", n)
	}
	var c Snapshot
	c.Set(&s)
	h.Record(10)
	h.Snapshot(&s)
	if c.Count != 3 {
		t.Fatal("Set shares memory")
	}
}

func TestHistogramIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Histogram{}); n > 512 {
		t.Fatalf("an empty histogram takes %d bytes", n)
	}
	h := new(Histogram)
	for ns := int64(50e3); ns < 5e6; ns += 1000 { // 50 µs to 5 ms
		h.Record(ns)
	}
	blocks := 0
	for i := range h.blocks {
		if h.blocks[i].Load() != nil {
			blocks++
		}
	}
	if n := int(unsafe.Sizeof(*h)) + blocks*int(unsafe.Sizeof(block{})); n > 3<<10 {
		t.Fatalf("a typical histogram takes %d bytes", n)
	}
}

func TestRecordAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Log("allocations are not counted under the race detector")
		return
	}
	h := record(123_456)
	if n := testing.AllocsPerRun(1000, func() { h.Record(123_456) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkHistogramRecord(b *testing.B) {
	var h Histogram
	ns := int64(0)
	for b.Loop() {
		h.Record(50_000 + ns&0xfffff)
		ns += 7919
	}
}

func BenchmarkHistogramRecordParallel(b *testing.B) {
	var h Histogram
	b.RunParallel(func(pb *testing.PB) {
		ns := int64(0)
		for pb.Next() {
			h.Record(50_000 + ns&0xfffff)
			ns += 7919
		}
	})
}

func BenchmarkSnapshot(b *testing.B) {
	var h Histogram
	for ns := int64(50e3); ns < 5e6; ns += 1000 {
		h.Record(ns)
	}
	var s Snapshot
	for b.Loop() {
		h.Snapshot(&s)
	}
}

func BenchmarkQuantile(b *testing.B) {
	var h Histogram
	for ns := int64(50e3); ns < 5e6; ns += 1000 {
		h.Record(ns)
	}
	s := snapshot(&h)
	for b.Loop() {
		s.Quantile(0.99)
	}
}
