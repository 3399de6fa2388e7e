package grpc

import (
	"github.com/cespare/xxhash/v2"

	"github.com/sluice-mesh/sluice/protocols/http2"
	"github.com/sluice-mesh/sluice/resources"
)

// maxKept is the longest request that is kept to be sent again, in bytes.
const maxKept = 64 << 10

// timeout returns how long a server may be silent, in nanoseconds; some bound even when the policy sets none.
func (sh *shard) timeout() int64 {
	if t := int64(sh.rt.Policy().Timeout); t > 0 {
		return t
	}
	return 60e9
}

// begin makes a call of a header list and sends it where it belongs. It takes the list's slice and leaves its own.
func (sh *shard) begin(l *link, id uint32, q *request, end bool) {
	c := sh.newCall()
	mine := c.head.fields
	c.head = *q
	q.fields = mine
	c.link, c.id, c.ended = l, id, end
	c.window, c.left = l.Conn.initial, l.Conn.given
	c.Session, c.View = l.Session, c
	c.Start = sh.loop.Now()
	c.moved = c.Start
	m := sh.method(c.head.path)
	c.Op, c.Class, c.Retry = m.op, m.class, m.retry
	for i := range c.head.fields {
		c.ReqBytes += int64(len(c.head.fields[i].Name) + len(c.head.fields[i].Value))
	}
	c.HasKey = true
	sh.key(c)
	if c.head.trace != "" {
		c.Trace, _ = resources.ParseTraceParent(append(sh.text[:0], c.head.trace...))
	}
	l.Conn.add(c)
	stop := sh.rt.Begin(&c.Call)
	if c.Stages != nil {
		c.Stages.Out = l.Conn.conn
	}
	if stop != nil {
		sh.stopped(c, stop)
		return
	}
	sh.setDeadline(c)
	c.kept = c.Retry != resources.RetryNever
	if c.Delay > 0 {
		c.held = true
		sh.arm(c)
		return
	}
	sh.route(c)
}

// key sets what the call is balanced by.
func (sh *shard) key(c *call) {
	if name := sh.r.set.Hash; name != "" {
		if v := c.head.get(name); v != "" {
			c.hash = append(c.hash[:0], v...)
			c.OnlyKey, c.Call.Key = c.hash, xxhash.Sum64(c.hash)
			return
		}
	}
	c.Call.Key = sh.random.Next()
}

// setDeadline bounds a call: by what the caller asks for, and by how long nothing may move on it. A call of a method that may be
// silent for long ends when its client would.
func (sh *shard) setDeadline(c *call) {
	c.quiet = sh.timeout()
	if asked := parseTimeout(c.head.timeout); c.head.timeout != "" && asked >= 0 {
		c.until = c.Start + asked
		c.quiet = min(asked, int64(sh.r.set.MaxTimeout.Fraction()*float64(c.quiet)))
	}
	if c.Class == resources.ClassStream {
		c.quiet = max(c.quiet, int64(sh.rt.Policy().IdleTimeout))
	}
	c.Deadline = sh.deadline(c)
}

// deadline is when a call's time is over, if nothing moves until then.
func (sh *shard) deadline(c *call) int64 {
	at := c.moved + c.quiet
	if c.until > 0 {
		at = min(at, c.until)
	}
	return at
}

// stopped answers a call that a filter ended.
func (sh *shard) stopped(c *call, stop *resources.Stop) {
	sh.out = sh.r.AppendStop(sh.out[:0], &c.Call, stop)
	c.Fault, c.Outcome, c.RespBytes = stop.Fault, stop.Outcome, int64(len(sh.out))
	c.link.Conn.conn.Write(sh.out)
	c.hush()
	sh.over(c)
}

// over ends a call that is not to be tried again, and lets go of it.
func (sh *shard) over(c *call) {
	c.Now = max(c.Now, sh.loop.Now())
	c.Retry = resources.RetryNever
	sh.rt.End(&c.Call)
	sh.finish(c)
}

// finish lets go of a call that ended.
func (sh *shard) finish(c *call) {
	l := c.link
	co := l.Conn
	c.forget(http2.Cancel)
	co.remove(c)
	sh.recycle(c)
	co.leave()
}

// route places a call and sends it.
func (sh *shard) route(c *call) {
	ep, fault := sh.rt.Route(&c.Call)
	if fault != nil {
		c.Sent = resources.SentNothing
		sh.fault(c, fault)
		return
	}
	sh.send(c, ep)
}

// fault ends a call with a fault.
func (sh *shard) fault(c *call, fault *resources.Fault) {
	c.Fault, c.Outcome = fault, resources.OutcomeOf(fault)
	sh.say(c)
	sh.over(c)
}

