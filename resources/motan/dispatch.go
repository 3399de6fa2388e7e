package motan

import (
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/resources"
)

// maxKept is the longest request that is copied to be sent again.
const maxKept = 64 << 10

// timeout returns how long a call may take, in nanoseconds; some bound even when the policy sets none.
func (sh *shard) timeout() int64 {
	if t := int64(sh.rt.Policy().Timeout); t > 0 {
		return t
	}
	return 60e9
}

// begin makes a call of a request and sends it where it belongs.
func (sh *shard) begin(l *link, q *incoming) {
	c, raw, desc := sh.newCall(), q.raw, &q.desc
	c.link, c.head, c.v1, c.desc = l, q.head, q.v1, *desc
	c.Session, c.View = l.Session, c
	c.Start = sh.loop.Now()
	m := sh.method(desc.Method)
	c.Op, c.Class, c.Retry = m.op, m.class, m.retry
	c.ReqBytes = int64(len(raw))
	c.HasKey = true
	if len(desc.Hash) > 0 {
		c.OnlyKey, c.Call.Key = desc.Hash, xxhash.Sum64(desc.Hash)
	} else {
		c.Call.Key = sh.random.Next()
	}
	if len(desc.Trace) > 0 {
		c.Trace, _ = resources.ParseTraceParent(desc.Trace)
	}
	l.Conn.add(c)
	stop := sh.rt.Begin(&c.Call)
	if c.Stages != nil {
		c.Stages.First, c.Stages.Out = l.Conn.partial, l.Conn.conn
	}
	if stop != nil {
		sh.stopped(c, stop)
		return
	}
	sh.setDeadline(c, desc.Timeout)
	switch {
	case c.Delay > 0:
		c.keep(raw)
		c.held = true
		sh.wheel.set(c, min(c.Start+c.Delay, c.Deadline))
		return
	case len(raw) <= maxKept && c.Retry != resources.RetryNever:
		c.keep(raw)
	}
	sh.route(c, q.frame, raw)
}

// setDeadline bounds a call by what the caller asks for, in ms, 0 for nothing, and by what a caller may ask for.
func (sh *shard) setDeadline(c *call, asked int64) {
	if asked > 0 {
		most := sh.r.set.MaxTimeout.Fraction() * float64(sh.timeout())
		c.Deadline = c.Start + min(asked*1e6, int64(most))
	} else if c.Deadline == 0 {
		c.Deadline = c.Start + sh.timeout()
	}
}

// stopped answers a call that a filter ended.
func (sh *shard) stopped(c *call, stop *resources.Stop) {
	sh.out = sh.r.AppendStop(sh.out[:0], &c.Call, stop)
	c.Fault, c.Outcome, c.RespBytes = stop.Fault, stop.Outcome, int64(len(sh.out))
	c.link.Conn.answer(c, sh.out)
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
	sh.wheel.clear(c)
	co.remove(c)
	sh.recycle(c)
	co.finished()
}

// route places a call and sends it. Its request is the frame f or, in Motan1, raw.
func (sh *shard) route(c *call, f *motan2.Frame, raw []byte) {
	ep, fault := sh.rt.Route(&c.Call)
	if fault != nil {
		c.Sent = resources.SentNothing
		sh.fault(c, fault)
		return
	}
	sh.send(c, ep, f, raw)
}

// fault ends a call with a fault.
func (sh *shard) fault(c *call, fault *resources.Fault) {
	c.Fault, c.Outcome = fault, resources.OutcomeOf(fault)
	sh.say(c)
	sh.over(c)
}

// say answers a call with its fault.
func (sh *shard) say(c *call) {
	sh.out = c.appendFault(sh.out[:0], c.Fault)
	c.RespBytes = int64(len(sh.out))
	c.link.Conn.answer(c, sh.out)
}

