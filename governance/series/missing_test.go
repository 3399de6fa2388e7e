package series

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// What is missing is said of each point that it touches, and after a restart too.
func TestMissing(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	f := newFixture(t, o)
	a := newAgent("web", "app", "yf")
	for range 6 {
		a.done("cache", "yf", "GET", 0, 1000)
		f.step(10 * time.Second)
		f.report(a)
	}
	f.Missing(epoch.Add(15*time.Second), epoch.Add(25*time.Second))
	f.Missing(epoch.Add(24*time.Second), epoch.Add(26*time.Second))
	f.Missing(epoch.Add(26*time.Second), epoch.Add(20*time.Second)) // nothing
	partial := func() (out string) {
		for _, p := range f.query(Query{Resource: "cache", From: epoch, To: epoch.Add(time.Minute), Step: 10 * time.Second}) {
			out += map[bool]string{true: "x", false: "."}[p.Partial]
		}
		return out
	}
	if got := partial(); got != ".xx..." {
		t.Errorf("partial: %s", got)
	}
	if !f.window(Query{From: epoch, To: epoch.Add(time.Minute)}).Partial || f.window(Query{From: epoch.Add(30 * time.Second), To: epoch.Add(time.Minute)}).Partial {
		t.Error("a window is partial where something in it is missing, and nowhere else")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.open(o)
	if got := partial(); got != ".xx..." {
		t.Errorf("partial after a restart: %s", got)
	}
	if got, want := f.KeptTo(), epoch.Add(time.Minute); !got.Equal(want) {
		t.Errorf("kept to %v, want %v", got, want)
	}
	f.Missing(time.Time{}, epoch.Add(5*time.Second))
	if got := partial(); got != "xxx..." {
		t.Errorf("partial from the beginning: %s", got)
	}
	f.now = f.now.Add(15 * 24 * time.Hour)
	f.Missing(f.now.Add(-time.Second), f.now)
	if len(f.missing) != 1 {
		t.Errorf("%v is remembered", f.missing)
	}
}

// Spans are in order and apart, cover what was added, and are not many.
func TestSpans(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var list []Span
	added := make(map[int64]bool)
	for range 2000 {
		from := r.Int64N(100_000)
		m := Span{from, from + 1 + r.Int64N(20)}
		for at := m.From; at < m.To; at++ {
			added[at] = true
		}
		list = addSpan(list, m)
		if len(list) > mostSpans {
			t.Fatalf("%d spans", len(list))
		}
		for i := range list[1:] {
			if list[i].To >= list[i+1].From {
				t.Fatalf("%v and %v", list[i], list[i+1])
			}
		}
	}
	for _, m := range list {
		for at := m.From; at < m.To; at++ {
			delete(added, at)
		}
	}
	if len(added) > 0 {
		t.Errorf("%d seconds are not covered", len(added))
	}
}

// What came late does not take the place of what came after it, and what may be counted already is not counted again.
func TestIngestSince(t *testing.T) {
	f := newFixture(t, Options{})
	a := newAgent("web", "app", "yf")
	var sent [][]byte
	var at []time.Time
	for i := range 3 {
		a.done("cache", "yf", "GET", 0, repeat(1000, i+1)...)
		f.step(10 * time.Second)
		sent, at = append(sent, a.enc.Append(nil, f.now.Add(time.Hour))), append(at, f.now)
	}
	since := epoch.Add(10 * time.Second) // the first slot may be there already
	for _, i := range []int{2, 0, 1} {
		if err := f.IngestSince(a.info, sent[i], at[i], since); err != nil {
			t.Fatal(err)
		}
	}
	if got := calls(f.query(Query{Resource: "cache", From: epoch, To: epoch.Add(30 * time.Second), Step: 10 * time.Second})); got != "- 2 3" {
		t.Errorf("calls: %s", got)
	}
	if n, _ := f.LiveOf("cache"); fmt.Sprintf("%.1f", n.Rate) != "0.3" {
		t.Errorf("live: %+v", n)
	}
}