// say answers a call with its fault: instead of its server, or at the end of what its server began to say.
func (sh *shard) say(c *call) {
	co := c.link.Conn
	if co.conn.Closed() {
		return
	}
	if c.begun {
		sh.out = appendTrailers(sh.out[:0], c.id, c.Fault)
	} else {
		sh.out = appendFault(sh.out[:0], c.id, c.Fault)
		c.RespBytes = int64(len(sh.out))
	}
	co.conn.Write(sh.out)
	c.hush()
}

// hush asks the client of a call that was answered to send no more of it.
func (c *call) hush() {
	if !c.ended {
		c.ended = true
		c.link.Conn.rst(c.id, http2.NoError)
	}
}

// send sends a call to ep, which it was placed on.
func (sh *shard) send(c *call, ep *resources.Endpoint) {
	u := sh.pool(ep).pick()
	if u.queued() > maxPending {
		sh.failed(c, u.fault(resources.Unavailable, ep.Address+" does not take requests"))
		return
	}
	c.up = c.leg(u)
	sh.arm(c)
	u.take(c.up)
}

// more takes bytes of a request, and its end.
func (sh *shard) more(c *call, b []byte, end bool) {
	c.moved = sh.loop.Now()
	c.ReqBytes += int64(len(b))
	c.ended = end
	if !c.kept && len(c.body) == 0 && c.up != nil && c.backup == nil && c.up.id != 0 && c.up.sent == c.base {
		n := c.up.direct(b)
		c.base += int64(n)
		b = b[n:]
	}
	c.body = append(c.body, b...)
	if c.kept && len(c.body) > maxKept {
		c.kept = false
	}
	if c.up != nil {
		c.up.pump()
	}
	if c.backup != nil {
		c.backup.pump()
	}
	c.trim()
}

// trim lets go of what nobody needs any more of the request, and lets the client send as much again.
func (c *call) trim() {
	sent := c.passed
	for _, leg := range [...]*leg{c.up, c.backup} {
		if leg != nil {
			sent = max(sent, leg.sent)
		}
	}
	co := c.link.Conn
	if n := sent - c.passed; n > 0 {
		co.passed(int(n))
		c.passed = sent
	}
	if n := c.passed - c.told; n >= co.given/2 && !c.ended && !co.conn.Closed() {
		co.conn.SetOut(http2.AppendWindow(co.conn.Out(16), c.id, uint32(n)))
		c.left += n
		c.told = c.passed
	}
	if c.kept {
		return
	}
	done := sent
	if c.up != nil {
		done = c.up.sent
	}
	if n := done - c.base; n > 0 && c.backup == nil {
		c.body = c.body[:copy(c.body, c.body[n:])]
		c.base += n
	}
}

// arm wakes a call when something is to be done about it.
func (sh *shard) arm(c *call) {
	at := sh.deadline(c)
	switch {
	case c.held:
		at = min(at, c.Start+c.Delay)
	case c.Backup > 0 && c.backup == nil && !c.begun:
		at = min(at, c.Start+c.Delay+c.Backup)
	}
	sh.loop.Set(&c.timer, at)
}

// wake is called when a call's time may have come.
func (sh *shard) wake(c *call, now int64) {
	switch {
	case now >= sh.deadline(c):
		sh.timedOut(c)
	case c.held:
		if now >= c.Start+c.Delay {
			c.held = false
			c.moved = now
			sh.route(c)
			return
		}
		sh.arm(c)
	default:
		if c.Backup > 0 && now >= c.Start+c.Delay+c.Backup {
			sh.backUp(c)
		}
		sh.arm(c)
	}
}

// backUp sends a call that is there as a whole a second time, to another endpoint. The first answer wins.
func (sh *shard) backUp(c *call) {
	if c.up == nil || c.begun || !c.kept || !c.ended {
		c.Backup = 0
		return
	}
	ep := sh.rt.Backup(&c.Call)
	c.Backup = 0
	if ep == nil {
		return
	}
	u := sh.pool(ep).pick()
	if u == c.up.u || u.queued() > maxPending {
		return
	}
	c.backup = c.leg(u)
	u.take(c.backup)
}

// only makes leg the one that answers its call.
func (c *call) only(leg *leg) {
	if c.backup == nil {
		return
	}
	other := c.backup
	if leg == c.backup {
		other = c.up
	}
	c.up, c.backup = leg, nil
	other.drop(http2.Cancel)
}

// elsewhere reports whether a call that leg will not answer may still be answered by another one.
func (c *call) elsewhere(leg *leg) bool {
	if c.backup == nil {
		return false
	}
	if leg == c.up {
		c.up = c.backup
	}
	c.backup = nil
	leg.c = nil
	return true
}

// forget gives up all attempts of a call.
func (c *call) forget(code http2.Code) {
	up, backup := c.up, c.backup
	c.up, c.backup = nil, nil
	if backup != nil {
		backup.drop(code)
	}
	if up != nil {
		up.drop(code)
	}
}

