package clock

import (
	"sync"
	"time"
)

// Followed is the time of day of somebody whose clock counts, where this machine's may be wrong or be set: agents follow
// their centre's. Between two tellings it goes on by the monotonic clock, so that setting this machine's clock changes
// nothing. Nobody told anything yet: it is this machine's. The zero value is ready, and methods may be called from any
// goroutine.
type Followed struct {
	mu    sync.Mutex
	known bool      // at and base count
	heard bool      // in this process, and not from a Mark
	at    time.Time // theirs, without a monotonic reading
	base  time.Time // this machine's then, with one
}

// Now returns their time of day, without a monotonic reading: differences of two are differences of their clock.
func (f *Followed) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now(time.Now())
}

// now is Now with mu held, at a time of this machine.
func (f *Followed) now(here time.Time) time.Time {
	if !f.known {
		return here.Round(0)
	}
	return f.at.Add(here.Sub(f.base))
}

// Set says what their clock shows now.
func (f *Followed) Set(theirs time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known, f.heard, f.at, f.base = true, true, theirs.Round(0), time.Now()
}

// Heard reports whether Set was called.
func (f *Followed) Heard() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.heard
}

// Guess reports whether what Now says comes from a Mark alone: it may turn out to be wrong.
func (f *Followed) Guess() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.known && !f.heard
}

// Ahead returns how far this machine's clock is ahead of theirs now; negative when it is behind, 0 when theirs is not known.
func (f *Followed) Ahead() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	here := time.Now()
	return here.Round(0).Sub(f.now(here))
}

// Mark is what a later process needs to go on with a followed clock: both clocks, and how long the machine was up, at the
// same moment. The zero Mark says nothing.
type Mark struct {
	Theirs time.Time     `json:"theirs,omitzero"`
	Here   time.Time     `json:"here,omitzero"`
	Boot   string        `json:"boot,omitempty"` // of the machine; empty: the system does not say
	Up     time.Duration `json:"up,omitempty"`   // ns since the boot, time asleep included
}

// Mark returns the clock as it is now, to be kept; the zero Mark when theirs is not known.
func (f *Followed) Mark() Mark {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.known {
		return Mark{}
	}
	here := time.Now()
	boot, up := uptime()
	return Mark{Theirs: f.now(here).UTC(), Here: here.Round(0).UTC(), Boot: boot, Up: up}
}

// Restore goes on from the Mark of an earlier process, until Set is called. On the machine that was not started anew since,
// it is exact, whatever became of this machine's clock. Else only that clock can say how much time went by, and it may have been
// as wrong as it was or may have been put right meanwhile: of both the earlier time is taken, and none before the mark.
func (f *Followed) Restore(m Mark) {
	if m.Theirs.IsZero() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.base = time.Now()
	boot, up := uptime()
	f.known, f.heard, f.at = true, false, m.resume(f.base.Round(0), boot, up)
}

// resume returns what their clock shows when this machine's shows here and it is up since.
func (m *Mark) resume(here time.Time, boot string, up time.Duration) time.Time {
	if m.Boot != "" && m.Boot == boot && up >= m.Up {
		return m.Theirs.Add(up - m.Up)
	}
	now := m.Theirs.Add(here.Sub(m.Here)) // it is as wrong as it was
	if here.Before(now) {
		now = here // it is right now
	}
	if now.Before(m.Theirs) {
		now = m.Theirs
	}
	return now
}
