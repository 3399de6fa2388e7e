package series

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/metrics/report"
)

func TestQueriesTellApart(t *testing.T) {
	f := newFixture(t, Options{Dir: t.TempDir()})
	a, b, c := newAgent("web-1", "web", "yf"), newAgent("web-2", "web", "tc"), newAgent("batch-1", "batch", "yf")
	f.step(10 * time.Second)
	a.done("feed", "yf", "GET", 0, repeat(1e5, 10)...)
	a.done("feed", "tc", "GET", 1, repeat(2e6, 2)...)
	a.done("feed", "yf", "SET", 2, repeat(1e5, 3)...)
	b.done("feed", "yf", "GET", 0, repeat(1e5, 20)...)
	c.done("feed", "yf", "GET", 0, repeat(1e5, 40)...)
	c.done("db", "yf", "SELECT", 3, repeat(1e7, 80)...)
	f.report(a, b, c)
	check := func(when string) {
		t.Helper()
		for _, w := range []struct {
			q    Query
			want string
		}{
			{Query{}, "155 calls, 85 errors, 3 refused, 82 slow"},
			{Query{Resource: "feed"}, "75 calls, 5 errors, 3 refused, 2 slow"},
			{Query{Resource: "f*d", Group: "yf"}, "73 calls, 3 errors, 3 refused, 0 slow"},
			{Query{Resource: "feed", Group: "yf", Op: "SET"}, "3 calls, 3 errors, 3 refused, 0 slow"},
			{Query{Op: "*ET"}, "75 calls, 5 errors, 3 refused, 2 slow"},
			{Query{Resource: "feed", Application: "web"}, "35 calls, 5 errors, 3 refused, 2 slow"},
			{Query{IDC: "yf", Group: "yf"}, "133 calls, 83 errors, 3 refused, 80 slow"},
			{Query{Agent: "web-*"}, "35 calls, 5 errors, 3 refused, 2 slow"},
			{Query{Agents: []string{"web-2", "batch-*"}}, "140 calls, 80 errors, 0 refused, 80 slow"},
			{Query{NotAgents: []string{"batch-1"}}, "35 calls, 5 errors, 3 refused, 2 slow"},
			{Query{Agent: "*", IDC: "tc"}, "20 calls, 0 errors, 0 refused, 0 slow"},
			{Query{Resource: "none"}, "0 calls, 0 errors, 0 refused, 0 slow"},
		} {
			w.q.From, w.q.To = epoch, epoch.Add(30*time.Second)
			p := f.window(w.q)
			if got := fmt.Sprintf("%d calls, %d errors, %d refused, %d slow", p.Calls, p.Errors, p.Refused, p.Slow); got != w.want {
				t.Errorf("%s: %+v: %s, want %s", when, w.q, got, w.want)
			}
			if p.Gap {
				t.Errorf("%s: %+v: nothing is known", when, w.q)
			}
		}
		top, err := f.Top(Query{From: epoch, To: epoch.Add(30 * time.Second)}, ByP99, 2)
		if err != nil || len(top) != 2 || top[0].Op != "SELECT" || top[1].Group != "tc" || top[1].ByOutcome["timeout"] != 2 {
			t.Errorf("%s: top %+v, %v", when, top, err)
		}
		edges, err := f.Edges(epoch, epoch.Add(30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		longer, err := f.Edges(epoch.Add(-time.Hour), epoch.Add(30*time.Second))
		if err != nil || len(longer) != len(edges) || longer[0].Length != time.Minute {
			t.Errorf("%s: with an hour before all calls, edges are those of %v, %v", when, longer[0].Length, err)
		}
		var got []string
		for _, e := range edges {
			got = append(got, fmt.Sprintf("%s %s -> %s %s %s: %d", e.Application, e.IDC, e.Kind, e.Resource, e.Group, e.Calls))
		}
		want := []string{"batch yf -> redis db yf: 80", "batch yf -> redis feed yf: 40", "web tc -> redis feed yf: 20", "web yf -> redis feed tc: 2", "web yf -> redis feed yf: 13"}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: edges: %s", when, d)
		}
	}
	check("open")
	f.step(30 * time.Second)
	if st := f.Stats(); st.Keys != 0 || st.Disk == 0 || st.Reports != 3 {
		t.Fatalf("not on disk: %+v", st)
	}
	check("on disk")
}

func TestQueriesThatAreNotKeptOrNotLegal(t *testing.T) {
	f := newFixture(t, Options{})
	window := func(q Query) Query {
		q.From, q.To = epoch, epoch.Add(time.Hour)
		return q
	}
	for _, w := range []struct {
		q    Query
		want error
	}{
		{window(Query{Agent: "a", Op: "GET"}), ErrDetail},
		{window(Query{Agents: []string{"a"}, Group: "yf"}), ErrDetail},
		{window(Query{Application: "web", Op: "GET"}), ErrDetail},
		{Query{From: epoch}, ErrQuery},
		{Query{From: epoch, To: epoch}, ErrQuery},
		{Query{From: epoch, To: epoch.AddDate(1, 0, 0)}, ErrQuery},
		{window(Query{Step: -1}), ErrQuery},
	} {
		if _, err := f.Query(w.q); !errors.Is(err, w.want) {
			t.Errorf("%+v: %v, want %v", w.q, err, w.want)
		}
		if _, err := f.Window(w.q); !errors.Is(err, w.want) {
			t.Errorf("window %+v: %v, want %v", w.q, err, w.want)
		}
	}
	if _, err := f.Query(Query{From: epoch.Add(-30 * 24 * time.Hour), To: epoch, Step: time.Second}); !errors.Is(err, ErrQuery) {
		t.Errorf("points without end: %v", err)
	}
	if _, err := f.Top(window(Query{}), "beauty", 3); !errors.Is(err, ErrQuery) {
		t.Errorf("an order that is none: %v", err)
	}
	if err := f.Ingest(AgentInfo{Name: "a"}, []byte("nonsense"), f.now); err == nil || f.Stats().Refused != 1 {
		t.Errorf("nonsense: %v, %+v", err, f.Stats())
	}
}

func TestGlob(t *testing.T) {
	for _, w := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "x", true}, {"*", "", true}, {"a", "a", true}, {"a", "ab", false}, {"a*", "ab", true}, {"*b", "ab", true}, {"*a", "ab", false},
		{"a*c", "abc", true}, {"a*c", "ac", true}, {"a*a", "a", false}, {"*b*", "abc", true}, {"a*b*c*d", "aXbYcZd", true}, {"a*b*c*d", "aXcYbZd", false},
		{"**", "x", true}, {"a**b", "ab", true},
	} {
		if got := glob(w.pattern, []byte(w.name)); got != w.want {
			t.Errorf("glob(%q, %q) = %v", w.pattern, w.name, got)
		}
	}
}

