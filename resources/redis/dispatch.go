package redis

import (
	"bytes"
	"errors"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
)

const (
	// maxMoves is how many redirects of a cluster one request follows.
	maxMoves = 5
	// againMost is the longest request that is sent again without being asked for, as for the runtime's extra attempts.
	againMost = 64 << 10
)

// timeout returns how long a request may take, in nanoseconds; some bound even when the policy sets none.
func (sh *shard) timeout() int64 {
	if t := int64(sh.rt.Policy().Timeout); t > 0 {
		return t
	}
	return 60e9
}

// send routes a call and queues its request on a shared connection. Failures are answered.
func (sh *shard) send(c *call, a *attr, req []byte) {
	ep, fault := sh.rt.Route(&c.Call)
	if fault != nil {
		sh.refuse(c, fault)
		return
	}
	sh.sendTo(c, ep, a, req)
}

// sendTo queues a routed call on a shared connection to ep.
func (sh *shard) sendTo(c *call, ep *resources.Endpoint, a *attr, req []byte) {
	u := sh.pool(ep, a).lane(c.s)
	if c.asked {
		c.asked = false
		at := u.write(asking)
		u.expect(nil, at)
	}
	u.submit(c, req)
}

var asking = []byte("*1\r\n$6\r\nASKING\r\n")

// refuse ends a call that no endpoint can take.
func (sh *shard) refuse(c *call, fault *resources.Fault) {
	c.Now = sh.loop.Now()
	c.Fault, c.Outcome, c.Sent = fault, resources.OutcomeOf(fault), resources.SentNothing
	c.Retry = resources.RetryNever // there is nothing left to try
	sh.end(c)
	c.s.fault(c, fault)
}

// end closes a call for good. The runtime may say Again to a failure only, and those go through failed.
func (sh *shard) end(c *call) {
	sh.rt.End(&c.Call)
}

// failed ends an attempt whose connection was lost, and sends the request elsewhere when the runtime says so. req are
// its bytes; nil when they were not kept.
func (sh *shard) failed(c *call, fault *resources.Fault, req []byte) {
	c.Now = sh.loop.Now()
	c.Fault, c.Outcome = fault, resources.OutcomeOf(fault)
	if c.parted {
		sh.end(c)
		c.answered = true // it ended; the session's end must not end it again
		c.s.cut(errors.New("the rest of a reply was lost"))
		return
	}
	if req == nil || c.Pinned || c.lease && c.s.n > 1 {
		c.Retry = resources.RetryNever // what the client sent behind it failed too, and must not run without it
	}
	if c.Sent == resources.SentSome && c.overtaken() {
		c.Retry = resources.RetryNever
	}
	sh.again(c, req, nil)
}

// overtaken reports whether a write that the client sent behind a call, on the same connection, may have been executed. A
// read that is repeated now would show the client what it wrote later.
func (c *call) overtaken() bool {
	first := c
	if c.whole != nil {
		if first = c.whole.whole; first == nil {
			return false
		}
	}
	for n := first.next; n != nil; n = n.next {
		if n.Class != resources.ClassRead && n.Retry != resources.RetryIdempotent && (n.up == c.up || n.parts != nil) {
			return true
		}
	}
	return false
}

// again ends an attempt and sends the request to the endpoint that the runtime chose next. native is the server's own
// error, which the client gets when there is no other endpoint.
func (sh *shard) again(c *call, req, native []byte) {
	s, a := c.s, c.s.attr
	if c.attr != nil {
		a = c.attr
	}
	if sh.rt.End(&c.Call) == resources.Again {
		c.up, c.up2 = nil, nil
		if c.lease {
			s.takePin(c, c.Endpoint, req)
			return
		}
		sh.sendTo(c, c.Endpoint, a, req)
		return
	}
	if native != nil {
		s.answer(c, native)
		return
	}
	s.fault(c, c.Fault)
}

// notExecuted reports whether an error reply says that the request was not executed and that another endpoint, or the
// same one later, may do it.
func notExecuted(b []byte) bool {
	i := bytes.IndexByte(b, ' ')
	if i < 0 {
		return false
	}
	switch string(b[1:i]) {
	case "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "READONLY":
		return true
	}
	return false
}

