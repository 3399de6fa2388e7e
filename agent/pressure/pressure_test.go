package pressure

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mib = 1 << 20

// Levels are entered at their share and left three points below.
func TestNext(t *testing.T) {
	for _, c := range []struct {
		level Level
		share float64
		want  Level
	}{
		{Calm, 0, Calm}, {Calm, 84.9, Calm}, {Calm, 85, Shrink}, {Calm, 92, NoConnections}, {Calm, 95, Refuse}, {Calm, 300, Refuse},
		{Shrink, 91.9, Shrink}, {Shrink, 92, NoConnections}, {Shrink, 82, Shrink}, {Shrink, 81.9, Calm},
		{NoConnections, 94.9, NoConnections}, {NoConnections, 89, NoConnections}, {NoConnections, 88.9, Shrink}, {NoConnections, 50, Calm},
		{Refuse, 92, Refuse}, {Refuse, 91.9, NoConnections}, {Refuse, 88, Shrink}, {Refuse, 0, Calm},
	} {
		if got := next(c.level, c.share); got != c.want {
			t.Errorf("%q at %g %%: %q, want %q", c.level, c.share, got, c.want)
		}
	}
}

func TestUseInWords(t *testing.T) {
	for want, u := range map[string]Use{
		"96 % of 256MiB": {Bytes: 246 * mib, Limit: 256 * mib}, "50 % of 230MiB": {Bytes: 115 * mib, Limit: 256 * mib / 10 * 9},
		"0 % of 4GiB": {Limit: 4 << 30}, "100 % of 1KiB": {Bytes: 1024, Limit: 1024},
	} {
		if got := u.String(); got != want {
			t.Errorf("%+v: %q, want %q", u, got, want)
		}
	}
}

func TestLimits(t *testing.T) {
	const none = math.MaxInt64
	box := &cgroup{limit: 100 * mib}
	for name, c := range map[string]struct {
		runtime, configured int64
		cgroup              *cgroup
		limit               int64
		from                string
		told                bool
		smallest            int64
	}{
		"none":                       {none, 0, nil, 0, "", false, 0},
		"GOMEMLIMIT":                 {50 * mib, 0, nil, 50 * mib, "GOMEMLIMIT", false, 50 * mib},
		"configured":                 {none, 40 * mib, nil, 40 * mib, "agent.memory", true, 40 * mib},
		"configured is smaller":      {50 * mib, 40 * mib, nil, 40 * mib, "agent.memory", true, 40 * mib},
		"configured is larger":       {50 * mib, 60 * mib, nil, 50 * mib, "GOMEMLIMIT", false, 50 * mib},
		"cgroup":                     {none, 0, box, 90 * mib, "cgroup", true, 90 * mib},
		"cgroup and GOMEMLIMIT":      {95 * mib, 0, box, 95 * mib, "GOMEMLIMIT", false, 95 * mib},
		"GOMEMLIMIT over the cgroup": {200 * mib, 0, box, 200 * mib, "GOMEMLIMIT", false, 100 * mib},
		"cgroup and configured":      {none, 30 * mib, box, 30 * mib, "agent.memory", true, 30 * mib},
	} {
		l := limitsOf(c.runtime, c.configured, c.cgroup)
		if l.goLimit.Limit != c.limit || l.goLimit.From != c.from || l.told != c.told || l.Smallest() != c.smallest || l.Any() != (c.smallest > 0) {
			t.Errorf("%s: %+v, smallest %d", name, l, l.Smallest())
		}
	}
}

