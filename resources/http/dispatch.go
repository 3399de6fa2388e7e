package http

import (
	"errors"
	"os"

	"github.com/cespare/xxhash/v2"

	"github.com/sluice-mesh/sluice/protocols/http1"
	"github.com/sluice-mesh/sluice/resources"
)

// neverAgain is what a call may be once part of its body was passed on, which is not kept.
const neverAgain = resources.RetryNever

// timeout returns how long a call may wait for its answer to begin, in ns; some bound even when the policy sets none.
func (sh *shard) timeout() int64 {
	if t := int64(sh.rt.Policy().Timeout); t > 0 {
		return t
	}
	return 3600e9
}

// begin makes a call of a request and sends it where it belongs.
func (sh *shard) begin(l *link, r *http1.Request, body []byte) {
	c, co := sh.newCall(), l.Conn
	c.link, c.co, co.c = l, co, c
	l.Add()
	c.Session, c.View = l.Session, c
	c.Start = sh.loop.Now()
	c.method, c.minor, c.keep, c.expect = r.Method, r.Minor, r.Reusable(), r.Continue && co.streaming
	c.size, c.verb, c.path = int64(r.Size), r.MethodText, r.Path()
	c.wants = r.Method == http1.GET && r.Minor > 0 && len(r.Upgrade) > 0 && !co.streaming && !http1.EqualFold(r.Upgrade, "h2c")
	sh.describe(c, r)
	c.ReqBytes = int64(r.Size+len(body)) + co.body.Left()
	c.HasKey, c.OnlyKey = true, c.path
	if v := r.Get(sh.r.key); sh.r.key != "" && len(v) > 0 {
		c.Call.Key = xxhash.Sum64(v)
	} else {
		c.Call.Key = sh.random.Next()
	}
	if t := r.Last(http1.TraceParent); t != nil {
		c.Trace, _ = resources.ParseTraceParent(t)
	}
	stop := sh.rt.Begin(&c.Call)
	if c.Stages != nil {
		c.Stages.First, c.Stages.Out = co.began, co.conn
	}
	if stop != nil {
		sh.stopped(c, stop)
		return
	}
	if co.streaming {
		c.ReqBytes -= co.body.Left() // counted as it comes
	}
	if c.Deadline == 0 {
		c.Deadline = c.Start + sh.timeout()
	}
	sh.render(c, r, body)
	c.verb, c.path, c.OnlyKey = nil, nil, nil
	if most := int64(sh.r.set.MaxBody); most > 0 && max(int64(len(body)), co.body.Left()) > most {
		sh.tooLarge(c)
		return
	}
	if c.Delay > 0 {
		c.held = true
		sh.armCall(c)
		return
	}
	sh.route(c)
}

// stopped answers a call that a filter ended.
func (sh *shard) stopped(c *call, stop *resources.Stop) {
	c.settle()
	sh.out = sh.r.AppendStop(sh.out[:0], &c.Call, stop)
	c.Fault, c.Outcome, c.RespBytes = stop.Fault, stop.Outcome, int64(len(sh.out))
	c.co.conn.Write(sh.out)
	sh.over(c)
}

// settle decides whether the client's connection goes on, before the client is told.
func (c *call) settle() { c.keep = c.keep && !c.co.ends() }

// over ends a call that is not to be tried again, and lets go of it.
func (sh *shard) over(c *call) {
	c.Now = max(c.Now, sh.loop.Now())
	c.Retry = neverAgain
	sh.rt.End(&c.Call)
	sh.finish(c)
}

// finish lets go of a call that ended.
func (sh *shard) finish(c *call) {
	sh.forget(c)
	l, co, keep := c.link, c.co, c.keep
	sh.recycle(c)
	co.finished(keep)
	l.Done()
}

