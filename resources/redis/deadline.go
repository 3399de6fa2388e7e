package redis

import (
	"errors"

	"github.com/sluice-mesh/sluice/resources"
)

// onTimer answers requests that are past their deadline, and gives the connection up when its head stays silent: then a
// server or a network is stuck, and everybody behind would time out one by one.
func (u *upstream) onTimer(now int64) {
	u.expire(now)
	if u.state == upClosed || u.head == u.tail {
		return
	}
	timeout := u.sh.timeout()
	if u.state == upReady && u.late > u.head && u.blocked == nil && !u.waitHead {
		if u.overdue > u.head && u.at(u.overdue-1).end > u.conn.Sent() {
			u.close(errors.New("the server does not take requests")) // they must not be executed late
			return
		}
		if now-u.last > 2*timeout && !bug.keepsSilent() {
			u.close(errors.New("the server was silent for twice the timeout"))
			return
		}
	}
	if u.blocked != nil && now-u.last > max(2*timeout, 5e9) {
		u.blocked.cut(errors.New("the client did not take its reply"))
	}
	next := now + timeout
	for _, i := range [...]uint64{u.head, u.late} {
		if i < u.tail {
			if c := u.at(i).c; c != nil && c.Deadline > 0 {
				next = min(next, max(c.Deadline, now+1e6))
			}
		}
	}
	u.sh.loop.Set(&u.timer, next)
}

// expire answers what is past its deadline with TIMEOUT, or UNAVAILABLE when there is no connection yet. The expectations stay: the replies still have to be dropped.
func (u *upstream) expire(now int64) {
	u.late = max(u.late, u.head)
	u.expireParted(now)
	for ; u.late < u.tail; u.late++ {
		e := u.at(u.late)
		c := e.c
		if c == nil {
			continue
		}
		if c.Deadline == 0 || c.Deadline > now {
			return
		}
		u.disown(u.late)
		if c.dropOther(u) {
			continue
		}
		if bug.forgetsLate() {
			u.head = u.late + 1
		}
		u.overdue = u.late + 1
		u.sh.timedOut(c, u, e)
	}
}

// expireParted looks at a reply at the head that is passed on in parts. Its deadline moves on with each part; those behind
// it have theirs all the same.
func (u *upstream) expireParted(now int64) {
	if u.head == u.tail {
		return
	}
	c := u.at(u.head).c
	if c == nil || !c.parted || c.Deadline == 0 {
		return
	}
	u.late = max(u.late, u.head+1)
	if c.Deadline <= now && u.blocked == nil { // else it is the client that is slow: onTimer has more patience with it
		c.s.cut(errors.New("the rest of a reply did not come"))
	}
}

// timedOut answers a request that is past its deadline. Its reply, if one comes, is dropped.
func (sh *shard) timedOut(c *call, u *upstream, e *entry) {
	c.Now = sh.loop.Now()
	code, what := resources.Timeout, "no answer from "+u.ep.Address+" in time"
	c.Sent = resources.SentSome
	switch {
	case u.conn == nil: // whoever reads the error should know that nothing can have been executed
		c.Sent = resources.SentNothing
		code, what = resources.Unavailable, "no connection to "+u.ep.Address+" in time"
	case e.begin >= u.conn.Sent():
		c.Sent = resources.SentNothing
		what = u.ep.Address + " took no request in time"
	}
	c.Retry = resources.RetryNever
	c.Fault = resources.NewFault(code, resources.FromUpstream, sh.rt.Name(), what)
	c.Outcome = resources.OutcomeOf(c.Fault)
	sh.end(c)
	c.s.fault(c, c.Fault)
}