// errored deals with an answer for which notExecuted holds; req is a copy of the request. It returns false when the
// client must get the answer as it is.
func (sh *shard) errored(c *call, b, req []byte) bool {
	if c.Pinned || c.attr != nil || req == nil || c.lease && c.s.n > 1 { // what the client sent behind it went the same way
		sh.r.refresh()
		return false
	}
	said := string(bytes.TrimRight(b[1:], "\r\n"))
	switch b[1] {
	case 'A':
		return sh.redirected(c, said, req)
	case 'M':
		if b[2] == 'O' {
			return sh.redirected(c, said, req)
		}
	case 'R':
		sh.rt.Report(c.Endpoint, resources.Health{Ready: true, Role: resources.RoleReplica})
	}
	sh.r.refresh()
	c.Sent = resources.SentNothing
	c.Fault = resources.NewFault(resources.Unavailable, resources.FromUpstream, sh.rt.Name(), c.Endpoint.Address+" answered "+said)
	c.Outcome = resources.OutcomeOf(c.Fault)
	sh.again(c, req, append([]byte(nil), b...))
	return true
}

// onHedge sends backup requests for what was not answered in time. The queue is in the order of time, so that calls that
// are answered, which is nearly all, cost nothing.
func (u *upstream) onHedge(now int64) {
	u.hedged = max(u.hedged, u.head)
	for ; u.hedged < u.tail; u.hedged++ {
		c := u.at(u.hedged).c
		if c == nil || c.Backup == 0 {
			continue
		}
		if at := c.Start + c.Backup; at > now {
			u.sh.loop.Set(&u.hedge, at)
			return
		}
		if c.up == u && c.up2 == nil && !c.parted && !c.aside && c.Attempt == 0 {
			u.sh.sendBackup(c)
		}
	}
}

// sendBackup sends a call a second time, to another endpoint. The first answer wins; the other is dropped when it comes.
func (sh *shard) sendBackup(c *call) {
	u := c.up
	if u.state != upReady || u.mode != modeShared || c.seq < u.head {
		return
	}
	req := u.request(u.at(c.seq))
	ep := sh.rt.Backup(&c.Call)
	if ep == nil || req == nil {
		return
	}
	v := sh.pool(ep, u.attr).lane(c.s)
	if v == u {
		return
	}
	begin := v.write(req)
	v.expect(c, begin)
}

// forgetOther drops the expectation of a call that was answered on u from the other connection that it was sent on.
func (c *call) forgetOther(u *upstream) {
	other, seq := c.up2, c.seq2
	if other == u {
		other, seq = c.up, c.seq
	}
	if other != nil && other.state != upClosed && seq >= other.head {
		other.disown(seq)
	}
	c.up2 = nil
}

// settle makes u, whose head answers a call, the only connection that may: a part of its reply goes to the client now.
func (c *call) settle(u *upstream) {
	c.forgetOther(u)
	c.up, c.seq = u, u.head
}

// dropOther reports whether a call that fails on u may still be answered on another connection; u then forgets it.
func (c *call) dropOther(u *upstream) bool {
	if c.up2 == nil {
		return false
	}
	if c.up == u {
		c.up, c.seq = c.up2, c.seq2
	}
	c.up2 = nil
	return c.up != nil && c.up.state != upClosed
}

// forget makes sure that no connection answers a call: its client is gone.
func (c *call) forget() {
	if c.up2 != nil {
		c.forgetOther(c.up)
	}
	if u := c.up; u != nil && u.state != upClosed && c.seq >= u.head && c.seq < u.tail && !bug.forgetsCanceled(u, c.seq) {
		u.disown(c.seq)
	}
}

// isError reports whether a reply is an error.
func isError(b []byte) bool { return len(b) > 0 && (b[0] == '-' || b[0] == '!') }

// value decodes a small reply; the zero Value when that fails.
func value(b []byte) resp.Value {
	v, _, err := resp.Decode(b)
	if err != nil {
		return resp.Value{}
	}
	return v
}
