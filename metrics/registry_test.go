package metrics

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

var testOutcomes = []string{"ok", "unavailable", "timeout", "error"}

func newTestRegistry(max int) *Registry {
	return NewRegistry(Options{MaxOps: max, Outcomes: testOutcomes})
}

// lines gathers everything as "name{k=v,...} value".
func lines(r *Registry) []string {
	var out []string
	r.Gather(func(p *Point) {
		var labels []string
		for _, l := range p.Labels {
			labels = append(labels, l.Key+"="+l.Value)
		}
		value := fmt.Sprint(p.Value)
		if p.Type == TypeHistogram {
			value = fmt.Sprintf("n=%d max=%d", p.Latency.Count, p.Latency.Max)
		}
		out = append(out, fmt.Sprintf("%s{%s} %s", p.Name, strings.Join(labels, ","), value))
	})
	return out
}

func TestGather(t *testing.T) {
	r := newTestRegistry(0)
	m := r.Resource("feed", "redis")
	if r.Resource("feed", "redis") != m {
		t.Fatal("the same resource twice")
	}
	c := m.Cell("yf", "GET", "read")
	if m.Cell("yf", "GET", "read") != c {
		t.Fatal("the same cell twice")
	}
	c.Done(0, 1000, false, 10, 20)
	c.Done(2, 3000, false, 1, 2)
	m.Cell("yf", "GET", "write").Done(0, 5000, false, 100, 200)
	m.Cell("tc", "SET", "write").Done(14, 7, false, 0, 0)
	m.Cell("tc", "SET", "write").Done(15, 7, false, 0, 0)
	m.Gauge(EndpointUp, "group", "yf", "endpoint", "a:1", "role", "any").Set(1)
	m.Counter(RetriesTotal, "kind_of_retry", "failover", "outcome", "ok").Add(3)
	r.Resource("db", "mysql").Gauge(Inflight).Add(4)
	r.Dropped("graphite").Add(5)
	r.Gauge(ConfigRevision, "").Set(7)
	r.GaugeFunc("test_func", "A function.", func() float64 { return 1.5 })
	r.GaugeFunc("test_func", "", func() float64 { return 2.5 })

	want := []string{
		"sluice_call_bytes_total{resource=db,direction=in} 0",
		"sluice_call_bytes_total{resource=db,direction=out} 0",
		"sluice_call_bytes_total{resource=feed,direction=in} 111",
		"sluice_call_bytes_total{resource=feed,direction=out} 222",
		"sluice_call_seconds{resource=feed,kind=redis,group=tc,op=SET} n=2 max=7",
		"sluice_call_seconds{resource=feed,kind=redis,group=yf,op=GET} n=3 max=5000",
		"sluice_calls_total{resource=feed,kind=redis,group=tc,op=SET,class=write,outcome=ok} 0",
		"sluice_calls_total{resource=feed,kind=redis,group=tc,op=SET,class=write,outcome=other} 2",
		"sluice_calls_total{resource=feed,kind=redis,group=yf,op=GET,class=read,outcome=ok} 1",
		"sluice_calls_total{resource=feed,kind=redis,group=yf,op=GET,class=read,outcome=timeout} 1",
		"sluice_calls_total{resource=feed,kind=redis,group=yf,op=GET,class=write,outcome=ok} 1",
		"sluice_config_revision{} 7",
		"sluice_dropped_total{what=graphite} 5",
		"sluice_endpoint_up{resource=feed,group=yf,endpoint=a:1,role=any} 1",
		"sluice_inflight{resource=db} 4",
		"sluice_inflight{resource=feed} 0",
		"sluice_reply_mismatch_total{resource=db} 0",
		"sluice_reply_mismatch_total{resource=feed} 0",
		"sluice_retries_total{resource=feed,kind_of_retry=failover,outcome=ok} 3",
		"sluice_sessions{resource=db} 0",
		"sluice_sessions{resource=feed} 0",
		"test_func{} 2.5",
	}
	if got := lines(r); !slices.Equal(got, want) {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDropRemovesAResourceAndLeavesHandlesWorking(t *testing.T) {
	r := newTestRegistry(0)
	m := r.Resource("feed", "redis")
	c, n := m.Cell("yf", "GET", "read"), m.Counter(RetriesTotal, "kind_of_retry", "backup", "outcome", "ok")
	r.Drop("feed")
	c.Done(0, 1, false, 1, 1)
	n.Add(1)
	m.Cell("yf", "SET", "write").Done(0, 1, false, 1, 1)
	if got := lines(r); len(got) != 0 {
		t.Fatalf("left over: %v", got)
	}
	if again := r.Resource("feed", "redis"); again == m || again.Cell("yf", "GET", "read") == c {
		t.Fatal("a new resource has the old one's counts")
	}
	if other := r.Resource("feed", "mysql"); other.Kind() != "mysql" || other.Name() != "feed" {
		t.Fatalf("a new kind gave %s of kind %s", other.Name(), other.Kind())
	}
}

func TestLabelValuesAreBounded(t *testing.T) {
	r := newTestRegistry(3)
	m := r.Resource("feed", "redis")
	for i := range 3 {
		m.Cell("yf", fmt.Sprint("op", i), "read")
		m.Gauge(UpstreamConnections, "endpoint", fmt.Sprint("e", i), "mode", "shared")
	}
	other := m.Cell("yf", "op3", "read")
	if other != m.Cell("yf", "op4", "read") || other != m.Cell("yf", Overflow, "read") || other == m.Cell("yf", "op0", "read") {
		t.Fatal("operations beyond the bound do not share one cell")
	}
	if m.Cell("yf", "op2", "write") == m.Cell("yf", Overflow, "write") {
		t.Fatal("a known operation went to other")
	}
	if m.Gauge(UpstreamConnections, "endpoint", "e3", "mode", "shared") != m.Gauge(UpstreamConnections, "endpoint", Overflow, "mode", "shared") {
		t.Fatal("endpoints beyond the bound do not share one series")
	}
	if r.Resource("db", "mysql").Cell("yf", "op3", "read") == other {
		t.Fatal("the bound of one resource took another's place")
	}
	if r.Resource("db", "mysql").Cell("yf", "SELECT", "read") == r.Resource("db", "mysql").Cell("yf", Overflow, "read") {
		t.Fatal("the bound of one resource is the bound of another")
	}

	// What is forgotten makes room, and takes no bytes out of the sum.
	m.Cell("yf", "op0", "read").Done(0, 1, false, 5, 6)
	m.Forget("endpoint", "e1")
	m.Forget("op", "op0")
	if m.Gauge(UpstreamConnections, "endpoint", "e4", "mode", "shared") == m.Gauge(UpstreamConnections, "endpoint", Overflow, "mode", "shared") {
		t.Fatal("a forgotten endpoint left no room")
	}
	if m.Cell("yf", "op5", "read") == other {
		t.Fatal("a forgotten operation left no room")
	}
	all := strings.Join(lines(r), "\n")
	if strings.Contains(all, "endpoint=e1") || strings.Contains(all, "op=op0") {
		t.Fatalf("still there:\n%s", all)
	}
	if !strings.Contains(all, "sluice_call_bytes_total{resource=feed,direction=in} 5\n") {
		t.Fatalf("bytes were forgotten:\n%s", all)
	}
}

// However series come and go, no label has more values than the bound and `other`.
func TestBoundHoldsForAnySequence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const bound = 4
		r := newTestRegistry(bound)
		m := r.Resource("feed", "redis")
		value := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", Overflow})
		t.Repeat(map[string]func(*rapid.T){
			"cell":   func(t *rapid.T) { m.Cell(value.Draw(t, "group"), value.Draw(t, "op"), "read") },
			"series": func(t *rapid.T) { m.Gauge(CommandsActive, "type", value.Draw(t, "type")) },
			"forget": func(t *rapid.T) {
				m.Forget(rapid.SampledFrom([]string{"group", "op", "type"}).Draw(t, "key"), value.Draw(t, "value"))
			},
			"": func(t *rapid.T) {
				seen := map[string]map[string]bool{}
				r.Gather(func(p *Point) {
					for _, l := range p.Labels {
						if seen[l.Key] == nil {
							seen[l.Key] = map[string]bool{}
						}
						if l.Value != Overflow {
							seen[l.Key][l.Value] = true
						}
					}
				})
				for _, key := range []string{"group", "op", "type"} {
					if len(seen[key]) > bound {
						t.Fatalf("label %s has %d values", key, len(seen[key]))
					}
				}
			},
		})
	})
}