// send sends a call to ep, which it was placed on.
func (sh *shard) send(c *call, ep *resources.Endpoint, f *motan2.Frame, raw []byte) {
	u := sh.pool(ep).lane(c.ReqBytes)
	if u.queued() > maxQueued {
		sh.failed(c, u.fault(resources.Unavailable, ep.Address+" does not take requests"))
		return
	}
	sh.write(c, u, ep, f, raw)
	if c.oneway() && u.conn != nil {
		sh.gone(c)
		return
	}
	sh.arm(c)
}

// write sends a call on a connection to ep.
func (sh *shard) write(c *call, u *upstream, ep *resources.Endpoint, f *motan2.Frame, raw []byte) {
	if c.v1 != 0 {
		u.send1(c, raw)
		return
	}
	u.send(c, f, sh.changes(c, ep))
}

// changes are what a request's metadata is to say otherwise: the endpoint's group, because servers have their services by
// group, the time that is left, and what callers may leave out.
func (sh *shard) changes(c *call, ep *resources.Endpoint) []motan2.Edit {
	d := &c.desc
	out := sh.edits[:0]
	if group := sh.r.set.group(ep.Group); string(d.Group) != group || len(d.LongGroup) > 0 && string(d.LongGroup) != group {
		sh.out = append(sh.out[:0], group...)
		out = append(out, motan2.Edit{Key: motan2.KeyGroup, Value: sh.out}, motan2.Edit{Key: motan2.KeyLongGroup, Value: sh.out, Replace: true})
	}
	left := max(1, (c.Deadline-max(c.Routed, sh.loop.Now()))/1e6)
	out = append(out, motan2.Edit{Key: motan2.KeyTimeout, Value: strconv.AppendInt(sh.numbers[0][:0], left, 10)})
	if d.RequestID == nil {
		out = append(out, motan2.Edit{Key: motan2.KeyRequestID, Value: strconv.AppendInt(sh.numbers[1][:0], int64(c.head.ID), 10)})
	}
	if len(d.Source) == 0 {
		out = append(out, motan2.Edit{Key: motan2.KeySource, Value: c.link.Source})
	}
	if c.Trace.Sampled {
		out = append(out, motan2.Edit{Key: motan2.KeyTrace, Value: resources.AppendTraceParent(sh.trace[:0], &c.Trace)})
	}
	return out
}

// arm wakes a call when something is to be done about it.
func (sh *shard) arm(c *call) {
	at := c.Deadline
	if c.Backup > 0 && c.up2 == nil {
		at = min(at, c.Start+c.Delay+c.Backup)
	}
	sh.wheel.set(c, at)
}

// wake is called when a call's time has come.
func (sh *shard) wake(c *call, now int64) {
	switch {
	case now >= c.Deadline:
		sh.timedOut(c)
	case c.held:
		c.held = false
		sh.route(c, sh.again(c), c.frame)
	default:
		sh.backUp(c)
		sh.arm(c)
	}
}

// again reads the request of a call anew; nil when it is in Motan1. The frame is valid until the next one is read.
func (sh *shard) again(c *call) *motan2.Frame {
	if c.v1 != 0 {
		return nil
	}
	f := &sh.frame
	if ok, err := f.Scan(c.frame, len(c.frame)); !ok || err != nil {
		panic("motan: a request that was read once cannot be read again")
	}
	c.desc = f.Meta.Call()
	return f
}

// backUp sends a call a second time, to another endpoint. The first answer wins; the other is dropped when it comes.
func (sh *shard) backUp(c *call) {
	ep := sh.rt.Backup(&c.Call)
	c.Backup = 0
	if ep == nil || c.up == nil || c.kept() == nil {
		return
	}
	u := sh.pool(ep).lane(c.ReqBytes)
	if u == c.up || u.queued() > maxQueued {
		return
	}
	sh.write(c, u, ep, sh.again(c), c.frame)
}

// dropOther makes u the only connection that answers a call.
func (c *call) dropOther(u *upstream) {
	if c.up2 == nil {
		return
	}
	if c.up == u {
		c.up2.forget(c.id2)
	} else {
		c.up.forget(c.id)
		c.up, c.id = c.up2, c.id2
	}
	c.up2 = nil
}

