package report

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/sluice-mesh/sluice/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var outcomes = []string{"ok", "timeout", "limited", "error"}

// reader adds up what reports say.
type reader struct {
	end      time.Time
	length   time.Duration
	resource string
	calls    map[string]uint64 // by resource, group, op, class and outcome
	bytes    map[string]uint64 // by resource, group, op and class: in and out
	latency  map[string]*metrics.Snapshot
	counters map[string]uint64
	gauges   map[string]int64
}

func newReader() *reader {
	return &reader{
		calls: map[string]uint64{}, bytes: map[string]uint64{}, latency: map[string]*metrics.Snapshot{},
		counters: map[string]uint64{}, gauges: map[string]int64{},
	}
}

func (r *reader) Interval(end time.Time, length time.Duration) { r.end, r.length = end, length }
func (r *reader) Resource(name, kind string)                   { r.resource = name + ":" + kind }

func (r *reader) Cell(c *Cell) {
	at := strings.Join([]string{r.resource, c.Group, c.Op, c.Class}, " ")
	for _, o := range c.Outcomes {
		r.calls[at+" "+o.Name] += o.Calls
	}
	r.bytes[at] += c.BytesIn + 1000*c.BytesOut
	if r.latency[at] == nil {
		r.latency[at] = new(metrics.Snapshot)
	}
	if _, err := r.latency[at].MergeEncoded(c.Latency); err != nil {
		panic(err)
	}
}

func (r *reader) Counter(name string, labels []metrics.Label, n uint64) {
	r.counters[fmt.Sprint(r.resource, " ", name, labels)] += n
}

func (r *reader) Gauge(name string, labels []metrics.Label, v int64) {
	r.gauges[fmt.Sprint(r.resource, " ", name, labels)] = v
}

func (r *reader) read(t testing.TB, payload []byte) {
	t.Helper()
	clear(r.gauges)
	if err := Decode(payload, r); err != nil {
		t.Fatal(err)
	}
}

func newRegistry() *metrics.Registry { return metrics.NewRegistry(metrics.Options{Outcomes: outcomes}) }

func TestReportHoldsWhatChanged(t *testing.T) {
	reg := newRegistry()
	feed := reg.Resource("feed", "redis")
	get := feed.Cell("yf", "GET", "read")
	get.Done(0, 1000, false, 10, 20)
	get.Done(2, 3000, true, 1, 2)
	feed.Gauge(metrics.Sessions).Set(7)
	feed.Gauge(metrics.PinnedSessions, "pin", "multi").Set(2)
	feed.Gauge(metrics.UpstreamConnections, "endpoint", "a:1", "mode", "shared").Set(9)
	would := feed.Counter(WouldRefuseTotal, "filter", "ratelimit", "rule", "limit 1")
	would.Add(5)
	feed.Counter("sluice_test_total").Add(5)
	reg.Resource("db", "mysql")

	e, r := NewEncoder(reg), newReader()
	start := time.Unix(1000, 0)
	e.since = start
	r.read(t, e.Append(nil, start.Add(10*time.Second)))
	if r.length != 10*time.Second || !r.end.Equal(start.Add(10*time.Second)) {
		t.Errorf("interval of %v to %v", r.length, r.end)
	}
	if d := cmp.Diff(map[string]uint64{"feed:redis yf GET read ok": 1, "feed:redis yf GET read limited": 1}, r.calls); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]uint64{"feed:redis yf GET read": 22011}, r.bytes); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]uint64{"feed:redis sluice_would_refuse_total[{filter ratelimit} {rule limit 1}]": 5}, r.counters); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]int64{"feed:redis sluice_pinned_sessions[{pin multi}]": 2, "feed:redis sluice_sessions[]": 7}, r.gauges); d != "" {
		t.Error(d)
	}
	if h := r.latency["feed:redis yf GET read"]; h.Count != 2 || h.Max != 3000 {
		t.Errorf("latencies: %d up to %d", h.Count, h.Max)
	}

	// Only what is new comes again, and what appends keeps what was there.
	get.Done(0, 500, false, 0, 0)
	would.Add(1)
	out := e.Append([]byte("before"), start.Add(11*time.Second))
	if !strings.HasPrefix(string(out), "before") {
		t.Fatal("Append wrote over what was there")
	}
	r = newReader()
	r.read(t, out[len("before"):])
	if d := cmp.Diff(map[string]uint64{"feed:redis yf GET read ok": 1}, r.calls); d != "" || r.length != time.Second {
		t.Error(d, r.length)
	}
	if h := r.latency["feed:redis yf GET read"]; h.Count != 1 || h.Max > 520 {
		t.Errorf("latencies: %d up to %d", h.Count, h.Max)
	}
	if n := r.counters["feed:redis sluice_would_refuse_total[{filter ratelimit} {rule limit 1}]"]; n != 1 {
		t.Errorf("counter rose by %d, want 1", n)
	}
}

