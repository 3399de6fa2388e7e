package api

import (
	"testing"
	"time"
)

// What is bad every other moment is told once, and again when it was well for a while; each change of the list is a change.
func TestWhatIsNews(t *testing.T) {
	var w watchman
	at := time.Unix(1e9, 0)
	bad := []trouble{{ID: "resource/a/bad", Severity: healthBad}}
	warn := []trouble{{ID: "resource/a/warn", Severity: healthWarn}}
	for i, c := range []struct {
		after   time.Duration
		found   []trouble
		changed bool
		news    int
		since   time.Duration // how long the first trouble is there
	}{
		{0, warn, true, 0, 0},
		{lookEvery, bad, true, 1, 0},
		{lookEvery, bad, false, 0, lookEvery},
		{lookEvery, warn, true, 0, 0},
		{lookEvery, bad, true, 0, 0}, // again, and no news
		{newAfter - lookEvery, warn, true, 0, 0},
		{lookEvery, bad, true, 1, 0}, // it was well for as long
		{lookEvery, nil, true, 0, 0},
		{lookEvery, nil, false, 0, 0},
	} {
		at = at.Add(c.after)
		found := append([]trouble(nil), c.found...)
		changed, news := w.note(found, counts{}, at)
		if changed != c.changed || len(news) != c.news {
			t.Errorf("look %d: changed %v, %d news; want %v, %d", i, changed, len(news), c.changed, c.news)
		}
		if len(found) > 0 && at.Sub(found[0].Since) != c.since {
			t.Errorf("look %d: it is there for %v, want %v", i, at.Sub(found[0].Since), c.since)
		}
	}
	if changed, _ := w.note(nil, counts{down: 1}, at); !changed {
		t.Error("an endpoint is down, and nothing changed")
	}
	var other watchman
	if _, news := other.note(bad, counts{}, at); len(news) != 0 {
		t.Error("what was there before anybody looked is news")
	}
}