// forget gives up what a call waits for. A connection whose answer is not whole serves nobody else.
func (sh *shard) forget(c *call) {
	for _, a := range [...]*attempt{&c.first, &c.backup} {
		u, p, waits := a.up, a.pool, a.ticket != 0
		*a = attempt{}
		if waits {
			p.waiting--
		}
		if u != nil {
			u.c = nil
			u.close(errDone)
		}
	}
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

// send sends a call to ep, which it was placed on, or makes it wait for a connection.
func (sh *shard) send(c *call, ep *resources.Endpoint) {
	sh.armCall(c)
	sh.pool(ep).want(c, &c.first)
}

// give sends a call on a connection that is free.
func (sh *shard) give(c *call, a *attempt, u *upstream) {
	a.up, a.ticket = u, 0
	u.take(c)
	if c.method == http1.CONNECT {
		sh.connected(c, u)
		return
	}
	u.conn.Write(c.req)
	if c.Stages != nil {
		c.placed(u)
	}
	if co := c.co; co.streaming {
		if c.expect {
			c.expect = false
			co.conn.Write(goOn)
		}
		co.conn.Resume()
		sh.armCall(c)
	}
}

// placed notes that a watched call has a connection. What is to come of its body is noted when it has come.
func (c *call) placed(u *upstream) {
	if c.co.streaming {
		c.Stages.Placed(nil)
	} else {
		c.Stages.Placed(u.conn)
	}
}

var goOn = []byte("HTTP/1.1 100 Continue\r\n\r\n")

// backUp sends a call a second time, to another endpoint. The first answer wins.
func (sh *shard) backUp(c *call) {
	ep := sh.rt.Backup(&c.Call)
	c.Backup = 0
	if ep == nil || c.first.up == nil || c.co.streaming || c.wants {
		return
	}
	sh.pool(ep).want(c, &c.backup)
}

// won makes u the only connection that answers a call.
func (sh *shard) won(c *call, u *upstream) {
	if c.backup.on(u) {
		c.first, c.backup = c.backup, c.first
	}
	keep := c.first
	c.first = attempt{}
	sh.forget(c)
	c.first = keep
}

// missed ends an attempt that has no answer: of a call that may still be answered by another one, only that.
func (sh *shard) missed(c *call, a *attempt, fault *resources.Fault, sent resources.Sent) {
	*a = attempt{}
	if a == &c.first {
		c.first, c.backup = c.backup, attempt{}
	}
	if !c.first.open() {
		c.Sent = sent
		sh.failed(c, fault)
	}
}

// fault ends a call with a fault.
func (sh *shard) fault(c *call, fault *resources.Fault) {
	c.Fault, c.Outcome = fault, resources.OutcomeOf(fault)
	sh.say(c)
	sh.over(c)
}

// say answers a call with its fault.
func (sh *shard) say(c *call) {
	c.settle()
	sh.out = appendFault(sh.out[:0], c.Fault, c.keep, c.method)
	c.RespBytes = int64(len(sh.out))
	c.co.conn.Write(sh.out)
}

// failed ends an attempt that has no answer, and sends the request elsewhere when the runtime says so.
func (sh *shard) failed(c *call, fault *resources.Fault) {
	c.Now = sh.loop.Now()
	c.Fault, c.Outcome = fault, resources.OutcomeOf(fault)
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
	sh.forget(c)
	sh.send(c, c.Endpoint)
	return true
}

// timedOut answers a call whose time is over.
func (sh *shard) timedOut(c *call) { sh.fault(c, sh.late(c)) }

// late is the fault of a call whose time is over.
func (sh *shard) late(c *call) *resources.Fault {
	u := c.first.up
	switch {
	case c.held:
		return resources.NewFault(resources.Timeout, resources.FromAgent, sh.rt.Name(), "a command held the call back for longer than its time")
	case u == nil: // whoever reads the error should know that nothing can have been executed
		c.Sent = resources.SentNothing
		return sh.upstreamFault(resources.Unavailable, "no connection to "+c.Endpoint.Address+" in time")
	case c.answering:
		c.Sent = resources.SentAnswered
	default:
		c.Sent = u.sent()
	}
	return sh.upstreamFault(resources.Timeout, "no answer from "+u.ep.Address+" in time")
}

// stalled ends a call of which nothing moves: the client does not read or send, or the server does not.
func (sh *shard) stalled(c *call) {
	u, co := c.first.up, c.co
	switch {
	case co.conn.Pending() > 0, co.streaming && !c.answering && u != nil && u.conn.Pending() == 0:
		co.conn.Close(errStalled) // which cancels the call
	case c.answering:
		sh.cut(c, sh.upstreamFault(resources.Timeout, u.ep.Address+" stopped in the middle of its answer"))
	default:
		c.Sent = resources.SentSome
		sh.fault(c, sh.upstreamFault(resources.Timeout, u.ep.Address+" stopped reading the request"))
	}
}

// cut ends a call of whose answer the client has a part. The end of the connection tells it that the rest is missing.
func (sh *shard) cut(c *call, fault *resources.Fault) {
	co, blind := c.co, c.blind
	c.keep, c.Sent = false, resources.SentAnswered
	c.Fault, c.Outcome = fault, resources.OutcomeOf(fault)
	sh.over(c)
	if blind {
		co.conn.Abort(fault)
		return
	}
	co.close()
}

// badBody ends a call whose request turned out to be none.
func (sh *shard) badBody(c *call, err error) {
	co, answering := c.co, c.answering
	sh.canceled(c)
	if answering {
		co.conn.Close(err)
		return
	}
	co.bad(err)
}

// tooLarge ends a call whose body is longer than the settings allow.
func (sh *shard) tooLarge(c *call) {
	fault := resources.NewFault(resources.TooLarge, resources.FromClient, sh.rt.Name(), "the body is longer than settings.max-body, "+sh.r.set.MaxBody.String())
	if c.answering {
		sh.cut(c, fault)
		return
	}
	sh.fault(c, fault)
}

// gone ends a call whose client is gone. err is os.ErrDeadlineExceeded when that is a gateway, and its caller's time is over.
func (sh *shard) gone(c *call, err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.Fault = sh.late(c)
		sh.leave(c, resources.OutcomeOf(c.Fault))
		return
	}
	sh.canceled(c)
}

// canceled ends a call whose client does not want the answer.
func (sh *shard) canceled(c *call) { sh.leave(c, resources.OutcomeCanceled) }

// leave ends a call that nobody is to be answered.
func (sh *shard) leave(c *call, outcome resources.Outcome) {
	c.keep = false
	c.Outcome = outcome
	c.co.c = nil
	c.Now = max(c.Now, sh.loop.Now())
	c.Retry = neverAgain
	sh.rt.End(&c.Call)
	sh.forget(c)
	l := c.link
	sh.recycle(c)
	l.Done()
}

// abandon ends a call because the agent does.
func (sh *shard) abandon(c *call) {
	fault := resources.NewFault(resources.Unknown, resources.FromAgent, sh.rt.Name(), "the agent closed the resource before the answer came; the request may have been executed")
	if c.answering {
		sh.cut(c, fault)
		return
	}
	sh.fault(c, fault)
}

func (sh *shard) upstreamFault(code resources.Code, what string) *resources.Fault {
	return resources.NewFault(code, resources.FromUpstream, sh.rt.Name(), what)
}
