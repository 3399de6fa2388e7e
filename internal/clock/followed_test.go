package clock

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"
)

func TestNobodyToldAnything(t *testing.T) {
	var f Followed
	if d := time.Since(f.Now()); d.Abs() > time.Minute || f.Ahead().Abs() > time.Millisecond || f.Heard() || f.Guess() {
		t.Errorf("%v off, %v ahead, heard %v", d, f.Ahead(), f.Heard())
	}
	if m := f.Mark(); m != (Mark{}) {
		t.Errorf("%+v", m)
	}
	f.Restore(Mark{})
	if d := time.Since(f.Now()); d.Abs() > time.Minute {
		t.Errorf("%v off after a mark that says nothing", d)
	}
}

func TestTheirClockGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Followed
		theirs := time.Now().Add(-time.Hour).Round(0)
		f.Set(theirs)
		time.Sleep(time.Minute)
		if got := f.Now(); !got.Equal(theirs.Add(time.Minute)) || f.Ahead() != time.Hour || !f.Heard() {
			t.Errorf("%v after %v; %v ahead, heard %v", got, theirs, f.Ahead(), f.Heard())
		}
		f.Set(theirs.Add(time.Hour)) // they were set right
		if f.Ahead() != time.Minute {
			t.Errorf("%v ahead", f.Ahead())
		}
	})
}

// A mark serves a process on the same boot exactly; after another boot the clock of the machine says how much time went by, as
// far as it can be believed.
func TestMarks(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	const hour = time.Hour
	for name, c := range map[string]struct {
		off  time.Duration // of this machine's clock at the mark
		boot string
		up   time.Duration // since the mark
		here time.Duration // of this machine's clock, since the mark's true time
		want time.Duration // since the mark
	}{
		"same boot":                             {0, "a", hour, hour, hour},
		"same boot, off":                        {-24 * hour, "a", hour, -23 * hour, hour},
		"same boot, set since":                  {0, "a", hour, 72 * hour, hour},
		"same boot, set back since":             {0, "a", hour, -72 * hour, hour},
		"another boot":                          {0, "b", 0, hour, hour},
		"another boot, ahead as before":         {2 * hour, "b", 0, 3 * hour, hour},
		"another boot, was ahead and is right":  {2 * hour, "b", 0, hour, 0}, // for the hour that it was down, things last longer
		"another boot, behind as before":        {-24 * hour, "b", 0, -23 * hour, 0},
		"another boot, was behind and is right": {-24 * hour, "b", 0, hour, hour},
		"another boot, clock lost":              {0, "b", 0, -50 * 365 * 24 * hour, 0},
	} {
		m := Mark{Theirs: at, Here: at.Add(c.off), Boot: "a", Up: 5 * hour}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var back Mark
		if err := json.Unmarshal(text, &back); err != nil || back != m {
			t.Fatalf("%s: %+v, then %+v (%v)", name, m, back, err)
		}
		up := c.up
		if c.boot == "a" {
			up += m.Up
		}
		if got := back.resume(at.Add(c.here), c.boot, up).Sub(at); got != c.want {
			t.Errorf("%s: %v after the mark, want %v", name, got, c.want)
		}
	}
}

func TestAnotherProcessGoesOn(t *testing.T) {
	var f, next Followed
	f.Set(time.Now().Add(-48 * time.Hour))
	next.Restore(f.Mark())
	if d := next.Now().Sub(f.Now()); d.Abs() > time.Minute || !next.Guess() || f.Guess() {
		t.Errorf("%v apart, a guess %v", d, next.Guess())
	}
	if again := next.Mark(); again.Theirs.Sub(f.Now()).Abs() > time.Minute {
		t.Errorf("it is not handed on: %+v", again)
	}
}
