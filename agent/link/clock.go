package link

import (
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

const (
	// slowTrip is the longest way to the centre and back after which what it says of its clock is believed, unless nothing
	// better is known: half of it is how wrong that can be.
	slowTrip = 2 * time.Second
	// farOff is how far clocks may be apart before it is said.
	farOff = 5 * time.Second
)

// hear takes what the centre's clock showed, Unix time in ms, when it answered what was sent to it at asked. Versions that
// do not say it send 0.
func (l *Link) hear(now int64, asked time.Time) {
	trip := time.Since(asked)
	if !control.Said(now) || trip > slowTrip && l.opt.Clock.Heard() {
		return
	}
	before := l.opt.Clock.Now()
	theirs := time.UnixMilli(now).Add(trip / 2)
	l.opt.Clock.Set(theirs)
	if theirs.Sub(before).Abs() > time.Second {
		poke(l.id.changed) // when the certificate is to be renewed, by that clock
	}
	ahead := l.opt.Clock.Ahead().Round(time.Millisecond)
	off := ahead.Abs() > farOff
	l.mu.Lock()
	said := l.off
	l.off = off
	l.mu.Unlock()
	switch {
	case off && !said:
		l.log.Warn("this machine's clock is not the centre's, which counts for commands and certificates; set it right", "ahead", ahead, "centre", theirs.UTC())
	case !off && said:
		l.log.Info("this machine's clock is the centre's again", "ahead", ahead)
	}
}
