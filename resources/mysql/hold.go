package mysql

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
)

// While a group has no primary and its servers answer, the primary is being replaced. What needs one then waits unsent,
// for settings.hold from the moment on at which the primary was missed, and whoever waits has the servers checked all the
// time. When no server answers there is nothing to wait for.

// placing is what a session knows of where its commands may be executed.
type placing struct {
	refusal  *mysql.ServerError // of a server that takes no writes, until the primary is found
	begun    uint8              // one of begunNot, begunNow, begunFirst
	reopened bool               // the transaction is to begin anew before the command
	seen     gtids              // what the session wrote
	gaveUp   int64              // when a replica last did not get there in time
	ending   atomic.Bool        // the command is COMMIT or ROLLBACK
	leaving  atomic.Bool        // there is no time left to wait for anything
}

// search is one group's search for its primary.
type search struct {
	mu      sync.Mutex
	since   int64 // when the primary was first missed; 0: it is not
	waiting int
	until   int64                        // servers are checked until then, also when nobody waits
	active  map[*resources.Endpoint]bool // are being checked
	news    chan struct{}                // closed after a check
}

// Pauses of a search.
const (
	searchEvery = 50 * time.Millisecond  // between two checks of a server
	searchFor   = 500 * time.Millisecond // after an error that says that something changed
	checkWithin = time.Second
)

// searchOf returns the search of a group.
func (r *Resource) searchOf(group int) *search {
	if v, ok := r.searches.Load(group); ok {
		return v.(*search)
	}
	v, _ := r.searches.LoadOrStore(group, &search{active: map[*resources.Endpoint]bool{}, news: make(chan struct{})})
	return v.(*search)
}

// regained notes that a group has somebody to write to.
func (r *Resource) regained(group int) {
	if v, ok := r.searches.Load(group); ok {
		f := v.(*search)
		f.mu.Lock()
		f.since = 0
		f.mu.Unlock()
	}
}

// recheck has the servers of a group checked at once and for a moment.
func (r *Resource) recheck(group int) {
	f := r.searchOf(group)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = clock.Now() + int64(searchFor)
	r.look(f, group)
}

// look starts the checks that do not run. f.mu is held.
func (r *Resource) look(f *search, group int) {
	r.looking.Lock()
	defer r.looking.Unlock()
	if r.ctx.Err() != nil {
		return
	}
	for _, ep := range r.rt.Endpoints() {
		if ep.GroupID == group && !f.active[ep] && !ep.Gone() {
			f.active[ep] = true
			r.work.Go(func() { r.check(f, ep) })
		}
	}
}

// check checks a server again and again, as long as somebody wants to know.
func (r *Resource) check(f *search, ep *resources.Endpoint) {
	p := r.Probe(ep)
	defer p.Close()
	t := time.NewTimer(searchEvery)
	defer t.Stop()
	for {
		ctx, cancel := context.WithTimeout(r.ctx, checkWithin)
		h, err := p.Check(ctx)
		cancel()
		if r.ctx.Err() == nil {
			if err != nil {
				h = resources.Health{Detail: err.Error()}
			}
			r.rt.Report(ep, h)
		}
		f.mu.Lock()
		close(f.news)
		f.news = make(chan struct{})
		if f.waiting == 0 && clock.Now() >= f.until || r.ctx.Err() != nil || ep.Gone() {
			delete(f.active, ep)
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
		t.Reset(searchEvery)
		select {
		case <-t.C:
		case <-r.ctx.Done():
		}
	}
}

// enter joins a search and returns when it is to be given up.
func (r *Resource) enter(f *search, group int) (end int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.since == 0 {
		f.since = clock.Now()
	}
	f.waiting++
	r.look(f, group)
	return f.since + int64(r.set.Hold)
}

func (f *search) leave(found bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting--
	if found {
		f.since = 0
	}
}

func (f *search) next() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.news
}

// hangUpEvery is how often one who waits looks whether the client is still there.
const hangUpEvery = 100 * time.Millisecond

// await waits until try says that it found what it looked for. It returns false when the time is over, no server of the
// group answers any more, or the client has left.
func (s *session) await(group int, try func() bool) (found bool) {
	if s.r.set.Hold <= 0 || !s.r.alive(group) {
		return false
	}
	s.aside(func() { found = s.awaitNow(group, try) })
	return found
}

func (s *session) awaitNow(group int, try func() bool) (found bool) {
	r := s.r
	f := r.searchOf(group)
	end := r.enter(f, group)
	if d := s.call.Deadline; d != 0 {
		end = min(end, d)
	}
	defer func() { f.leave(found) }()
	t := time.NewTimer(hangUpEvery)
	defer t.Stop()
	for {
		news := f.next()
		if found = try(); found {
			return true
		}
		now := clock.Now()
		if now >= end || !r.alive(group) || r.ctx.Err() != nil {
			return false
		}
		if s.leaving.Load() || s.hungUp() {
			s.over = true
			return false
		}
		t.Reset(min(hangUpEvery, time.Duration(end-now)))
		select {
		case <-news:
		case <-t.C:
		case <-r.ctx.Done():
		}
	}
}

