package graphite

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
)

var outcomes = []string{"ok", "unavailable", "timeout", "error"}

func newRegistry() *metrics.Registry { return metrics.NewRegistry(metrics.Options{Outcomes: outcomes}) }

// render collects one interval and returns its lines.
func render(t *testing.T, in *intervals, o Options) []string {
	t.Helper()
	var text strings.Builder
	l := &lines{dialect: o.Dialect, size: o.batch(), bizErr: 3, stamp: " 1700000010"}
	l.put = func(b batch) {
		if len(b.data) > l.size || strings.Count(string(b.data), "\n") != b.lines || !strings.HasSuffix(string(b.data), "\n") {
			t.Errorf("batch of %d bytes for %d lines: %q", len(b.data), b.lines, b.data)
		}
		text.Write(b.data)
	}
	in.next(l.row)
	l.flush()
	return strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
}

func options(t *testing.T, o Options) Options {
	t.Helper()
	o.Address, o.Host, o.Application = "127.0.0.1:2003", "10.77.1.2", "feed.web"
	if err := o.fill(); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestPlaintextRow(t *testing.T) {
	o := options(t, Options{Prefix: "mesh.prod."})
	reg := newRegistry()
	c := reg.Resource("feed:cache", "redis").Cell("yf", "CONFIG|GET", "admin")
	in := newIntervals(reg, o.namer())
	for range 97 {
		c.Done(0, int64(500*time.Microsecond), false, 1, 1)
	}
	c.Done(3, int64(time.Millisecond), false, 1, 1)
	c.Done(2, int64(80*time.Millisecond), true, 1, 1)
	c.Done(2, int64(80*time.Millisecond), true, 1, 1)

	name := "mesh.prod.sluice-agent.feed_web.yf.byhost.10_77_1_2.feed_cache.CONFIG_GET."
	want := []string{
		name + "total_count 100 1700000010", name + "error_count 3 1700000010", name + "slow_count 2 1700000010",
		name + "avg_time 2.095 1700000010", name + "p50 0.504 1700000010", name + "p75 0.504 1700000010",
		name + "p95 0.504 1700000010", name + "p99 80.000 1700000010", name + "p999 80.000 1700000010",
	}
	got := render(t, in, o)
	// 500 µs is in the bucket of 499.712 to 507.903 µs, whose middle is 503.808.
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	// The next interval is its own, an idle one is zero once, and then there is silence.
	c.Done(0, int64(time.Second), true, 1, 1)
	got = render(t, in, o)
	if got[0] != name+"total_count 1 1700000010" || !strings.HasPrefix(got[3], name+"avg_time 1000.000 ") {
		t.Errorf("second interval:\n%s", strings.Join(got, "\n"))
	}
	want = []string{name + "total_count 0 1700000010", name + "error_count 0 1700000010", name + "slow_count 0 1700000010"}
	if got = render(t, in, o); !slices.Equal(got, want) {
		t.Errorf("idle interval:\n%s", strings.Join(got, "\n"))
	}
	if got = render(t, in, o); !slices.Equal(got, []string{""}) {
		t.Errorf("silent interval:\n%s", strings.Join(got, "\n"))
	}
}

func TestStatsdRow(t *testing.T) {
	o := options(t, Options{Dialect: Statsd})
	reg := newRegistry()
	c := reg.Resource("com.weibo.HelloService", "motan2").Cell("motan-demo-rpc", "hello", "other")
	in := newIntervals(reg, o.namer())
	for _, call := range []struct {
		outcome uint8
		ms      int64
	}{{0, 10}, {0, 70}, {3, 150}, {2, 300}, {1, 700}, {0, 900}} {
		c.Done(call.outcome, call.ms*1e6, call.ms > 50, 1, 1) // the policy calls others slow
	}
	got := render(t, in, o)
	if !slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, ".motan-demo-rpc.cluster.byhost.") }) {
		t.Error("no lines of the cluster")
	}
	got = slices.DeleteFunc(got, func(l string) bool { return strings.Contains(l, ".motan-demo-rpc.cluster.byhost.") })
	name := "motan-client-agent.feed_web.motan-demo-rpc.byhost.10_77_1_2.com_weibo_HelloService.hello."
	for _, want := range []string{
		"total_count:6|c", "biz_error_count:1|c", "other_error_count:2|c", "slow_count:3|c",
		"Less50ms:1|c", "Less100ms:1|c", "Less200ms:1|c", "Less500ms:1|c", "More500ms:2|c", "avg_time:355.00|ms",
	} {
		if !slices.Contains(got, name+want) {
			t.Errorf("no line %s%s", name, want)
		}
	}
	for _, q := range []string{"p50", "p75", "p95", "p99", "p999", "p9999"} {
		if !slices.ContainsFunc(got, func(l string) bool {
			var v float64
			n, _ := fmt.Sscanf(l, name+q+":%f|kv", &v)
			return n == 1 && v > 0
		}) {
			t.Errorf("no quantile %s", q)
		}
	}
	if len(got) != 16 {
		t.Errorf("%d lines:\n%s", len(got), strings.Join(got, "\n"))
	}
	if got = render(t, in, o); !slices.Equal(got, []string{""}) {
		t.Errorf("idle interval:\n%s", strings.Join(got, "\n"))
	}
	c.Done(0, 10e6, false, 1, 1)
	if got = render(t, in, o); slices.ContainsFunc(got, func(l string) bool { return strings.HasSuffix(l, ":0|c") }) {
		t.Errorf("counts of nothing:\n%s", strings.Join(got, "\n"))
	}
}

