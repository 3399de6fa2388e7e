package fleet

import (
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// ClockTolerance is how far an agent's clock may be from the centre's before it is shown as wrong. Commands and certificates
// hold by the centre's clock in any case; what the agent writes itself, such as logs and points of Graphite, does not.
const ClockTolerance = 5 * time.Second

// ahead returns how far an agent's clock, as in control.Clock, was ahead when it came at the given time, less the time that it
// was under way; nil when the agent does not say.
func ahead(now int64, at time.Time) *time.Duration {
	if !control.Said(now) {
		return nil
	}
	d := time.UnixMilli(now).Sub(at.Round(0)).Round(time.Millisecond)
	return &d
}

func off(clock *time.Duration) bool { return clock != nil && clock.Abs() > ClockTolerance }

// tells notes how far an agent's clock is ahead, and reports whether that is news: it is right where it was wrong, or the
// other way round.
func (e *entry) tells(l *link, clock *time.Duration) (news bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.link != l {
		return false
	}
	news = off(clock) != off(e.clock)
	e.clock = clock
	return news
}
