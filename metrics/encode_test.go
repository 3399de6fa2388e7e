package metrics

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// content is a snapshot as one can compare it: blocks that are missing and blocks that are empty are equal.
type content struct {
	Count, Sum uint64
	Max        int64
	Buckets    map[int64]uint64
}

func contentOf(s *Snapshot) content {
	c := content{s.Count, s.Sum, s.Max, map[int64]uint64{}}
	s.Each(func(low, _ int64, n uint64) { c.Buckets[low] = n })
	return c
}

func recorded(values ...int64) *Snapshot {
	var h Histogram
	for _, v := range values {
		h.Record(v)
	}
	s := new(Snapshot)
	h.Snapshot(s)
	return s
}

func TestEncodedSnapshotsMergeLikeTheirOriginals(t *testing.T) {
	values := rapid.SliceOf(rapid.OneOf(rapid.Int64Range(0, 200), rapid.Int64Range(0, 1e9), rapid.Int64Range(0, 1<<44)))
	rapid.Check(t, func(t *rapid.T) {
		a, b := recorded(values.Draw(t, "a")...), recorded(values.Draw(t, "b")...)
		var want, got Snapshot
		want.Set(a)
		want.Merge(b)
		enc := b.Append(a.Append(nil))
		for len(enc) > 0 {
			n, err := got.MergeEncoded(enc)
			if err != nil {
				t.Fatal(err)
			}
			if m, err := CheckEncoded(enc); m != n || err != nil {
				t.Fatalf("checked %d bytes, %v; merged %d", m, err, n)
			}
			enc = enc[n:]
		}
		if d := cmp.Diff(contentOf(&want), contentOf(&got)); d != "" {
			t.Fatal(d)
		}
	})
}

func TestSharesAddUpToTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := recorded(rapid.SliceOf(rapid.Int64Range(0, 1<<44)).Draw(t, "values")...)
		parts := rapid.Uint64Range(1, 9).Draw(t, "parts")
		var sum, part Snapshot
		for i := range parts {
			part.Reset()
			part.MergeShare(whole, i, parts)
			if most := whole.Count/parts + 1; part.Count > most {
				t.Fatalf("part %d has %d of %d durations: shares of %d parts have at most %d", i, part.Count, whole.Count, parts, most)
			}
			sum.Merge(&part)
		}
		if d := cmp.Diff(contentOf(whole), contentOf(&sum)); d != "" {
			t.Fatal(d)
		}
	})
}

func TestEncodedSnapshotsAreSmall(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var values []int64
	for range 1000 {
		values = append(values, int64(300_000*(0.2+rnd.ExpFloat64())))
	}
	s := recorded(values...)
	used := 0
	s.Each(func(int64, int64, uint64) { used++ })
	if n := len(s.Append(nil)); n > 2*used {
		t.Fatalf("%d bytes for %d buckets", n, used)
	}
}

func TestWrongEncodedSnapshotsAreRefused(t *testing.T) {
	good := recorded(5, 70, 70, 1e6).Append(nil)
	for i := range good {
		if _, err := CheckEncoded(good[:i]); err == nil {
			t.Errorf("the first %d of %d bytes are taken for a whole histogram", i, len(good))
		}
	}
	uvarint := func(n uint64) (b []byte) {
		for ; n >= 0x80; n >>= 7 {
			b = append(b, byte(n)|0x80)
		}
		return append(b, byte(n))
	}
	for name, bad := range map[string][]byte{
		"too many buckets":   append(uvarint(NumBuckets+1), 1, 1, 1),
		"gap of nothing":     {1, 0, 0, 1, 1, 1},
		"two gaps":           {1, 0, 1, 0, 1, 1, 1, 9},
		"beyond the end":     append(append([]byte{1, 0}, uvarint(NumBuckets)...), 1, 1, 1),
		"a count too high":   append(append([]byte{1}, uvarint(1<<49)...), 1, 1),
		"counts too high":    append(append(append([]byte{2}, uvarint(1<<48)...), 1), 1, 1),
		"maximum too low":    {1, 0, 63, 1, 63, 62},
		"maximum impossible": append([]byte{1, 1, 1}, uvarint(1<<54)...),
		"sum impossible":     append(append([]byte{1, 1}, uvarint(1<<61)...), 1),
	} {
		s := recorded(1, 2, 3)
		if _, err := s.MergeEncoded(bad); err == nil {
			t.Errorf("%s: taken", name)
		}
		if s.Count != 3 {
			t.Errorf("%s: half of it was added", name)
		}
	}
}

func FuzzMergeEncoded(f *testing.F) {
	f.Add(recorded().Append(nil))
	f.Add(recorded(1).Append(nil))
	f.Add(recorded(5, 70, 70, 1e6, 1<<50).Append(nil))
	f.Add([]byte{1, 0, 255, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		var s, again Snapshot
		n, err := s.MergeEncoded(data)
		m, checked := CheckEncoded(data)
		if n != m || (err == nil) != (checked == nil) {
			t.Fatalf("merged %d bytes, %v; checked %d, %v", n, err, m, checked)
		}
		if err != nil {
			return
		}
		enc := s.Append(nil)
		if _, err := again.MergeEncoded(enc); err != nil {
			t.Fatalf("%x, encoded again %x: %v", data[:n], enc, err)
		}
		if d := cmp.Diff(contentOf(&s), contentOf(&again)); d != "" {
			t.Fatal(d)
		}
		if !bytes.Equal(enc, again.Append(nil)) {
			t.Fatal("two encodings of one snapshot")
		}
	})
}

func TestEachCounterAndGauge(t *testing.T) {
	r := newTestRegistry(0)
	m := r.Resource("feed", "redis")
	retries := m.Counter(RetriesTotal, "kind_of_retry", "failover", "outcome", "ok")
	retries.Add(3)
	m.Gauge(Sessions).Set(4)
	m.GaugeFunc("test_func", func() float64 { return 2.5 }, "k", "v")
	seen := map[string]*Counter{}
	m.EachCounter(func(name string, labels []Label, c *Counter) {
		if name == RetriesTotal && !cmp.Equal(labels, []Label{{"kind_of_retry", "failover"}, {"outcome", "ok"}}) {
			t.Errorf("labels %v", labels)
		}
		seen[name] = c
	})
	if len(seen) != 2 || seen[RetriesTotal] != retries {
		t.Errorf("counters %v", seen)
	}
	gauges := map[string]float64{}
	m.EachGauge(func(name string, _ []Label, v float64) { gauges[name] = v })
	if d := cmp.Diff(map[string]float64{Inflight: 0, Sessions: 4, "test_func": 2.5}, gauges); d != "" {
		t.Error(d)
	}
}