// A name follows the configuration, and what was counted under the old one is not sent again.
func TestNamesFollow(t *testing.T) {
	service := "a"
	o := options(t, Options{Dialect: Statsd, Name: func(_, group string) Name { return Name{ServerAgent, group, service} }})
	reg := newRegistry()
	c := reg.Resource("r", "motan2").Cell("g", "hello", "other")
	in := newIntervals(reg, o.namer())
	for _, service = range []string{"a", "b"} {
		c.Done(0, 1e6, false, 1, 1)
		got := render(t, in, o)
		if want := "motan-server-agent.feed_web.g.byhost.10_77_1_2." + service + ".hello.total_count:1|c"; got[0] != want || len(got) != 9 {
			t.Errorf("got\n%s\nwant %s and 8 more", strings.Join(got, "\n"), want)
		}
	}
	if len(in.rows) != 1 || len(in.names) != 1 || len(in.cells) != 1 {
		t.Errorf("%d rows, %d names, %d cells", len(in.rows), len(in.names), len(in.cells))
	}
}

func TestClassesAndEqualNamesAreOneRow(t *testing.T) {
	o := options(t, Options{})
	reg := newRegistry()
	m := reg.Resource("feed", "redis")
	in := newIntervals(reg, o.namer())
	m.Cell("yf", "GET", "read").Done(0, 1e6, false, 1, 1)
	m.Cell("yf", "GET", "write").Done(0, 3e6, false, 1, 1)
	m.Cell("yf", "CONFIG|GET", "admin").Done(0, 1e6, false, 1, 1)
	m.Cell("yf", "CONFIG GET", "admin").Done(0, 1e6, false, 1, 1)
	got := strings.Join(render(t, in, o), "\n")
	if strings.Count(got, "total_count 2 ") != 2 || strings.Count(got, "total_count") != 2 || strings.Count(got, "avg_time 2.000 ") != 1 {
		t.Errorf("got\n%s", got)
	}
}

func TestDroppedResourcesAreForgotten(t *testing.T) {
	o := options(t, Options{})
	reg := newRegistry()
	in := newIntervals(reg, o.namer())
	reg.Resource("feed", "redis").Cell("yf", "GET", "read").Done(0, 1e6, false, 1, 1)
	render(t, in, o)
	reg.Drop("feed")
	if got := render(t, in, o); got[0] != "" || len(in.cells)+len(in.rows)+len(in.names) != 0 {
		t.Errorf("left over: %d cells, %d rows, %d names, %q", len(in.cells), len(in.rows), len(in.names), got)
	}
	reg.Resource("feed", "redis").Cell("yf", "GET", "read").Done(0, 1e6, false, 1, 1)
	if got := render(t, in, o); !strings.HasSuffix(got[0], "total_count 1 1700000010") {
		t.Errorf("the new resource gave %q", got)
	}
}

func TestLevel(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1:6379": "10_0_0_1_6379", "feed-cache": "feed-cache", "a_b c/d": "a_b_c_d", "é..": "___", "": "_",
		strings.Repeat("x", 1000): strings.Repeat("x", maxLevel),
	} {
		if got := level(in); got != want {
			t.Errorf("level(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestOptionsSayWhatIsWrong(t *testing.T) {
	for want, o := range map[string]Options{
		"write host:port":              {Address: "carbon"},
		"unknown dialect":              {Address: "a:1", Dialect: "influx"},
		"unknown network":              {Address: "a:1", Network: "unix"},
		"whole seconds":                {Address: "a:1", Every: 1500 * time.Millisecond},
		"at least 1s":                  {Address: "a:1", Every: -time.Second},
		"buffer of 10 bytes":           {Address: "a:1", Buffer: 10},
		"single dots between levels":   {Address: "a:1", Prefix: "a..b"},
		`prefix "a b": use letters`:    {Address: "a:1", Prefix: "a b"},
		`graphite: unknown dialect "x`: {Address: "a:1", Dialect: "x"},
	} {
		if s, err := Open(newRegistry(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", o, err, want)
			if s != nil {
				s.cancel()
			}
		}
	}
}

// Whatever a client calls its operations, carbon gets three fields and a name of eight levels.
func FuzzLines(f *testing.F) {
	f.Add("GET", "yf", "feed")
	f.Add("", ".", "a b")
	f.Add("a\nb 1 2", "é\xff", strings.Repeat("x.", 300))
	o := Options{Address: "a:1", Host: "10.0.0.1", Application: "feed.web"}
	if err := o.fill(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, op, group, resource string) {
		reg := newRegistry()
		reg.Resource(resource, "redis").Cell(group, op, "read").Done(0, 1e6, false, 1, 1)
		got := render(t, newIntervals(reg, o.namer()), o)
		if len(got) != 9 {
			t.Fatalf("%d lines: %q", len(got), got)
		}
		for _, l := range got {
			fields := strings.Split(l, " ")
			levels := strings.Split(fields[0], ".")
			if len(fields) != 3 || len(levels) != 8 || slices.ContainsFunc(levels, func(s string) bool { return s == "" || len(s) > maxLevel }) {
				t.Errorf("line %q", l)
			}
		}
	})
}
