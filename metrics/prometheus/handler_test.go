package prometheus

import (
	"fmt"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
)

// sample is one line of the format.
type sample struct {
	name   string
	labels map[string]string
	value  float64
}

// parse reads the text format strictly and fails on what a scraper refuses: lines out of place, series twice, escapes
// that do not exist.
func parse(t *testing.T, text string) (samples []sample, types map[string]string) {
	t.Helper()
	types = map[string]string{}
	series := map[string]bool{}
	current := ""
	if !strings.HasSuffix(text, "\n") {
		t.Fatal("the last line does not end")
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			current, _, _ = strings.Cut(rest, " ")
			if types[current] != "" {
				t.Fatalf("HELP after TYPE or twice: %q", line)
			}
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, typ, _ := strings.Cut(rest, " ")
			if types[name] != "" {
				t.Fatalf("second TYPE: %q", line)
			}
			types[name], current = typ, name
			continue
		}
		s := parseSample(t, line)
		base := s.name
		if types[current] == "histogram" {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				base = strings.TrimSuffix(base, suffix)
			}
		}
		if base != current {
			t.Fatalf("%q is among the series of %s", line, current)
		}
		id := line[:strings.LastIndexByte(line, ' ')] // all but the value
		if series[id] {
			t.Fatalf("series twice: %q", line)
		}
		series[id] = true
		samples = append(samples, s)
	}
	return samples, types
}

func parseSample(t *testing.T, line string) sample {
	t.Helper()
	end := strings.IndexAny(line, "{ ")
	if end < 1 {
		t.Fatalf("no sample: %q", line)
	}
	s := sample{name: line[:end], labels: map[string]string{}}
	rest := line[end:]
	for sep := "{"; strings.HasPrefix(rest, sep); sep = "," {
		key, after, ok := strings.Cut(rest[1:], `="`)
		if !ok {
			t.Fatalf("label without a value: %q", line)
		}
		value, i := strings.Builder{}, 0
		for ; i < len(after) && after[i] != '"'; i++ {
			if after[i] != '\\' {
				value.WriteByte(after[i])
				continue
			}
			i++
			real, ok := map[byte]string{'\\': "\\", 'n': "\n", '"': `"`}[after[i]]
			if !ok {
				t.Fatalf("unknown escape in %q", line)
			}
			value.WriteString(real)
		}
		if _, twice := s.labels[key]; twice {
			t.Fatalf("label %s twice: %q", key, line)
		}
		s.labels[key] = value.String()
		rest = after[i+1:]
	}
	var err error
	if s.value, err = strconv.ParseFloat(strings.TrimPrefix(strings.TrimPrefix(rest, "}"), " "), 64); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return s
}

func find(samples []sample, name string, pairs ...string) (float64, bool) {
	i := slices.IndexFunc(samples, func(s sample) bool {
		for i := 0; i < len(pairs); i += 2 {
			if s.labels[pairs[i]] != pairs[i+1] {
				return false
			}
		}
		return s.name == name
	})
	if i < 0 {
		return 0, false
	}
	return samples[i].value, true
}

func scrape(t *testing.T, reg *metrics.Registry) ([]sample, map[string]string) {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(reg).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 || w.Header().Get("Content-Type") != contentType {
		t.Fatalf("status %d, type %q", w.Code, w.Header().Get("Content-Type"))
	}
	return parse(t, w.Body.String())
}

func TestCallsAndLatencies(t *testing.T) {
	reg := metrics.NewRegistry(metrics.Options{Outcomes: []string{"ok", "timeout", "error"}})
	c := reg.Resource("feed", "redis").Cell("yf", "GET", "read")
	for _, d := range []time.Duration{10, 50, 51, 99, 100, 700, 4000, 3_600_000_000} { // µs
		c.Done(0, int64(d*time.Microsecond), false, 3, 4)
	}
	c.Done(1, int64(time.Second), true, 3, 4)
	samples, types := scrape(t, reg)

	for _, want := range []struct {
		value float64
		name  string
		pairs []string
	}{
		{8, "sluice_calls_total", []string{"resource", "feed", "kind", "redis", "group", "yf", "op", "GET", "class", "read", "outcome", "ok"}},
		{1, "sluice_calls_total", []string{"outcome", "timeout"}},
		{27, "sluice_call_bytes_total", []string{"resource", "feed", "direction", "in"}},
		{36, "sluice_call_bytes_total", []string{"resource", "feed", "direction", "out"}},
		{9, "sluice_call_seconds_count", []string{"resource", "feed", "kind", "redis", "group", "yf", "op", "GET"}},
		{9, "sluice_call_seconds_bucket", []string{"le", "+Inf"}},
		{8, "sluice_call_seconds_bucket", []string{"le", "30"}},
		{8, "sluice_call_seconds_bucket", []string{"le", "1"}},
		{7, "sluice_call_seconds_bucket", []string{"le", "0.5"}},
		{7, "sluice_call_seconds_bucket", []string{"le", "0.005"}},
		{5, "sluice_call_seconds_bucket", []string{"le", "0.0001"}},
		{0, "sluice_reply_mismatch_total", []string{"resource", "feed"}},
		{0, "sluice_inflight", []string{"resource", "feed"}},
	} {
		if got, ok := find(samples, want.name, want.pairs...); !ok || got != want.value {
			t.Errorf("%s%v: got %v (%v), want %v", want.name, want.pairs, got, ok, want.value)
		}
	}
	if got, _ := find(samples, "sluice_call_seconds_bucket", "le", "5e-05"); got < 2 || got > 3 { // 51 µs is within 3.2 %
		t.Errorf("up to 50 µs: %v calls", got)
	}
	if got, _ := find(samples, "sluice_call_seconds_sum"); got < 3601 || got > 3601.1 {
		t.Errorf("sum %v", got)
	}
	for name, typ := range map[string]string{"sluice_calls_total": "counter", "sluice_call_seconds": "histogram", "sluice_inflight": "gauge"} {
		if types[name] != typ {
			t.Errorf("%s is a %q", name, types[name])
		}
	}
	last := -1.0
	for _, s := range samples {
		if s.name == "sluice_call_seconds_bucket" {
			if s.value < last {
				t.Errorf("le %s: %v after %v", s.labels["le"], s.value, last)
			}
			last = s.value
		}
	}
}

