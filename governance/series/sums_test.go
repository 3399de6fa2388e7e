package series

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is known begins with the first slot, however coarse the slots are that it is kept in as well.
func TestBegins(t *testing.T) {
	f := newFixture(t, Options{Dir: t.TempDir()})
	if at := f.Begins(); !at.IsZero() {
		t.Errorf("an empty history begins at %v", at)
	}
	f.step(40 * time.Second)
	a := newAgent("web-1", "web", "yf")
	a.enc.Append(nil, f.now.Add(time.Hour)) // it reports from now on
	for range 20 {
		a.done("feed", "yf", "GET", 0, 1000)
		f.step(10 * time.Second)
		f.report(a)
		if at, want := f.Begins(), epoch.Add(40*time.Second); !at.Equal(want) {
			t.Fatalf("at %v it begins at %v, want %v", f.now, at, want)
		}
	}
}

// Two stores without the reports of some slots each add up to what a store says that has them all, in memory and on disk.
func TestSumsOfOthers(t *testing.T) {
	whole, one, two := newFixture(t, Options{}), newFixture(t, Options{Dir: t.TempDir()}), newFixture(t, Options{Dir: t.TempDir()})
	two.names.number("canceled") // outcomes have other numbers there
	web, batch := newAgent("web-1", "web", "yf"), newAgent("batch-1", "batch", "tc")
	lost := map[int]*fixture{1: one, 2: one, 4: two}
	for i := range 6 {
		web.done("feed", "yf", "GET", uint8(i%5), repeat(int64(1e5*(i+1)), 10*(i+1))...)
		web.done("feed", "tc", "SET", 0, repeat(1e6, i+1)...)
		batch.done("db", "yf", "SELECT", 1, repeat(int64(1e7+i), 7)...)
		a, b := web.enc.Append(nil, epoch.Add(time.Hour+time.Duration(i+1)*10*time.Second)), batch.enc.Append(nil, epoch.Add(time.Hour+time.Duration(i+1)*10*time.Second))
		for _, f := range []*fixture{whole, one, two} {
			f.step(10 * time.Second)
			if lost[i] == f {
				f.Missing(f.now.Add(-9*time.Second), f.now.Add(-2*time.Second))
				continue
			}
			for agent, payload := range map[*testAgent][]byte{web: a, batch: b} {
				if err := f.Ingest(agent.info, payload, f.now); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	from, to := epoch, epoch.Add(time.Minute)
	compare := func(when string) {
		t.Helper()
		for _, q := range []Query{{From: from, To: to}, {From: from, To: to, Resource: "feed", Group: "yf"}, EdgesQuery(from, to)} {
			theirs := known(t, one, two, q)
			if q.Application != "" {
				want, err := whole.Edges(from, to)
				if err != nil {
					t.Fatal(err)
				}
				got, err := one.Edges(from, to, theirs)
				for i := range got {
					got[i].Partial = false
				}
				if d := cmp.Diff(want, got); d != "" || err != nil || len(got) != 3 {
					t.Errorf("%s: edges: %s %v", when, d, err)
				}
				continue
			}
			want, err := whole.Top(q, ByTime, 10)
			if err != nil {
				t.Fatal(err)
			}
			got, err := one.Top(q, ByTime, 10, theirs)
			for i := range got {
				got[i].Partial = false
			}
			if d := cmp.Diff(want, got); d != "" || err != nil || len(got) == 0 {
				t.Errorf("%s: operations of %+v: %s %v", when, q, d, err)
			}
		}
	}
	compare("open")
	for _, f := range []*fixture{whole, one, two} {
		f.step(30 * time.Second)
	}
	compare("on disk")
}

// known asks another store for what this one lacks, as a centre does, and takes it through JSON.
func known(t *testing.T, f, other *fixture, q Query) (out Sums) {
	t.Helper()
	here, err := f.Known(q)
	if err != nil || len(here) != 6 {
		t.Fatalf("%+v %v", here, err)
	}
	there, err := other.Known(q)
	if err != nil {
		t.Fatal(err)
	}
	var spans []Span
	lacking := ""
	for i := range here {
		switch {
		case here[i].Gap || here[i].Partial:
			lacking += "x"
			if there[i].Gap || there[i].Partial {
				t.Fatalf("nobody has slot %d", i)
			}
			spans = append(spans, Span{here[i].At.Unix(), here[i].At.Unix() + 10})
		default:
			lacking += "."
		}
	}
	if lacking != ".xx..." {
		t.Fatalf("slots: %s", lacking)
	}
	sums, err := other.Sums(q, spans)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(sums)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil || f.Check(&out) != nil {
		t.Fatal(err, f.Check(&out))
	}
	return out
}

// Whatever another centre sends as sums is added or refused.
func FuzzSums(f *testing.F) {
	good := new(sum)
	good.outcomes[1] = 3
	text, err := json.Marshal(Sums{Spans: []Span{{0, 10}}, Outcomes: []string{"ok", "timeout"}, List: []SumOfKey{{"feed", "redis", []byte("yf" + keySep + "GET"), good.append(nil)}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"list":[{"sum":"/w=="}]}`))
	s := newFixture(f, Options{})
	q := Query{From: epoch, To: epoch.Add(time.Minute)}
	f.Fuzz(func(t *testing.T, text []byte) {
		var m Sums
		if json.Unmarshal(text, &m) != nil || s.Check(&m) != nil {
			return
		}
		if _, err := s.Top(q, "", 10, m); err != nil {
			t.Errorf("sums were checked and refused: %v", err)
		}
	})
}