// A resource that is made again, and cells that are forgotten, neither lose calls nor count any twice.
func TestWhatIsMadeAgainCountsOn(t *testing.T) {
	reg := newRegistry()
	e, total := NewEncoder(reg), newReader()
	done := func(n int) {
		for range n {
			reg.Resource("feed", "redis").Cell("yf", "GET", "read").Done(0, 1000, false, 1, 0)
		}
	}
	report := func() { total.read(t, e.Append(nil, time.Now())) }
	done(5)
	report()
	done(2)
	reg.Drop("feed") // the two were not reported yet
	done(3)
	report()
	done(1)
	reg.Resource("feed", "redis").Forget("group", "yf")
	report()
	done(4)
	report()
	const want = 5 + 2 + 3 + 1 + 4
	if n := total.calls["feed:redis yf GET read ok"]; n != want || total.latency["feed:redis yf GET read"].Count != want {
		t.Fatalf("%d calls, want %d", n, want)
	}
	if len(e.cells) != 1 {
		t.Fatalf("%d cells are remembered, want 1", len(e.cells))
	}
}

// Reports, added up, say what the registry counted, whatever is called, dropped and reported in which order.
func TestReportsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reg := newRegistry()
		e, total, want := NewEncoder(reg), newReader(), map[string]uint64{}
		name := rapid.SampledFrom([]string{"a", "b", "c\xff"})
		t.Repeat(map[string]func(*rapid.T){
			"call": func(t *rapid.T) {
				n, o := name.Draw(t, "resource"), rapid.IntRange(0, 3).Draw(t, "outcome")
				op := name.Draw(t, "op")
				c := reg.Resource(n, "redis").Cell("g", op, "read")
				if e.cells[c] == nil { // what comes and goes between two reports is not seen
					if err := Decode(e.Append(nil, time.Now()), total); err != nil {
						t.Fatal(err)
					}
				}
				c.Done(uint8(o), rapid.Int64Range(0, 1<<45).Draw(t, "ns"), false, 1, 1)
				valid := func(s string) string { return strings.ToValidUTF8(s, "?") }
				want[fmt.Sprintf("%s:redis g %s read %s", valid(n), strings.ToValidUTF8(op, "\uFFFD"), outcomes[o])]++
			},
			"drop":   func(t *rapid.T) { reg.Drop(name.Draw(t, "resource")) },
			"forget": func(t *rapid.T) { reg.Resource(name.Draw(t, "resource"), "redis").Forget("op", name.Draw(t, "op")) },
			"report": func(t *rapid.T) {
				if err := Decode(e.Append(nil, time.Now()), total); err != nil {
					t.Fatal(err)
				}
			},
		})
		if err := Decode(e.Append(nil, time.Now()), total); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, total.calls); d != "" {
			t.Fatal(d)
		}
	})
}

