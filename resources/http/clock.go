package http

import "github.com/sluice-mesh/sluice/resources"

// A client has one timer for all that it may wait for. It is not moved when a call ends in time, as nearly all do: it rings,
// finds nothing due, and is set for what is due then.

// arm makes the connection look at what is due at the time at, in ns, and at nothing before.
func (co *conn) arm(at int64) {
	co.due = at
	if t := &co.timer; !t.Pending() || t.At() > at {
		co.g.loop.Set(t, at)
	}
}

// onTimer is called at the time that the timer was set for, or some earlier one.
func (co *conn) onTimer(now int64) {
	switch {
	case co.due == 0 || co.conn.Closed():
	case now < co.due:
		co.g.loop.Set(&co.timer, co.due)
	case co.c != nil:
		co.c.link.Shard.wake(co.c, now)
	case co.tunnel != nil:
		co.tunnel.silent(now)
	case co.lingering && !co.closing:
		co.close()
	default: // it had its time
		co.conn.Close(errDone)
	}
}

// slowest is the least rate of a request that takes long, in bytes for each second.
const slowest = 1024

// rest waits for the next request, or for the rest of one of which some bytes are there.
func (co *conn) rest(have int) {
	if have == 0 {
		co.began = 0
		co.arm(co.last + max(co.g.d.idle.Load(), 1e9))
		return
	}
	if co.began == 0 {
		co.began = co.last
	}
	co.arm(co.began + int64(resources.DefaultHandshakeTimeout) + int64(have)*1e9/slowest)
}

// armCall wakes a call when something is to be done about it.
func (sh *shard) armCall(c *call) {
	co := c.co
	if c.answering || co.uploading() {
		c.mark = c.moved()
		co.arm(sh.loop.Now() + int64(sh.r.set.Stall))
		return
	}
	at := c.Deadline
	if c.held {
		at = min(at, c.Start+c.Delay)
	}
	if c.Backup > 0 && !c.backup.open() {
		at = min(at, c.Start+c.Delay+c.Backup)
	}
	co.arm(at)
}

// moved is a number that changes when anything of a call moves.
func (c *call) moved() uint64 {
	n := c.co.conn.Sent() + uint64(c.ReqBytes+c.RespBytes)
	if u := c.first.up; u != nil && u.conn != nil {
		n += u.conn.Sent()
	}
	return n
}

// wake is called when a call's time has come.
func (sh *shard) wake(c *call, now int64) {
	switch {
	case c.answering || c.co.uploading():
		if c.moved() == c.mark {
			sh.stalled(c)
			return
		}
		sh.armCall(c)
	case now >= c.Deadline:
		sh.timedOut(c)
	case c.held:
		c.held = false
		sh.route(c)
	default:
		sh.backUp(c)
		sh.armCall(c)
	}
}