// Steps, levels and what is still open: each call is in one point, whatever the step.
func TestEveryStepCountsEachCallOnce(t *testing.T) {
	f := newFixture(t, Options{Dir: t.TempDir()})
	a := newAgent("web-1", "web", "yf")
	var sent uint64
	for i := range 95 {
		f.step(10 * time.Second)
		a.done("feed", "yf", "GET", 0, repeat(1e5, i+1)...)
		sent += uint64(i + 1)
		f.report(a)
		if i%7 != 0 {
			continue
		}
		for _, step := range []time.Duration{0, 10 * time.Second, 20 * time.Second, time.Minute, 10 * time.Minute} {
			for _, agent := range []string{"", "web-1"} {
				var n uint64
				for _, p := range f.query(Query{Resource: "feed", Agent: agent, From: epoch, To: f.now, Step: step}) {
					n += p.Calls
				}
				if n != sent {
					t.Fatalf("after %v, step %v, agent %q: %d calls, want %d", f.now.Sub(epoch), step, agent, n, sent)
				}
			}
		}
		if p := f.window(Query{Resource: "feed", From: epoch, To: f.now}); p.Calls != sent {
			t.Fatalf("window: %d calls, want %d", p.Calls, sent)
		}
	}
	points := f.query(Query{Resource: "feed", From: epoch, To: epoch.Add(time.Minute), Step: 10 * time.Second})
	if got := calls(points); got != "1 2 3 4 5 6" {
		t.Fatalf("points of 10 s: %s", got)
	}
	points = f.query(Query{Resource: "feed", From: epoch, To: epoch.Add(2 * time.Minute), Step: time.Minute})
	if got := calls(points); got != "21 57" || points[0].Length != time.Minute || points[0].Rate() != 21.0/60 {
		t.Fatalf("points of 1 min: %s, of %v, %v/s", got, points[0].Length, points[0].Rate())
	}
}