// answered deals with an answer that consists of its end.
func (sh *shard) answered(c *call, fields []http2.Field) {
	c.Now = sh.loop.Now()
	if c.Stages != nil {
		c.Stages.Arrives(c.Now)
	}
	c.Sent = resources.SentSome
	sh.judge(c, fields)
	if c.Outcome.Failure() && c.kept {
		for i := range fields {
			if fields[i].Name == "grpc-retry-pushback-ms" { // the server says when, which is later than now
				c.Retry = resources.RetryNever
			}
		}
		if sh.retry(c) {
			return
		}
		c.link.Conn.answer(c, fields, true)
		c.hush()
		sh.finish(c)
		return
	}
	c.link.Conn.answer(c, fields, true)
	c.hush()
	sh.over(c)
}

// begins passes the headers of an answer on.
func (sh *shard) begins(c *call, fields []http2.Field) {
	c.begun, c.kept, c.Sent = true, false, resources.SentAnswered
	if c.Stages != nil {
		c.Stages.Arrives(sh.loop.Now())
	}
	c.trim()
	sh.count(c, fields)
	c.link.Conn.answer(c, fields, false)
}

func (sh *shard) count(c *call, fields []http2.Field) {
	for i := range fields {
		c.RespBytes += int64(len(fields[i].Name) + len(fields[i].Value))
	}
}

// ends keeps the end of an answer until what is before it was passed on. There are no fields when the server forgot them.
func (sh *shard) ends(c *call, fields []http2.Field) {
	c.trailers, c.last = append(c.trailers[:0], fields...), true
	if len(c.out) == 0 {
		sh.finished(c)
	}
}

// finished passes the end of an answer on.
func (sh *shard) finished(c *call) {
	co := c.link.Conn
	c.Now = sh.loop.Now()
	sh.judge(c, c.trailers)
	if len(c.trailers) > 0 {
		co.answer(c, c.trailers, true)
	} else if !co.conn.Closed() {
		co.conn.SetOut(http2.AppendData(co.conn.Out(http2.HeadSize), c.id, true, nil))
	}
	c.hush()
	sh.over(c)
}

// failed ends an attempt that has no answer, and sends the request elsewhere when the runtime says so.
func (sh *shard) failed(c *call, fault *resources.Fault) {
	c.Now = sh.loop.Now()
	c.Fault, c.Outcome = fault, resources.OutcomeOf(fault)
	if !c.kept {
		c.Retry = resources.RetryNever
	}
	if !sh.retry(c) {
		sh.say(c) // which may be by now that there is no other endpoint
		sh.finish(c)
	}
}

// retry ends an attempt and sends the request to the endpoint that the runtime chose next, if it did.
func (sh *shard) retry(c *call) bool {
	if sh.rt.End(&c.Call) != resources.Again {
		return false
	}
	c.forget(http2.Cancel)
	c.moved = c.Now
	sh.send(c, c.Endpoint)
	return true
}

// timedOut answers a call whose time is over.
func (sh *shard) timedOut(c *call) {
	leg := c.up
	if leg == nil {
		if c.last { // the server is done; the client does not take the answer
			c.Outcome = resources.OutcomeCanceled
			c.link.Conn.rst(c.id, http2.Cancel)
			sh.over(c)
			return
		}
		sh.fault(c, fault(resources.Timeout, sh.rt.Name(), "a command held the call back for longer than its time"))
		return
	}
	u := leg.u
	code, what, unsent := resources.Timeout, "no answer from "+u.ep.Address+" in time", false
	if !c.begun {
		c.Sent = resources.SentSome
	}
	switch {
	case u.conn == nil: // whoever reads the error should know that nothing can have been executed
		c.Sent = resources.SentNothing
		code, what = resources.Unavailable, "no connection to "+u.ep.Address+" in time"
	case leg.id == 0:
		c.Sent = resources.SentNothing
		what = u.ep.Address + " has no stream left for a call in time"
	case leg.begin >= u.conn.Sent():
		c.Sent, unsent = resources.SentNothing, true
		what = u.ep.Address + " took no request in time"
	}
	c.forget(http2.Cancel)
	sh.fault(c, u.fault(code, what))
	u.overdue(unsent)
}

// canceled ends a call whose client does not want the answer.
func (sh *shard) canceled(c *call) {
	c.ended = true
	c.Outcome = resources.OutcomeCanceled
	sh.over(c)
}

// abandon ends a call because the agent does.
func (sh *shard) abandon(c *call) {
	c.forget(http2.Cancel)
	sh.fault(c, fault(resources.Unknown, sh.rt.Name(), "the agent closed the resource before the answer came; the request may have been executed"))
}