// A message that would be longer than a reader takes is cut between records, and the rest comes with the next one.
func TestLongReportsAreSplit(t *testing.T) {
	reg := metrics.NewRegistry(metrics.Options{Outcomes: outcomes, MaxOps: 2000})
	for r := range 40 {
		m := reg.Resource(fmt.Sprint("r", r), "redis")
		for op := range 2000 {
			m.Cell("g", fmt.Sprintf("%d-%d-%s", r, op, strings.Repeat("x", 100)), "read").Done(0, 1000, false, 1, 1)
		}
	}
	e, total := NewEncoder(reg), newReader()
	for n := 1; ; n++ {
		payload := e.Append(nil, time.Now())
		if len(payload) > MaxPayload {
			t.Fatalf("%d bytes", len(payload))
		}
		total.read(t, payload)
		if len(total.calls) == 40*2000 {
			if n < 2 {
				t.Fatal("all fits into one message: the test tests nothing")
			}
			return
		}
		if n > 10 {
			t.Fatalf("after %d messages %d cells", n, len(total.calls))
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	reg := newRegistry()
	reg.Resource("feed", "redis").Cell("yf", "GET", "read").Done(0, 1000, false, 10, 20)
	reg.Resource("feed", "redis").Counter(metrics.ReplyMismatchTotal).Add(1)
	reg.Resource("feed", "redis").Gauge(metrics.Sessions).Set(1)
	good := NewEncoder(reg).Append(nil, time.Unix(1000, 0))
	for i := range good {
		if err := Decode(good[:i], strict{t}); err == nil {
			t.Errorf("the first %d of %d bytes are taken for a report", i, len(good))
		}
	}
	if err := Decode(append(slices.Clone(good), 0), strict{t}); !errors.Is(err, errMore) {
		t.Errorf("a byte more: %v", err)
	}
	head := []byte{version, 1, 1}
	for name, bad := range map[string][]byte{
		"another version":     {2, 1, 1, 0},
		"cell before all":     append(slices.Clone(head), tagCell),
		"resource no name":    append(slices.Clone(head), tagResource, 0, 0, 1, 0),
		"unknown text":        append(slices.Clone(head), tagResource, 1),
		"text not there":      append(slices.Clone(head), tagResource, 0, 200, 1, 'x'),
		"text not UTF-8":      append(slices.Clone(head), tagResource, 0, 1, 0xff),
		"unknown tag":         append(slices.Clone(head), tagResource, 0, 1, 'a', 1, 9),
		"too many outcomes":   append(slices.Clone(head), tagResource, 0, 1, 'a', 1, tagCell, 1, 1, 1, 17),
		"too many labels":     append(slices.Clone(head), tagResource, 0, 1, 'a', 1, tagCounter, 1, 9),
		"interval of a month": {version, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0},
	} {
		if err := Decode(bad, strict{t}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := Decode(make([]byte, MaxPayload+1), strict{t}); err == nil {
		t.Error("a payload that is too long: taken")
	}
}

// strict fails when anything of a wrong message is shown.
type strict struct{ t *testing.T }

func (s strict) Interval(time.Time, time.Duration)       { s.t.Error("shown: an interval") }
func (s strict) Resource(string, string)                 { s.t.Error("shown: a resource") }
func (s strict) Cell(*Cell)                              { s.t.Error("shown: a cell") }
func (s strict) Counter(string, []metrics.Label, uint64) { s.t.Error("shown: a counter") }
func (s strict) Gauge(string, []metrics.Label, int64)    { s.t.Error("shown: a gauge") }

func FuzzDecode(f *testing.F) {
	reg := newRegistry()
	e := NewEncoder(reg)
	f.Add(e.Append(nil, time.Unix(1000, 0)))
	reg.Resource("feed", "redis").Cell("yf", "GET", "read").Done(0, 1000, false, 10, 20)
	reg.Resource("feed", "redis").Cell("tc", "GET", "read").Done(3, 1e9, true, 10, 20)
	reg.Resource("feed", "redis").Gauge(metrics.Sessions).Set(3)
	reg.Resource("db", "mysql").Counter(metrics.RetriesTotal, "kind_of_retry", "failover", "outcome", "ok").Add(2)
	f.Add(e.Append(nil, time.Unix(1010, 0)))
	f.Add([]byte{version, 1, 1, tagResource, 0, 1, 'a', 1, tagEnd})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newReader()
		var d Decoder
		if d.Decode(data, r) != nil {
			if len(r.calls)+len(r.counters)+len(r.gauges) > 0 || r.resource != "" {
				t.Fatal("a wrong message was shown in part")
			}
			return
		}
		again := newReader()
		if err := d.Decode(data, again); err != nil || !maps.Equal(r.calls, again.calls) {
			t.Fatalf("the second reading differs: %v", err)
		}
	})
}

// busy is an agent's registry: resources with operations in one group, with calls of the last interval.
func busy(reg *metrics.Registry, resources, ops, calls int, rnd *rand.Rand) {
	for r := range resources {
		m := reg.Resource(fmt.Sprintf("resource-%d", r), "redis")
		m.Gauge(metrics.Sessions).Set(50)
		for op := range ops {
			c := m.Cell("yf", fmt.Sprintf("OPERATION%d", op), "read")
			for range calls {
				c.Done(0, int64(200_000*(0.5+rnd.ExpFloat64())), false, 60, 600)
			}
		}
	}
}

func TestUnchangedCellsAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Log("allocations are not counted under the race detector")
		return
	}
	allocs := func(ops int, change bool) float64 {
		reg := newRegistry()
		rnd := rand.New(rand.NewPCG(1, 2))
		busy(reg, 20, ops, 100, rnd)
		e := NewEncoder(reg)
		now := time.Unix(1000, 0)
		buf := e.Append(nil, now)
		var cells []*metrics.Cell
		reg.Each(func(m *metrics.Resource) {
			m.Each(func(_, _, _ string, c *metrics.Cell) { cells = append(cells, c) })
		})
		return testing.AllocsPerRun(20, func() {
			if change {
				for _, c := range cells {
					c.Done(0, 200_000, false, 60, 600)
				}
			}
			buf = e.Append(buf[:0], now)
		})
	}
	few, many := allocs(10, false), allocs(200, false)
	if many > few {
		t.Errorf("%v allocations for 4,000 cells that did not change, %v for 200", many, few)
	}
	if few > 8 {
		t.Errorf("%v allocations for a report in which nothing changed", few)
	}
	if changed := allocs(200, true); changed > few {
		t.Errorf("%v allocations for 4,000 cells that changed, %v for none", changed, few)
	}
}

func BenchmarkAppend20x10(b *testing.B) {
	reg := newRegistry()
	rnd := rand.New(rand.NewPCG(1, 2))
	e := NewEncoder(reg)
	now := time.Now()
	var buf []byte
	size := 0
	for b.Loop() {
		b.StopTimer()
		busy(reg, 20, 10, 500, rnd)
		b.StartTimer()
		buf = e.Append(buf[:0], now)
		size += len(buf)
	}
	b.ReportMetric(float64(size)/float64(b.N), "bytes/report")
}

func BenchmarkDecode20x10(b *testing.B) {
	reg := newRegistry()
	busy(reg, 20, 10, 500, rand.New(rand.NewPCG(1, 2)))
	payload := NewEncoder(reg).Append(nil, time.Now())
	var d Decoder
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Decode(payload, nothing{}); err != nil {
			b.Fatal(err)
		}
	}
}
