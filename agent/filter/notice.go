package filter

import (
	"sync/atomic"
	"time"
)

// Notice is something that a filter has to say while calls run: a breaker opened, a rule that only observes would
// have refused. It is made by Build and posted by calls; the saying is done on a goroutine of Sinks, so that a log
// that hangs holds up no call.
type Notice struct {
	every int64
	last  atomic.Int64
	say   func()
}

// NewNotice returns a notice that is said at most once in every. say typically logs counters that it reads itself.
func NewNotice(every time.Duration, say func()) *Notice {
	return &Notice{every: int64(every), say: say}
}

// Post says n soon, unless that was done within its interval. now is the call's time. It never blocks: when too many
// notices wait, this one is dropped and counted. A nil Sinks says nothing.
func (s *Sinks) Post(n *Notice, now int64) {
	last := n.last.Load()
	if s == nil || last != 0 && now-last < n.every || !n.last.CompareAndSwap(last, now) {
		return
	}
	select {
	case s.notices <- n:
	default:
		s.Dropped("notice").Add(1)
	}
}

func (s *Sinks) sayNotices() {
	for {
		select {
		case n := <-s.notices:
			n.say()
		case <-s.stop:
			for {
				select {
				case n := <-s.notices:
					n.say()
				default:
					return
				}
			}
		}
	}
}
