package governance

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// point is one of GET /v1/series.
type point struct {
	T             int64 // Unix time, ms
	Seconds       float64
	Gap           bool
	Calls, Errors uint64
	P50, P99      int64 // ns
}

func (l *lab) series(from, to time.Time, step time.Duration, more ...string) []point {
	l.Helper()
	q := url.Values{"resource": {"feed-cache"}, "from": {from.UTC().Format(time.RFC3339)}, "to": {to.UTC().Format(time.RFC3339)}}
	if step > 0 {
		q.Set("step", step.String())
	}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	var out struct{ Points []point }
	l.get("GET", "/v1/series?"+q.Encode(), "", &out)
	return out.Points
}

// History that is older than the centre's own is read from a real Graphite, which a real agent feeds, too.
func TestHistoryOfGraphite(t *testing.T) {
	t.Parallel()
	g := server.Start(t, server.Graphite{})
	l := labOf(t, server.Center{Name: "c1", Config: fmt.Sprintf("center:\n  graphite: { url: %q, prefix: mesh.prod }\n", g.URL)})
	l.put("feed-cache", redisSpec(cacheAt(t, "yf"), cacheAt(t, "tc")))

	// Twenty days ago two agents wrote a point each minute for two hours, in the form of agents.
	old := time.Now().Add(-20 * 24 * time.Hour).Truncate(time.Hour)
	const minutes = 120
	var lines []string
	for m := range minutes {
		at := old.Add(time.Duration(m) * time.Minute).Unix()
		for host, n := range map[string]int{"web-1": 100, "web-2": 50} {
			name := "mesh.prod.sluice-agent.web.yf.byhost." + host + ".feed-cache.GET."
			lines = append(lines, fmt.Sprintf("%stotal_count %d %d", name, n, at), fmt.Sprintf("%serror_count %d %d", name, n/50, at),
				fmt.Sprintf("%sp50 0.250 %d", name, at), fmt.Sprintf("%sp99 %d.5 %d", name, n/10+m%10, at))
		}
	}
	g.Send(lines...)

	// And one writes now.
	a := l.agent("web-3", "yf", "  metrics: { graphite: { address: \""+g.Addr+"\", every: 1s, prefix: mesh.prod } }\n", "feed-cache")
	l.settled("web-3")
	c := redis.NewClient(&redis.Options{Addr: a.Addr("feed-cache")})
	defer c.Close()
	const calls = 300
	for range calls {
		if err := c.Get(context.Background(), "where").Err(); err != nil {
			t.Fatal(err)
		}
	}

	l.await(20*time.Second, "Graphite to have the calls of the agent", func() error {
		n := uint64(0)
		for _, p := range l.series(time.Now().Add(-15*24*time.Hour), time.Now().Add(time.Minute), time.Hour, "op", "GET", "application", "app-of-web-3") {
			n += p.Calls
		}
		if n != calls {
			return fmt.Errorf("%d calls of %d", n, calls)
		}
		return nil
	})

	check := func(name string, got []point, count int, want point) {
		t.Helper()
		seen := 0
		for _, p := range got {
			if p.Gap {
				continue
			}
			seen++
			p.T = 0
			if p != want {
				t.Errorf("%s: %+v, want %+v", name, p, want)
				break
			}
		}
		if seen != count {
			t.Errorf("%s: %d points, want %d: %+v", name, seen, count, got)
		}
	}
	end := old.Add(minutes * time.Minute)
	const ms = int64(time.Millisecond)
	ten := point{Seconds: 600, Calls: 1500, Errors: 30, P50: ms / 4, P99: 19*ms + ms/2}
	check("ten minutes each", l.series(old, end, 10*time.Minute, "op", "GET"), 12, ten)
	one := ten
	one.Calls, one.Errors, one.P99 = 500, 10, 14*ms+ms/2
	check("one agent", l.series(old, end, 10*time.Minute, "agent", "web-2"), 12, one)

	// Without a step, and over so long that there are more points than are given: nothing is lost or taken twice.
	for name, to := range map[string]time.Time{"as it is kept": end, "twenty days": time.Now().Add(-time.Hour)} {
		var all point
		for _, p := range l.series(old.Add(-time.Hour), to, 0, "op", "GET", "application", "web") {
			all.Calls, all.Errors, all.P99 = all.Calls+p.Calls, all.Errors+p.Errors, max(all.P99, p.P99)
		}
		if want := (point{Calls: 150 * minutes, Errors: 3 * minutes, P99: 19*ms + ms/2}); all != want {
			t.Errorf("%s: %+v, want %+v", name, all, want)
		}
	}
}