// write makes files below a folder.
func write(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFindCgroup(t *testing.T) {
	const stat = "anon 5\ninactive_file 1000\ntotal_inactive_file 2000\nactive_file 7\n"
	for name, c := range map[string]struct {
		files map[string]string
		limit int64
		used  int64
	}{
		"another system": {map[string]string{"x": ""}, 0, 0},
		"v2": {map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "40000\n", "sys/fs/cgroup/a/b/memory.current": "9000\n",
			"sys/fs/cgroup/a/b/memory.stat": stat,
		}, 40000, 8000},
		"v2 in a container": {map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "40000\n", "sys/fs/cgroup/memory.current": "9000\n",
			"sys/fs/cgroup/memory.stat": stat,
		}, 40000, 8000},
		"v2, the one above is tighter": {map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "40000\n", "sys/fs/cgroup/a/b/memory.current": "9000\n",
			"sys/fs/cgroup/a/memory.max": "30000\n", "sys/fs/cgroup/a/memory.current": "20000\n",
		}, 30000, 20000},
		"v2 without a limit": {map[string]string{
			"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n", "sys/fs/cgroup/a/memory.current": "9000\n",
		}, 0, 0},
		"v1": {map[string]string{
			"proc/self/cgroup": "5:cpu,memory:/a\n0::/\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "40000\n",
			"sys/fs/cgroup/memory/a/memory.usage_in_bytes": "9000\n", "sys/fs/cgroup/memory/a/memory.stat": stat,
		}, 40000, 7000},
		"v1 without a limit": {map[string]string{
			"proc/self/cgroup": "4:memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "9223372036854771712\n",
			"sys/fs/cgroup/memory/a/memory.usage_in_bytes": "9000\n",
		}, 0, 0},
		"v1, a path of the host": {map[string]string{
			"proc/self/cgroup": "4:memory:/docker/0123\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "40000\n",
			"sys/fs/cgroup/memory/memory.usage_in_bytes": "9000\n", "sys/fs/cgroup/memory/memory.stat": stat,
		}, 40000, 7000},
		"more cache than use": {map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "40000\n", "sys/fs/cgroup/memory.current": "900\n",
			"sys/fs/cgroup/memory.stat": stat,
		}, 40000, 0},
		"nonsense": {map[string]string{
			"proc/self/cgroup": "\n:\n0::/../..\n4:memory:\n", "sys/fs/cgroup/memory.max": "-4\n", "sys/fs/cgroup/memory.current": "x\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "x",
		}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write(t, root, c.files)
			g := findCgroup(root)
			if c.limit == 0 {
				if g != nil {
					t.Errorf("found %+v", g)
				}
				return
			}
			if g == nil {
				t.Fatal("found nothing")
			}
			if used, err := g.used(); g.limit != c.limit || used != c.used || err != nil {
				t.Errorf("limit %d, used %d, %v", g.limit, used, err)
			}
		})
	}
}

// In a cgroup with other processes, only those who have most of it are asked to give back.
func TestOurs(t *testing.T) {
	me := strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		procs  string
		used   int64
		mapped int64
		want   bool
	}{
		{me + "\n", 100, 10, true}, {"1\n" + me + "\n", 100, 49, false}, {"1\n" + me + "\n", 100, 50, true}, {"", 100, 10, false},
	} {
		g := &cgroup{procs: filepath.Join(t.TempDir(), "procs")}
		write(t, filepath.Dir(g.procs), map[string]string{"procs": c.procs})
		if got := g.ours(c.used, c.mapped); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if (&cgroup{procs: "nowhere"}).ours(100, 10) {
		t.Error("ours, although nothing is known of the others")
	}
}

func FuzzStatLine(f *testing.F) {
	f.Add([]byte("anon 1\ninactive_file 4096\n"), "inactive_file")
	f.Add([]byte("inactive_file -1"), "inactive_file")
	f.Add([]byte("\n \nx"), "x")
	f.Fuzz(func(t *testing.T, stat []byte, name string) {
		if n := statLine(stat, name); n < 0 {
			t.Errorf("%d", n)
		}
	})
}