func TestLabelValuesAreMadeLegal(t *testing.T) {
	r := newTestRegistry(0)
	m := r.Resource("feed", "redis")
	m.Cell("yf", "a\xffb", "read")
	m.Cell("yf", strings.Repeat("é", 1000), "read")
	m.Each(func(_, op, _ string, _ *Cell) {
		if op != "a\uFFFDb" && op != strings.Repeat("é", maxValueLen/2) {
			t.Errorf("operation %q", op)
		}
	})
}

func TestMistakesInCodePanic(t *testing.T) {
	r := newTestRegistry(0)
	m := r.Resource("feed", "redis")
	for want, f := range map[string]func(){
		`"a-b" is not a metric name`:             func() { r.Counter("a-b", "") },
		`"1a" is not a metric name`:              func() { r.Gauge("1a", "") },
		"empty metric name":                      func() { r.Gauge("", "") },
		`"x y" is not a label name`:              func() { m.Counter("a", "x y", "v") },
		`label "resource" twice`:                 func() { m.Counter("a", "resource", "v") },
		`label "k" has no value`:                 func() { m.Counter("a", "k") },
		"sluice_inflight is a gauge":             func() { m.Counter(Inflight) },
		"sluice_calls_total is counted by cells": func() { m.Counter(CallsTotal) },
		"17 outcomes":                            func() { NewRegistry(Options{Outcomes: make([]string, 17)}) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
					t.Errorf("got panic %q, want %q", got, want)
				}
			}()
			f()
		}()
	}
}

func TestConcurrentUse(t *testing.T) {
	r := newTestRegistry(8)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 500 {
				m := r.Resource(fmt.Sprint("r", i%3), "redis")
				m.Cell("yf", fmt.Sprint("op", (i*w)%20), "read").Done(uint8(i%4), int64(i), false, 1, 1)
				m.Gauge(EndpointUp, "endpoint", fmt.Sprint(i%20)).Set(1)
				r.GaugeFunc("test_func", "", func() float64 { return float64(i) })
				switch i % 50 {
				case 10:
					m.Forget("endpoint", "3")
				case 20:
					r.Gather(func(*Point) {})
				case 30:
					r.Each(func(m *Resource) { m.Each(func(_, _, _ string, c *Cell) { c.Histogram().Count() }) })
				case 40:
					r.Drop("r1")
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkGather500Operations(b *testing.B) {
	r := newTestRegistry(0)
	m := r.Resource("feed", "redis")
	for i := range 500 {
		c := m.Cell("yf", fmt.Sprint("op", i), "read")
		for ns := int64(50e3); ns < 5e6; ns *= 2 {
			c.Done(0, ns, false, 1, 1)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Gather(func(*Point) {})
	}
}
