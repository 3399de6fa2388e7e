package redis

import (
	"github.com/sluice-mesh/sluice/resources"
)

// A reply of half a gigabyte takes most of a second on its way, and one that its client takes slowly as long as the
// client likes. Nothing new is sent behind it (pool.setSlow), but who was there when it began would wait for its end.
// So calls that only read are sent once more on another connection to the same server, and their first replies are
// dropped when they come. What writes stays: it was written, and must not be executed twice.
//
// A session moves as a whole or not at all, or its requests might overtake each other.

// asideAfter is how long a long reply may go on before those behind it are sent elsewhere. What a client that reads
// gets within this time is some MiB: most replies are over by then, and their server is not asked twice.
const asideAfter = int64(5e6)

// onAside sends calls elsewhere that wait behind the long reply at the head.
func (u *upstream) onAside(now int64) {
	policy := u.sh.rt.Policy()
	if !policy.Failover.RepeatReads() || policy.Failover.Tries < 0 || u.attr.heavy {
		return
	}
	if !u.slow || u.state != upReady || u.sh.noDials {
		return
	}
	head := u.at(u.head).c // nil: its client left, and the reply is dropped as it arrives
	seen := make(map[*session]bool)
	later := false
	for i := u.head + 1; i < u.tail; i++ {
		c := u.at(i).c
		if c == nil || seen[c.s] || head != nil && c.s == head.s {
			continue
		}
		s := c.s
		seen[s] = true
		n := s.mayStepAside(u, head, now)
		if n == 0 {
			continue
		}
		v := u.pool.open(s)
		if v.state != upReady {
			later = true // to a connection that works: who waits here gets an answer some day
			continue
		}
		if !u.sh.rt.Spare(n) {
			return
		}
		s.stepAside(u, v)
	}
	if later {
		u.sh.loop.Set(&u.aside, now+max(asideAfter, now-u.slowFrom))
	}
}

// mayStepAside returns how many unanswered calls a session has on u; 0 when one of them has to stay there.
func (s *session) mayStepAside(u *upstream, head *call, now int64) (n int) {
	if s.pin != nil || s.pins != 0 || s.txn.open {
		return 0
	}
	for c := s.head; c != nil; c = c.next {
		switch {
		case c.answered || c.parts == nil && c.up != u && c.up2 != u:
		case !c.mayStepAside(u, head, now):
			return 0
		default:
			n++
		}
	}
	return n
}

// mayStepAside reports whether a call that waits on u may be sent elsewhere.
func (c *call) mayStepAside(u *upstream, head *call, now int64) bool {
	switch {
	case c.Class != resources.ClassRead, c.Retry != resources.RetryIdempotent, c.cmd.special != spNone, c.after != afterNothing:
		return false
	case c.aside, c.parted, c.lease, c.Pinned, c.parts != nil, c.whole != nil, c.up2 != nil, c.moves > 0, c.attr != nil:
		return false
	case c.Deadline > 0 && c.Deadline <= now:
		return false
	case head != nil && c.HasKey && head.HasKey && c.Key == head.Key:
		return false // the same long value: it would be sent twice, and nobody has it sooner
	}
	e := u.at(c.seq)
	return e.end-e.begin <= againMost && u.request(e) != nil
}

// stepAside sends what a session has unanswered on u to v, in its order.
func (s *session) stepAside(u, v *upstream) {
	for c := s.head; c != nil; c = c.next {
		if c.answered || c.up != u {
			continue
		}
		e := u.at(c.seq)
		u.disown(c.seq)
		c.up, c.aside = nil, true
		v.submit(c, u.request(e))
	}
}