// route asks for an endpoint, and waits for one while the primary that the command needs is being replaced.
func (s *session) route(c *resources.Call) (*resources.Endpoint, *resources.Fault) {
	s.noteBegin()
	if s.r.set.Causal != causalOff && s.r.withoutGTIDs() {
		c.Primary = true // nothing tells which replica has what
	}
	ep, fault := s.r.rt.Route(c)
	if c.Pinned || fault == nil && s.r.pool(ep).fit() || !s.needsPrimary(c) {
		return ep, fault
	}
	return s.hold(c, ep, fault)
}

// needsPrimary reports whether a command goes to the primary only.
func (s *session) needsPrimary(c *resources.Call) bool {
	return c.Primary || c.Class != resources.ClassRead || s.r.rt.Policy().Reads == "primary"
}

// hold waits for the primary, and routes the command to it. It begins with what Route found, which is what it returns when
// there is nothing to wait for.
func (s *session) hold(c *resources.Call, ep *resources.Endpoint, fault *resources.Fault) (*resources.Endpoint, *resources.Fault) {
	group := s.r.rt.Group(c)
	if ep != nil {
		group = ep.GroupID
	}
	if s.r.set.Hold <= 0 || !s.r.alive(group) {
		return ep, fault
	}
	if fault == nil {
		unroute(c)
	}
	found := s.await(group, func() bool {
		if ep, fault = s.r.rt.Route(c); fault != nil {
			return false
		}
		if s.r.pool(ep).fit() {
			return true
		}
		unroute(c)
		return false
	})
	switch {
	case found:
		c.Routed = clock.Now() // the wait is no latency of the endpoint
		return ep, nil
	case !s.r.alive(group):
		return s.r.rt.Route(c) // which fails at once, and says how
	}
	return nil, resources.NewFault(resources.Unavailable, resources.FromAgent, s.r.rt.Name(),
		"no server is the primary, and none became it within "+s.r.set.Hold.D().String()+" (settings.hold)")
}

// unroute takes a call back from the endpoint where Route has put it and where it was not tried.
func unroute(c *resources.Call) {
	if c.Routed != 0 {
		c.Endpoint.Inflight.Add(-1)
		c.Routed, c.Endpoint = 0, nil
	}
}

// maxHolds is how often one command goes back to waiting because the primary that it found could not be reached.
const maxHolds = 3

// again decides what becomes of a command whose endpoint could not be reached: nothing of it was sent, so that it may wait
// for the primary like one that comes later.
func (s *session) again(ep *resources.Endpoint, fault *resources.Fault, n int) (*resources.Endpoint, *resources.Fault, bool) {
	c := &s.call
	if fault == nil || ep == nil || n >= maxHolds || s.passed() || c.Pinned || c.Sent != resources.SentNothing || c.Redirect != nil ||
		fault.Code != resources.Unavailable || s.over || s.r.pool(ep).fit() || !s.needsPrimary(c) ||
		s.r.set.Hold <= 0 || !s.r.alive(ep.GroupID) {
		return nil, fault, false
	}
	to, f := s.hold(c, ep, nil)
	return to, f, true
}

// elsewhere deals with a command that the server refused because it does not take writes: it goes to the primary. When
// there is none in time, the client gets the server's own answer.
func (s *session) elsewhere(u *upstream) *resources.Fault {
	c := &s.call
	c.Sent = resources.SentNothing
	var to *resources.Endpoint
	if s.await(u.ep().GroupID, func() bool {
		to = s.r.writer(u.ep().GroupID)
		return to != nil
	}) {
		if s.up == u { // nothing was executed in its transaction: it begins anew over there
			s.up, s.reopened = nil, true
			s.r.rt.Pinned(s.rs, 0)
			s.r.work.Go(u.recover)
		}
		c.Redirect, c.Pinned = to, false
		return u.p.fault(resources.Unavailable, "is no primary any more")
	}
	if s.over {
		c.Outcome = resources.OutcomeCanceled
		return nil
	}
	e := s.refusal
	s.enter(phaseSend)
	s.out = mysql.AppendERR(s.out[:0], 1, e.Code, string(e.State[:]), string(e.Message))
	c.Outcome, c.Sent, c.RespBytes = resources.OutcomeError, resources.SentAnswered, int64(len(s.out))
	s.over = s.client.write(s.out) != nil
	return nil
}