func TestLongIntervalsAreDealtOut(t *testing.T) {
	f := newFixture(t, Options{})
	a := newAgent("web-1", "web", "yf")
	f.step(time.Minute)
	a.done("feed", "yf", "GET", 0, repeat(1e5, 1200)...)
	f.report(a)
	points := f.query(Query{Resource: "feed", From: epoch, To: f.now, Step: 10 * time.Second})
	var n uint64
	for _, p := range points {
		if n += p.Calls; p.Calls != 200 {
			t.Errorf("%d calls, want a sixth of 1200", p.Calls)
		}
	}
	if n != 1200 {
		t.Errorf("%d calls, want 1200", n)
	}
	f.step(time.Hour)
	a.done("feed", "yf", "GET", 0, repeat(1e5, 3600)...)
	f.report(a)
	p := f.window(Query{Resource: "feed", From: epoch.Add(2 * time.Minute), To: f.now})
	if p.Calls < 110 || p.Calls > 130 {
		t.Errorf("%d calls of an hour, want those of the last two minutes", p.Calls)
	}
	if st := f.Stats(); st.Skipped < 3400 || st.Skipped > 3500 {
		t.Errorf("%d seconds skipped", st.Skipped)
	}
}

// What comes after its slot closed makes a second block, which counts with the first.
func TestLateReports(t *testing.T) {
	f := newFixture(t, Options{Dir: t.TempDir()})
	a, b := newAgent("web-1", "web", "yf"), newAgent("web-2", "web", "yf")
	f.step(10 * time.Second)
	a.done("feed", "yf", "GET", 0, repeat(1e5, 7)...)
	b.done("feed", "yf", "GET", 0, repeat(1e5, 60)...)
	f.report(a)
	f.step(30 * time.Second)
	f.report(b) // of 40 s
	f.step(10 * time.Minute)
	for _, step := range []time.Duration{10 * time.Second, time.Minute} {
		var n uint64
		for _, p := range f.query(Query{Resource: "feed", From: epoch.Add(-time.Minute), To: f.now, Step: step}) {
			n += p.Calls
		}
		if n != 67 {
			t.Errorf("step %v: %d calls, want 67", step, n)
		}
	}
}

func TestLive(t *testing.T) {
	f := newFixture(t, Options{})
	a, b := newAgent("web-1", "web", "yf"), newAgent("web-2", "web", "yf")
	a.done("feed", "yf", "GET", 0, repeat(1e5, 90)...)
	a.done("feed", "yf", "GET", 2, repeat(1e5, 10)...)
	b.done("feed", "yf", "GET", 0, repeat(3e6, 100)...)
	m := a.reg.Resource("feed", "redis")
	m.Gauge(metrics.Sessions).Set(5)
	b.reg.Resource("feed", "redis").Gauge(metrics.Sessions).Set(6)
	m.Counter(report.WouldRefuseTotal, "filter", "ratelimit", "rule", "limit 1").Add(20)
	f.step(10 * time.Second)
	f.report(a, b)
	n, ok := f.LiveOf("feed")
	if !ok || n.Agents != 2 || n.Rate != 20 || n.Errors != 1 || n.Refused != 1 || n.Slow != 10 || n.Sessions != 11 || n.WouldRefuse != 2 {
		t.Errorf("live: %+v", n)
	}
	if n.P50 < 99_000 || n.P50 > 102_000 || n.P99 < 2.9e6 || n.Max != 3e6 {
		t.Errorf("live durations: %+v", n)
	}
	if of := f.LiveAgents("feed"); len(of) != 2 || of[0].Agent.Name != "web-1" || of[0].Rate != 10 || of[1].P50 < 2.9e6 {
		t.Errorf("live agents: %+v", of)
	}
	if of := f.LiveAgents(""); len(of) != 2 || of[0].Resource != "" || of[0].Rate != 10 {
		t.Errorf("live agents over all: %+v", of)
	}
	counted, err := f.Counters("feed", epoch.Add(-time.Minute), f.now.Add(time.Second))
	if err != nil || len(counted) != 1 || counted[0].N != 20 || counted[0].Labels[1] != "limit 1" {
		t.Errorf("counters: %+v, %v", counted, err)
	}
	f.step(2 * time.Second)
	f.Gone("web-2")
	if n, _ := f.LiveOf("feed"); n.Agents != 1 || n.Sessions != 5 {
		t.Errorf("after an agent went: %+v", n)
	}
	f.step(time.Minute)
	if all := f.Live(); len(all) != 0 {
		t.Errorf("long after the last report: %+v", all)
	}
	f.forget(f.now)
	if len(f.live) != 0 {
		t.Error("an agent is remembered for ever")
	}
}

