package main

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/bench/load"
)

// TestMain lets the tests' program be what the bench's is: a load generator, for one, when it is started as such.
func TestMain(m *testing.M) {
	child()
	os.Exit(m.Run())
}

func near(t *testing.T, what string, got, want, by float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > by {
		t.Errorf("%s is %v, want %v within %v", what, got, want, by)
	}
}

func TestRatioAndInterval(t *testing.T) {
	e := ratioOf([]float64{2, 2, 2}, []float64{1, 1, 1})
	near(t, "ratio", e.Value, 2, 1e-9)
	near(t, "low", e.Low, 2, 1e-9)
	near(t, "high", e.High, 2, 1e-9)

	// Mean 3, standard deviation sqrt(2.5), t(4) = 2.776: 3 +- 2.776*sqrt(2.5/5).
	e = meanOf([]float64{1, 2, 3, 4, 5})
	near(t, "mean", e.Value, 3, 1e-9)
	near(t, "half width", e.High-e.Value, 1.963, 0.001)
	near(t, "symmetry", e.Value-e.Low, e.High-e.Value, 1e-9)

	if e := ratioOf([]float64{1}, []float64{2}); !math.IsInf(e.High, 1) || e.Value != 0.5 {
		t.Errorf("one pair gives %+v: it must not look certain", e)
	}
	near(t, "t(40)", student(40), 2.021, 0.003)
	near(t, "t(120)", student(120), 1.980, 0.003)
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		key   string
		value float64
		want  string
	}{
		{"cpu-1", 0.99, reachedAim}, {"cpu-1", 1.004, reachedAim}, {"cpu-1", 1.1, reachedMust}, {"cpu-1", 1.16, missed},
		{"throughput-16", 1.7, reachedAim}, {"throughput-16", 1.3, reachedMust}, {"throughput-16", 1.2, missed},
		{"allocs", 0.001, reachedAim}, {"allocs", 0.02, missed}, {"idle", math.NaN(), missed},
	} {
		if m := judge(c.key, exactly(c.value)); m.Verdict != c.want {
			t.Errorf("%s = %v is %s, want %s", c.key, c.value, m.Verdict, c.want)
		}
	}
	if m := judge("cpu-1", estimate{0.9, 0.8, 1.2}); m.Certain || m.Verdict != reachedAim {
		t.Errorf("an interval from aim to missed is certain: %+v", m)
	}
	if m := judge("cpu-1", estimate{0.9, 0.8, 0.95}); !m.Certain {
		t.Errorf("an interval inside one verdict is not certain: %+v", m)
	}
	for _, key := range order {
		if figures[key].Name == "" {
			t.Errorf("figure %s is printed and not declared", key)
		}
	}
	if len(order) != len(figures) {
		t.Errorf("%d figures are declared and %d printed", len(figures), len(order))
	}
}

// The order of visits is the method: there and back in each round.
func TestRoundsGoThereAndBack(t *testing.T) {
	var visits []string
	targets := []*target{{name: "a", pid: 1}, {name: "b", pid: 1}, {name: "c"}}
	c := &comparison{Peer: "a"}
	for _, x := range targets {
		c.Rows = append(c.Rows, &row{Target: x.name})
	}
	visit := func(i int, _ load.Order) (slice, error) {
		visits = append(visits, targets[i].name)
		return slice{ok: 1000, seconds: 1, proxyCPU: int64(i+1) * 1e6, redisCPU: 5e6}, nil
	}
	if err := c.closedRounds(targets, plan{rounds: 2, slice: time.Millisecond}, visit, func(string) {}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(visits, ""); got != "abccbaabccba" {
		t.Errorf("visits: %s", got)
	}
	c.summarize()
	b, direct := c.row("b"), c.row("c")
	near(t, "CPU of b", b.CPU, 2, 1e-9)
	near(t, "b to a", b.CPURatio.Value, 2, 1e-9)
	near(t, "CPU of what has no proxy", direct.CPU, 5, 1e-9)
	near(t, "throughput", b.Throughput, 1000, 1e-9)
	if b.Requests != 4000 {
		t.Errorf("%d requests", b.Requests)
	}
}

func TestCPUTimeOfThisProcess(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for end := time.Now().Add(30 * time.Millisecond); time.Now().Before(end); {
		sum++
	}
	after, err := cpuTime(os.Getpid())
	if err != nil || after <= before || after-before > int64(10*time.Second) {
		t.Errorf("CPU time went from %d to %d: %v (%d turns)", before, after, err, sum)
	}
	if _, err := cpuTime(1 << 22); err == nil {
		t.Error("a process that cannot be has a CPU clock")
	}
}

func TestPeakGrowth(t *testing.T) {
	var keep []byte
	grown, err := peakGrowth(os.Getpid(), func() error {
		keep = make([]byte, 64<<20)
		for i := 0; i < len(keep); i += 4096 {
			keep[i] = 1
		}
		return nil
	})
	if err != nil || grown < 60 || len(keep) == 0 {
		t.Errorf("64 MiB grew the process by %.1f MiB: %v", grown, err)
	}
}

func TestMetricsAreSummed(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("# HELP x_total y\nx_total{a=\"1 2\"} 3\nx_total{a=\"}\"} 4\nx_total_more 9\ngo_gc_heap_allocs_objects_total 12345\n"))
	}))
	defer s.Close()
	x := &target{name: "x", at: s.URL}
	if v, err := x.metric("x_total"); err != nil || v != 7 {
		t.Errorf("x_total is %v, %v", v, err)
	}
	if _, err := x.metric("x"); !errors.Is(err, errNoMetric) {
		t.Errorf("a metric that is not there: %v", err)
	}
	if v, err := x.mallocs(); err != nil || v != 12345 {
		t.Errorf("allocations: %d, %v", v, err)
	}
}

func TestBenchmarkOutput(t *testing.T) {
	out := "goos: linux\nBenchmarkRecord-2   \t 1000\t 12.5 ns/op\t 0 B/op\nBenchmarkRecordParallel-2 \t 10\t 99 ns/op\nBenchmarkRecord \t 1000\t 13 ns/op\n"
	ns, err := nsPerOp(out, "BenchmarkRecord")
	if err != nil || len(ns) != 2 || ns[0] != 12.5 || ns[1] != 13 {
		t.Errorf("%v, %v", ns, err)
	}
	if _, err := nsPerOp(out, "BenchmarkOther"); err == nil {
		t.Error("a benchmark that did not run has a result")
	}
}

func TestFlags(t *testing.T) {
	if o, err := parseFlags([]string{"-quick", "-only", "idle,big", "-rounds", "3"}); err != nil || len(o.only) != 2 || !o.quick {
		t.Errorf("%+v, %v", o, err)
	}
	for _, bad := range []string{"-only=cpus", "-ops=del", "-rounds=1", "stray"} {
		if _, err := parseFlags([]string{bad}); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