// elsewhere reports whether a call whose connection u is lost may still be answered on another one.
func (c *call) elsewhere(u *upstream) bool {
	if c.up2 == nil {
		return false
	}
	if c.up == u {
		c.up, c.id = c.up2, c.id2
	}
	c.up2 = nil
	return true
}

// forget makes sure that no connection answers a call.
func (c *call) forget() {
	if c.up2 != nil {
		c.up2.forget(c.id2)
	}
	if c.up != nil {
		c.up.forget(c.id)
	}
	c.up, c.up2 = nil, nil
}

// answered deals with the reply to a call.
func (sh *shard) answered(c *call, f *motan2.Frame, raw []byte) {
	c.Now, c.RespBytes = sh.loop.Now(), int64(len(raw))
	c.Outcome = resources.OutcomeOK
	if f.Status != motan2.StatusNormal {
		if c.Outcome = resources.OutcomeError; !business(f) {
			c.Outcome = resources.OutcomeFailed
		}
		if fault, code, ok := unserved(f); ok && c.kept() != nil {
			sh.refused(c, fault, code, f.Meta.Get(motan2.KeyUnsent) != nil, raw)
			return
		}
	}
	c.link.Conn.answer(c, raw)
	sh.over(c)
}

// refused sends a call elsewhere that its server did not execute, or perhaps not. unreached: an agent in between says so, for servers
// that never got it. When it may not go elsewhere, the client gets the server's own answer.
func (sh *shard) refused(c *call, fault resources.Code, code int, unreached bool, raw []byte) {
	c.Sent, c.Declined = resources.SentNothing, !unreached
	if fault == resources.Unknown {
		c.Sent = resources.SentSome
	}
	c.Fault = c.up.fault(fault, c.Endpoint.Address+" refused the request with code "+strconv.Itoa(code))
	c.Outcome = resources.OutcomeOf(c.Fault)
	if !sh.retry(c) {
		c.link.Conn.answer(c, raw)
		sh.finish(c)
	}
}

// failed ends an attempt that has no answer, and sends the request elsewhere when the runtime says so.
func (sh *shard) failed(c *call, fault *resources.Fault) {
	c.Now = sh.loop.Now()
	c.Fault, c.Outcome = fault, resources.OutcomeOf(fault)
	if c.kept() == nil {
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
	c.forget()
	sh.send(c, c.Endpoint, sh.again(c), c.frame)
	return true
}

// timedOut answers a call whose time is over. A reply that still comes is dropped.
func (sh *shard) timedOut(c *call) {
	u := c.up
	if u == nil {
		sh.fault(c, resources.NewFault(resources.Timeout, resources.FromAgent, sh.rt.Name(), "a command held the call back for longer than its time"))
		return
	}
	code, what, unsent := resources.Timeout, "no answer from "+u.ep.Address+" in time", false
	c.Sent = resources.SentSome
	switch e := u.find(c.id); {
	case u.conn == nil: // whoever reads the error should know that nothing can have been executed
		c.Sent = resources.SentNothing
		code, what = resources.Unavailable, "no connection to "+u.ep.Address+" in time"
	case e != nil && e.end > u.conn.Sent():
		unsent = true
		what = u.ep.Address + " took no request in time"
		if e.begin >= u.conn.Sent() {
			c.Sent = resources.SentNothing
		}
	}
	c.forget()
	sh.fault(c, u.fault(code, what))
	u.overdue(unsent)
}

// gone ends a oneway call, which was handed to its connection.
func (sh *shard) gone(c *call) {
	c.forget()
	c.Outcome, c.Sent = resources.OutcomeOK, resources.SentSome
	sh.over(c)
}

// canceled ends a call whose client is gone.
func (sh *shard) canceled(c *call) {
	c.forget()
	c.Outcome = resources.OutcomeCanceled
	sh.over(c)
}

// abandon ends a call because the agent does.
func (sh *shard) abandon(c *call) {
	c.forget()
	sh.fault(c, resources.NewFault(resources.Unknown, resources.FromAgent, sh.rt.Name(), "the agent closed the resource before the answer came; the request may have been executed"))
}