func TestCompare(t *testing.T) {
	f := newFixture(t, Options{})
	a, b := newAgent("canary", "web", "yf"), newAgent("web-2", "web", "yf")
	a.done("feed", "yf", "GET", 0, repeat(4e5, 80)...)
	a.done("feed", "yf", "GET", 1, repeat(4e5, 10)...)
	a.done("feed", "yf", "GET", 2, repeat(4e5, 5)...)
	a.done("feed", "yf", "GET", 4, repeat(4e5, 5)...)
	b.done("feed", "yf", "GET", 0, repeat(1e5, 100)...)
	f.step(10 * time.Second)
	f.report(a, b)
	from, to := epoch.Add(-time.Minute), epoch.Add(time.Minute)
	c, err := f.Compare(Query{Agent: "canary", From: from, To: to}, Query{NotAgents: []string{"canary"}, From: from, To: to})
	if err != nil || c.FailedA != 0.1 || c.FailedB != 0 || c.RefusedA != 0.05 || c.P99Ratio < 3.9 || c.P99Ratio > 4.1 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestWhatHasNoRoomIsOther(t *testing.T) {
	f := newFixture(t, Options{MaxOps: 5, MaxAgents: 2, MaxEdges: 2, MaxResources: 3})
	f.step(10 * time.Second)
	for i := range 4 {
		a := newAgent(fmt.Sprint("web-", i), fmt.Sprint("app-", i), "yf")
		for r := range 5 {
			for op := range 4 {
				a.done(fmt.Sprint("r", r), fmt.Sprint("g", op%2), fmt.Sprint(i, "-", op), 0, 1000)
			}
		}
		f.report(a)
	}
	window := Query{From: epoch.Add(-time.Minute), To: epoch.Add(time.Minute)}
	for _, q := range []Query{{}, {Op: "*"}, {Agent: "*"}, {Application: "*"}} {
		q.From, q.To = window.From, window.To
		if p := f.window(q); p.Calls != 4*5*4 {
			t.Errorf("%+v: %d calls, want %d", q, p.Calls, 4*5*4)
		}
	}
	for q, want := range map[string]uint64{"g0": 40, "g1": 40} {
		if p := f.window(Query{Group: q, From: window.From, To: window.To}); p.Calls != want {
			t.Errorf("group %s: %d calls, want %d", q, p.Calls, want)
		}
	}
	if f.Stats().Overflow == 0 {
		t.Error("nothing was counted as overflow")
	}
}

// The store's own goroutine closes slots, and Close ends it.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		a := newAgent("web-1", "web", "yf")
		a.enc.Append(nil, time.Now())
		time.Sleep(10 * time.Second)
		a.done("feed", "yf", "GET", 0, 1000)
		if err := s.Ingest(a.info, a.enc.Append(nil, time.Now()), time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if st := s.Stats(); st.Blocks != 4 || st.Disk == 0 {
			t.Errorf("after two minutes: %+v", st)
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
}
