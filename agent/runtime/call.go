package runtime

import (
	"sync/atomic"

	"github.com/sluice-mesh/sluice/agent/balance"
	"github.com/sluice-mesh/sluice/agent/cluster"
	"github.com/sluice-mesh/sluice/agent/ha"
	"github.com/sluice-mesh/sluice/resources"
)

// counter is a part of the counters that every call changes; parts keep sessions of different cores apart.
type counter struct {
	begun atomic.Int64
	ended atomic.Int64
	_     [112]byte // two cache lines, which is what processors fetch at once
}

const counters = 16

// Call.Rule holds, in its low bits, the index of the call's rule plus one (0: Begin did not look), and above them of
// what kind the current attempt is.
const (
	ruleBits = 12
	ruleMask = 1<<ruleBits - 1
	maxRules = ruleMask - 1
)

// accounts counts, as the first filter of every chain, the calls that begin and end. A part of a call that a driver
// split, whose Depth is 0, passes it by.
type accounts struct{ counters [counters]counter }

func (a *accounts) OnCall(c *resources.Call) *resources.Stop {
	s := c.Session
	a.counters[s.ID%counters].begun.Add(1)
	s.Calls.Add(1)
	if op := uint32(c.Op); s.LastOp.Load() != op {
		s.LastOp.Store(op)
	}
	return nil
}

func (a *accounts) OnDone(c *resources.Call) { a.counters[c.Session.ID%counters].ended.Add(1) }

// begun returns how many calls ever began.
func (a *accounts) begun() int64 {
	n := int64(0)
	for i := range a.counters {
		n += a.counters[i].begun.Load()
	}
	return n
}

// open returns how many calls began and have not ended.
func (a *accounts) open() int64 {
	ended := int64(0)
	for i := range a.counters { // before begun, so that the difference is never negative
		ended += a.counters[i].ended.Load()
	}
	return a.begun() - ended
}

// Begin implements [resources.Runtime].
func (r *Resource) Begin(c *resources.Call) *resources.Stop {
	sn := r.snapshot.Load()
	c.Snapshot = sn
	c.Rule, c.Depth, c.Attempt, c.Slow, c.Declined = 1, 0, 0, false, false
	c.Deadline, c.Delay, c.Backup, c.Routed = 0, 0, 0, 0
	c.Outcome, c.Fault, c.Redirect, c.Stages = resources.OutcomeOK, nil, nil, nil
	if !c.Pinned {
		c.Endpoint = nil
	}
	if sn.timeout > 0 {
		c.Deadline = c.Start + sn.timeout
	}
	for i := 1; i < len(sn.rules); i++ {
		if sn.rules[i].selector.Match(c) {
			c.Rule = uint16(i + 1)
			break
		}
	}
	if r.pressure.Refuses() && !excused(c) {
		return r.refuseShort(sn, c)
	}
	return sn.ask(sn.filters, c)
}

// ask runs filters, the first ones of the chain or all of it, until one stops the call.
func (sn *snapshot) ask(filters []resources.Filter, c *resources.Call) *resources.Stop {
	for i, f := range filters {
		if stop := f.OnCall(c); stop != nil {
			c.Depth = uint8(i + 1)
			c.Outcome, c.Fault = stop.Outcome, stop.Fault
			return stop
		}
	}
	c.Depth = uint8(len(filters))
	return nil
}

// Route implements [resources.Runtime].
func (r *Resource) Route(c *resources.Call) (*resources.Endpoint, *resources.Fault) {
	sn := r.snapshot.Load()
	at := c.Start + c.Delay // what is held back on purpose is no latency of the endpoint
	var avoid *balance.Node
	if c.Attempt > 0 {
		at = max(c.Now, c.Start)
		if m := member(c.Endpoint); m != nil {
			avoid = &m.Node
		}
	}
	if c.Pinned && c.Endpoint != nil {
		return r.place(c, c.Endpoint, at), nil
	}
	rule := r.ruleOf(sn, c)
	node := r.pick(sn, rule, c, at, avoid)
	if node == nil {
		return nil, rule.nowhere[wanted(sn, c)]
	}
	if sn.backup && ha.MayBackUp(c) {
		c.Backup = r.backups.After(c.Op)
		if sn.strategy != nil {
			c.Backup = sn.strategy.BackUp(c, c.Backup)
		}
	}
	return r.place(c, node.Endpoint, at), nil
}

// ruleOf returns the rule that routes a call under sn, the newest snapshot. When that is not the one under which the
// call began, the commands that came since are asked as far as they can still be: keys are known only while Begin
// runs.
func (r *Resource) ruleOf(sn *snapshot, c *resources.Call) *rule {
	found := int(c.Rule & ruleMask)
	if began, ok := c.Snapshot.(*snapshot); ok && found > 0 {
		if began == sn {
			return &sn.rules[found-1]
		}
		return sn.ruleSince(c, began.rules[found-1].id)
	}
	return sn.ruleSince(c, "")
}

func (sn *snapshot) ruleSince(c *resources.Call, id string) *rule {
	for i := 1; i < len(sn.rules); i++ {
		if rule := &sn.rules[i]; rule.id == id || rule.viewless && rule.selector.Match(c) {
			return rule
		}
	}
	return &sn.rules[0]
}

// place puts an attempt on an endpoint.
func (r *Resource) place(c *resources.Call, ep *resources.Endpoint, at int64) *resources.Endpoint {
	if at == 0 { // which would mean that it is not routed
		at = 1
	}
	c.Endpoint, c.Routed = ep, at
	ep.Inflight.Add(1)
	return ep
}

