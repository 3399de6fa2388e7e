package load_test

import (
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/server"
)

var everything = load.Mix{Get: 5, Set: 3, Del: 1, Incr: 2, Append: 2, Echo: 1, MGet: 1}

func run(t *testing.T, c load.Config) *load.Report {
	t.Helper()
	r, err := load.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRedisClosedLoop(t *testing.T) {
	n := server.Start(t, server.Redis{Password: "pw"}).Primary
	r := run(t, load.Config{Address: n.Addr, Password: "pw", Clients: 8, Pipeline: 16, Duration: 500 * time.Millisecond, Mix: everything})
	r.Check(t, 100)
	if v := n.Do("DBSIZE"); v.Int != 0 {
		t.Errorf("%d keys are left behind", v.Int)
	}
}

func TestRedisOpenLoop(t *testing.T) {
	n := server.Start(t, server.Redis{TLS: true}).Primary
	const rate, seconds = 500, 3
	l, err := load.Start(t.Context(), load.Config{Address: n.Addr, TLS: n.TLS, VerifyTLS: n.TLS, Clients: 5, Pipeline: 64, Rate: rate,
		Duration: seconds * time.Second, Timeout: 20 * time.Second, Mix: everything})
	if err != nil {
		t.Fatal(err)
	}
	// A pause of the server must show in the latencies of all requests that were due meanwhile.
	server.Wait(t, 5*time.Second, "a third of the load", func() error {
		if l.Counts().OK < rate/3 {
			return errEarly
		}
		return nil
	})
	n.Pause()
	time.Sleep(time.Second) // the length of the pause is the point
	n.Continue()
	r := l.Wait()
	r.Check(t, 1)
	if r.OK != seconds*rate {
		t.Errorf("%d requests in %d seconds at %d per second", r.OK, seconds, rate)
	}
	if r.P90 < 300*time.Millisecond || r.Max < 900*time.Millisecond {
		t.Errorf("a pause of a second does not show: %v", r)
	}
}

type early string

func (e early) Error() string { return string(e) }

const errEarly = early("too few replies yet")

func TestReadOnlyLoadFindsItsKeys(t *testing.T) {
	n := server.Start(t, server.Redis{Unix: true}).Primary
	r := run(t, load.Config{Address: "unix:" + n.Socket, Clients: 4, Pipeline: 32, Keys: 50, Requests: 10000, Mix: load.ReadOnly, ValueSize: 64})
	r.Check(t, 100)
	if hits, err := n.Info("keyspace_misses"); err != nil || hits != "8" { // the final check of 4 counters and 4 logs
		t.Errorf("%s misses, %v, want 8", hits, err)
	}
}

// TestFaultsOnTheWire keeps breaking connections between the load and a real Redis: no rule may be broken, since Redis
// and TCP are honest.
func TestFaultsOnTheWire(t *testing.T) {
	n := server.Start(t, server.Redis{}).Primary
	p := fault.Start(t, fault.Options{Target: n.Addr, Seed: 1})
	p.Set(fault.ResetAfter(20000).Down(), fault.Latency(0, time.Millisecond).Chance(0.3), fault.StallAfter(15000).Up().Chance(0.2),
		fault.Slice(7, 0).Chance(0.3))
	l, err := load.Start(t.Context(), load.Config{Address: p.Addr, VerifyAddress: n.Addr, Clients: 8, Pipeline: 8, Duration: time.Minute,
		Mix: everything, Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	server.Wait(t, 40*time.Second, "10,000 good replies and 5 of each fault", func() error {
		if l.Counts().OK < 10000 || min(p.Fired(fault.KindReset), p.Fired(fault.KindStall), p.Fired(fault.KindLatency), p.Fired(fault.KindSlice)) < 5 {
			return errEarly
		}
		return nil
	})
	r := l.Stop()
	r.Check(t, 100, load.Closed, load.NoReply, load.Connect)
	p.MustHaveFired(t, fault.KindReset, fault.KindLatency, fault.KindStall, fault.KindSlice)
	if r.Errors[load.Closed] == 0 || r.Errors[load.NoReply] == 0 {
		t.Errorf("the load did not notice: %v", r)
	}
}

// TestCorruptionIsFound flips bytes of replies: the load must notice.
func TestCorruptionIsFound(t *testing.T) {
	n := server.Start(t, server.Redis{}).Primary
	p := fault.Start(t, fault.Options{Target: n.Addr, Seed: 1})
	p.Set(fault.CorruptAt(3050).Down())
	r := run(t, load.Config{Address: p.Addr, VerifyAddress: n.Addr, Clients: 4, Requests: 2000, Mix: load.Mix{Get: 1}, ValueSize: 900})
	p.MustHaveFired(t, fault.KindCorrupt)
	if r.Wrong == 0 {
		t.Errorf("not found: %v", r)
	}
}

// TestCrashWithAndWithoutPersistence kills Redis under load. With a synchronous log nothing acknowledged may be lost;
// without persistence everything is, and the load must say so.
func TestCrashWithAndWithoutPersistence(t *testing.T) {
	for name, args := range map[string][]string{"log": {"--appendonly", "yes", "--appendfsync", "always"}, "none": nil} {
		n := server.Start(t, server.Redis{Args: args}).Primary
		l, err := load.Start(t.Context(), load.Config{Address: n.Addr, Clients: 4, Pipeline: 4, Duration: time.Minute, Mix: everything})
		if err != nil {
			t.Fatal(err)
		}
		more := func(than int64) {
			server.Wait(t, 20*time.Second, "some load", func() error {
				if l.Counts().OK < than+500 {
					return errEarly
				}
				return nil
			})
		}
		more(0)
		n.Kill()
		n.Restart()
		more(l.Counts().OK)
		r := l.Stop()
		if name == "log" {
			r.Check(t, 50, load.Closed, load.Connect, "LOADING")
			continue
		}
		if r.Lost == 0 {
			t.Errorf("without persistence a crash lost nothing: %v", r)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	n := server.Start(b, server.Redis{}).Primary
	b.ReportAllocs()
	b.ResetTimer()
	r, err := load.Run(b.Context(), load.Config{Address: n.Addr, Clients: 50, Pipeline: 16, Requests: int64(b.N), Mix: load.ReadOnly, ValueSize: 64})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(r.QPS, "req/s")
}