func TestLabelsAreEscaped(t *testing.T) {
	reg := metrics.NewRegistry(metrics.Options{})
	hostile := "a\"b\\c\nd{},= é"
	reg.Resource("feed", "mysql").Cell("yf", hostile, "read").Done(0, 1, false, 0, 0)
	reg.Gauge("test_gauge", "two\nlines \\ and \"quotes\"").Set(-3)
	samples, _ := scrape(t, reg)
	if n, ok := find(samples, "sluice_calls_total", "op", hostile); !ok || n != 1 {
		t.Errorf("the operation did not come back: %v %v", n, ok)
	}
	if n, ok := find(samples, "test_gauge"); !ok || n != -3 {
		t.Errorf("gauge %v %v", n, ok)
	}
}

func TestRuntimeAndProcess(t *testing.T) {
	before := time.Now()
	kept := make([]*[64]byte, 1000)
	for i := range kept {
		kept[i] = new([64]byte)
	}
	runtime.GC() // what was allocated is counted at the latest when a collection empties the caches of the processors
	samples, types := scrape(t, metrics.NewRegistry(metrics.Options{}))
	for _, m := range runtimeMetrics {
		if _, ok := find(samples, m.name); !ok || types[m.name] != string(m.typ) {
			t.Errorf("%s is missing or a %q", m.name, types[m.name])
		}
	}
	if n, ok := find(samples, "go_info", "version", runtime.Version()); !ok || n != 1 {
		t.Error("no go_info")
	}
	for name, between := range map[string][2]float64{
		"process_cpu_seconds_total":     {0, 1e4},
		"process_max_fds":               {3, 1e10},
		"process_open_fds":              {3, 1e5},
		"process_resident_memory_bytes": {1 << 20, 1 << 34},
		"process_virtual_memory_bytes":  {1 << 20, 1 << 48},
		"process_threads":               {1, 1e4},
		"process_start_time_seconds":    {float64(before.Unix() - 3600), float64(before.Unix() + 2)},
		"go_goroutines":                 {1, 1e4},
		"go_memstats_mallocs_total":     {float64(len(kept)), 1e10},
	} {
		if n, ok := find(samples, name); !ok || n < between[0] || n > between[1] {
			t.Errorf("%s: %v (%v), want %v", name, n, ok, between)
		}
	}
}

func TestOnlyReads(t *testing.T) {
	h := Handler(metrics.NewRegistry(metrics.Options{}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/metrics", nil))
	if w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("HEAD", "/metrics", nil))
	if w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d with %d bytes", w.Code, w.Body.Len())
	}
}

func BenchmarkWrite500Operations(b *testing.B) {
	reg := metrics.NewRegistry(metrics.Options{})
	m := reg.Resource("feed", "redis")
	for i := range 500 {
		c := m.Cell("yf", fmt.Sprint("op", i), "read")
		for ns := int64(50e3); ns < 5e6; ns *= 2 {
			c.Done(0, ns, false, 1, 1)
		}
	}
	var n countingWriter
	b.ReportAllocs()
	for b.Loop() {
		n = 0
		if err := Write(&n, reg); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n), "bytes")
}

type countingWriter int

func (c *countingWriter) Write(p []byte) (int, error) {
	*c += countingWriter(len(p))
	return len(p), nil
}

// Whatever a client calls its operations, the text stays legal and the name comes back.
func FuzzLabel(f *testing.F) {
	for _, s := range []string{"GET", "", `a"b\c`, "line\nbreak", "é\xff", "{le=\"+Inf\"} 1", strings.Repeat("x", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, op string) {
		reg := metrics.NewRegistry(metrics.Options{})
		m := reg.Resource("feed", "redis")
		m.Cell("yf", op, "read").Done(0, 1, false, 0, 0)
		var legal string
		m.Each(func(_, op, _ string, _ *metrics.Cell) { legal = op })
		samples, _ := scrape(t, reg)
		if n, ok := find(samples, "sluice_calls_total", "op", legal, "outcome", "ok"); !ok || n != 1 {
			t.Errorf("%q did not come back", op)
		}
	})
}