// End implements [resources.Runtime].
func (r *Resource) End(c *resources.Call) resources.Next {
	sn, ok := c.Snapshot.(*snapshot)
	if !ok {
		return resources.Done // it ended already
	}
	if c.Routed != 0 {
		r.attemptEnded(c)
		if c.Redirect != nil {
			if r.redirected(c) {
				return resources.Again
			}
		} else if sn.law.May(c) && (sn.strategy == nil || sn.strategy.Again(c)) && r.again(c, sn.law.Spent(c)) {
			return resources.Again
		}
	}
	c.Snapshot = nil
	for i := int(c.Depth) - 1; i >= 0; i-- {
		sn.filters[i].OnDone(c)
	}
	return resources.Done
}

// attemptEnded closes the books of an attempt.
func (r *Resource) attemptEnded(c *resources.Call) {
	c.Endpoint.Inflight.Add(-1)
	outcome := c.Outcome
	if c.Redirect != nil {
		outcome = resources.OutcomeOK // the endpoint works; it only is the wrong one
	}
	if m := member(c.Endpoint); m != nil {
		m.Done(outcome, c.Class, c.Now-c.Routed, c.Now)
	}
	if kind := c.Rule >> ruleBits; kind != retryNone {
		r.retries[kind][c.Outcome].Add(1)
		c.Rule &= ruleMask
	}
}

// maxRedirects is how often a call follows its upstreams' word of where to go.
const maxRedirects = 5

// redirected places a call on the endpoint that its upstream named. Nothing was executed and the servers asked for
// it, so this takes no budget; but it ends with the deadline, and with servers that send it round in circles.
func (r *Resource) redirected(c *resources.Call) bool {
	to := c.Redirect
	c.Redirect = nil
	if c.Attempt >= maxRedirects || to.Gone() || c.Pinned || c.Sent == resources.SentAnswered ||
		c.Deadline != 0 && c.Now >= c.Deadline {
		return false
	}
	c.Attempt++
	c.Rule |= retryRedirect << ruleBits
	r.place(c, to, c.Now)
	anew(c)
	return true
}

// again routes a call that may be tried once more and reports whether it found budget and an endpoint. Without an
// endpoint the call ends with the fault that says so. What package ha calls unsent needs no budget, unless it would go to the same
// endpoint again.
//
// A call whose tries are spent and of which nothing was sent goes on as long as there is another endpoint that is not known to refuse
// connections.
func (r *Resource) again(c *resources.Call, spent bool) bool {
	failed, free := c.Endpoint, ha.Unsent(c)
	if !free && !r.take() {
		return false
	}
	c.Attempt++
	c.Routed = 0
	ep, fault := r.Route(c)
	if fault != nil {
		c.Attempt--
		c.Fault, c.Outcome = fault, resources.OutcomeOf(fault)
		return false
	}
	if spent && (ep == failed || refuses(ep)) || free && ep == failed && !r.take() {
		c.Attempt--
		c.Endpoint, c.Routed = failed, 0
		ep.Inflight.Add(-1)
		return false
	}
	c.Rule |= retryFailover << ruleBits
	anew(c)
	return true
}

// take takes the budget of a retry, and counts that there is none.
func (r *Resource) take() bool {
	ok := r.budget.Take(ha.Retry, r.accounts.begun())
	if !ok {
		r.noBudget[retryFailover].Add(1)
	}
	return ok
}

// anew forgets how the attempt before went.
func anew(c *resources.Call) {
	c.Sent, c.Declined, c.Outcome, c.Fault, c.RespBytes = resources.SentNothing, false, resources.OutcomeOK, nil, 0
	if c.Stages != nil {
		c.Stages.Again()
	}
}

// Backup implements [resources.Runtime]. The second copy is no attempt of its own: the call stays on the books of the
// endpoint that Route chose, which is why the driver leaves c.Endpoint alone, and ends once, whoever answers first.
func (r *Resource) Backup(c *resources.Call) *resources.Endpoint {
	m := member(c.Endpoint)
	if c.Backup == 0 || c.Routed == 0 || m == nil || !ha.MayBackUp(c) {
		return nil
	}
	sn := r.snapshot.Load()
	node := r.pick(sn, r.ruleOf(sn, c), c, c.Start+c.Backup, &m.Node)
	if node == nil || node == &m.Node || node.Endpoint.GroupID != c.Endpoint.GroupID { // another group may hold other data
		return nil
	}
	if other := member(node.Endpoint); other != nil && !other.Sound() { // it is not likely to be faster
		return nil
	}
	if !r.budget.Take(ha.BackUp, r.accounts.begun()) {
		r.noBudget[retryBackup].Add(1)
		return nil
	}
	c.Rule |= retryBackup << ruleBits
	return node.Endpoint
}

// Spare implements [resources.Runtime]. What is spared is counted as it is asked for: the calls go on as they were.
func (r *Resource) Spare(n int) bool {
	if !r.budget.TakeAll(ha.Retry, int64(n), r.accounts.begun()) {
		r.noBudget[retryAside].Add(int64(n))
		return false
	}
	r.retries[retryAside][resources.OutcomeOK].Add(int64(n))
	return true
}

// refuses reports whether an endpoint is known to take no connections.
func refuses(ep *resources.Endpoint) bool {
	m := member(ep)
	return m != nil && m.Refuses()
}

func member(ep *resources.Endpoint) *cluster.Member {
	if ep == nil {
		return nil
	}
	return cluster.Of(ep)
}