// Garbage does not count, what is alive does.
func TestUsesOfTheHeap(t *testing.T) {
	l := Limits{goLimit: Use{Limit: 100, From: "GOMEMLIMIT"}, cgroup: &cgroup{limit: 200, current: filepath.Join(t.TempDir(), "current")}}
	write(t, filepath.Dir(l.cgroup.current), map[string]string{"current": "150\n"})
	uses, err := l.uses(heap{total: 97, free: 7, objects: 80, live: 50})
	want := []Use{{60, 100, "GOMEMLIMIT"}, {113, 200, "cgroup"}}
	if err != nil || !slices.Equal(uses, want) {
		t.Errorf("%v, %v, want %v", uses, err, want)
	}
	if uses, err := l.uses(heap{total: 70, free: 0, objects: 50, live: 50}); err != nil || !slices.Equal(uses, []Use{{70, 100, "GOMEMLIMIT"}}) {
		t.Errorf("in a cgroup of others: %v, %v", uses, err)
	}
	os.Remove(l.cgroup.current)
	if uses, err := l.uses(heap{total: 97, objects: 10, live: 20}); err == nil || !slices.Equal(uses, []Use{{97, 100, "GOMEMLIMIT"}}) {
		t.Errorf("without the cgroup's file: %v, %v", uses, err)
	}
}

var sink [][]byte

// The figures of this process follow what it keeps, and not what it throws away.
func TestHeapReader(t *testing.T) {
	r := newHeapReader()
	kept := func() int64 {
		debug.FreeOSMemory()
		h := r.read()
		if h.total <= 0 || h.live <= 0 || h.collects <= 0 {
			t.Fatalf("figures are missing: %+v", h)
		}
		return h.total - h.garbage()
	}
	before := kept()
	for range 32 {
		sink = append(sink, make([]byte, mib))
	}
	if grown := kept() - before; grown < 31*mib || grown > 48*mib {
		t.Errorf("32 MiB more are shown as %d KiB", grown>>10)
	}
	sink = nil
	if grown := kept() - before; grown > 8*mib {
		t.Errorf("after they were dropped, %d KiB are left", grown>>10)
	}
}

// script is a watcher whose figures a test sets.
type script struct {
	*Watcher
	mu       sync.Mutex // guards use
	use      Use
	err      error
	collects int64
	freed    []time.Time
	shrunk   int
	log      bytes.Buffer
}

func newScript(m *metrics.Registry) *script {
	s := &script{use: Use{Limit: 100 * mib, From: "GOMEMLIMIT"}}
	s.Watcher = Open(Options{Limits: Limits{goLimit: s.use}, Log: slog.New(slog.NewTextHandler(&s.log, nil)), Metrics: m, Shrink: func() { s.shrunk++ }})
	s.read = func() ([]Use, int64, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return []Use{s.use}, s.collects, s.err
	}
	s.free = func() { s.freed = append(s.freed, time.Now()); s.collects++ }
	return s
}

// at lets the watcher see a share for some time.
func (s *script) at(share int64, d time.Duration) {
	s.mu.Lock()
	s.use.Bytes = share * mib
	s.mu.Unlock()
	time.Sleep(d)
	synctest.Wait()
}

func (s *script) held() bool { return s.Gate().Hold() != nil }

func TestWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := metrics.NewRegistry(metrics.Options{})
		s := newScript(reg)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		g := s.Gate()
		expect := func(what string, level Level, held, refuses bool) {
			t.Helper()
			if g.Level() != level || s.held() != held || g.Refuses() != refuses || (g.Detail() == "") != (level == Calm) {
				t.Errorf("%s: level %v, held %v, refuses %v, detail %q", what, g.Level(), s.held(), g.Refuses(), g.Detail())
			}
		}
		s.at(50, time.Minute)
		expect("half", Calm, false, false)
		if len(s.freed) != 0 {
			t.Errorf("calm, and memory was given back %d times", len(s.freed))
		}
		s.at(86, 20*time.Second)
		expect("86 %", Shrink, false, false)
		if n := len(s.freed); n != 4 || s.shrunk != 4 {
			t.Errorf("in 20 s of shrinking, memory was given back %d times, drivers were asked %d times, want 4", n, s.shrunk)
		}
		s.at(93, sampleEvery)
		expect("93 %", NoConnections, true, false)
		waiter := g.Hold()
		s.at(96, sampleEvery)
		expect("96 %", Refuse, true, true)
		if got := g.Detail(); got != "short of memory (96 % of 100MiB): calls are refused" {
			t.Errorf("detail %q", got)
		}
		n := len(s.freed)
		s.at(93, 10*time.Second)
		expect("93 % after 96 %", Refuse, true, true)
		if n = len(s.freed) - n; n < 6 || n > 10 {
			t.Errorf("in 10 s of refusing, the heap was collected %d times, want about one a second", n)
		}
		s.at(91, sampleEvery)
		expect("91 %", NoConnections, true, false)
		select {
		case <-waiter:
			t.Error("who waits to accept was let go")
		default:
		}
		s.at(88, sampleEvery)
		expect("88 %", Shrink, false, false)
		<-waiter
		s.at(60, sampleEvery)
		expect("60 %", Calm, false, false)
		s.at(99, sampleEvery)
		stop()
		<-done
		expect("the end", Calm, false, false)
		for _, part := range []string{"memory is limited", "spare memory is given back", "no new connections", "calls are refused", "96 % of 100MiB", "not short any more"} {
			if !strings.Contains(s.log.String(), part) {
				t.Errorf("the log does not say %q:\n%s", part, s.log.String())
			}
		}
		if lines := strings.Count(s.log.String(), "\n"); lines != 8 {
			t.Errorf("%d lines for one start and seven changes:\n%s", lines, s.log.String())
		}
	})
}

// A collection that takes long is asked for seldom.
func TestSlowCollections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(nil)
		s.free = func() { s.freed = append(s.freed, time.Now()); time.Sleep(500 * time.Millisecond) }
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		s.at(97, 60*time.Second)
		if n := len(s.freed); n < 5 || n > 7 {
			t.Errorf("in a minute the heap was collected %d times for half a second, want 6", n)
		}
		stop()
		<-done
	})
}

// A cgroup that cannot be read is said once, and the other limit goes on.
func TestUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(nil)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		s.err = errors.New("no such file")
		go func() { s.Run(ctx); close(done) }()
		s.at(96, 10*time.Second)
		if !s.Gate().Refuses() || strings.Count(s.log.String(), "no such file") != 1 {
			t.Errorf("refuses %v:\n%s", s.Gate().Refuses(), s.log.String())
		}
		stop()
		<-done
	})
}

func TestWithoutLimit(t *testing.T) {
	w := Open(Options{})
	w.Run(t.Context()) // returns at once
	var none *Gate
	for _, g := range []*Gate{w.Gate(), none} {
		if g.Level() != Calm || g.Refuses() || g.Hold() != nil || g.Use() != nil || g.Detail() != "" {
			t.Errorf("%v is not calm", g)
		}
	}
}

func TestMetrics(t *testing.T) {
	reg := metrics.NewRegistry(metrics.Options{})
	s := newScript(reg)
	s.use.Bytes = 96 * mib
	s.look(time.Now())
	got := map[string]float64{}
	reg.Gather(func(p *metrics.Point) { got[p.Name] = p.Value })
	for name, want := range map[string]float64{MetricLevel: 3, MetricBytes: 96 * mib, MetricLimit: 100 * mib} {
		if got[name] != want {
			t.Errorf("%s is %g, want %g", name, got[name], want)
		}
	}
}

// The runtime is given the limit and gets its own back.
func TestTell(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	l := limitsOf(math.MaxInt64, 1<<40, nil)
	undo := l.tell()
	if got := debug.SetMemoryLimit(-1); got != 1<<40 {
		t.Errorf("the limit is %d", got)
	}
	undo()
	if got := debug.SetMemoryLimit(-1); got != before {
		t.Errorf("the limit is %d, was %d", got, before)
	}
}

func TestGateAllocatesNothing(t *testing.T) {
	g := &Gate{}
	g.set(Refuse, Use{Bytes: 1, Limit: 1})
	if n := testing.AllocsPerRun(100, func() { _, _, _ = g.Refuses(), g.Hold(), g.Use() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
