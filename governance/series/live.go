package series

import (
	"cmp"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
)

// Numbers are what is going on right now: rates and durations of the last report of each agent.
type Numbers struct {
	Resource string
	Kind     string
	Agents   int // that say something about the resource

	// Per second.
	Rate        float64 // calls
	Errors      float64 // calls that did not end ok
	Refused     float64 // of these, calls that a rule or an operator refused
	Slow        float64
	BytesIn     float64
	BytesOut    float64
	Retries     float64
	WouldRefuse float64 // calls that rules in observe mode would have refused

	// Of all calls in the last reports, ns.
	P50, P95, P99, P999, Max, Mean int64

	Inflight, Sessions, Pinned, BreakersOpen int64
	Mismatches                               uint64 // replies that did not belong; must be 0
}

// AgentNumbers are the numbers of one agent.
type AgentNumbers struct {
	Agent AgentInfo
	At    time.Time // when its last report came
	Numbers
}

// liveAgent is the last report of an agent.
type liveAgent struct {
	info      AgentInfo
	at        time.Time
	length    time.Duration
	resources map[string]*liveResource
}

type liveResource struct {
	kind   string
	packed []byte // nil when nothing was called
	turn   bool

	calls, errors, refused, slow, in, out    uint64
	retries, wouldRefuse, mismatches         uint64
	inflight, sessions, pinned, breakersOpen int64
}

// stale reports whether a report should have come since.
func (a *liveAgent) stale(now time.Time) bool {
	return now.Sub(a.at) > 2*min(a.length, time.Minute)+5*time.Second
}

// shown is the last answer of Live.
type shown struct {
	at   time.Time
	list []Numbers
}

// liveFor is how long an answer of Live stands.
const liveFor = time.Second

// noteLive keeps the report that in read as the agent's last one. The caller holds mu.
func (s *Store) noteLive(in *ingester) {
	a := s.live[in.agent.Name]
	if a == nil {
		if len(s.live) >= s.opt.MaxAgents {
			s.stats.Overflow++
			return
		}
		a = &liveAgent{resources: map[string]*liveResource{}}
		s.live[in.agent.Name] = a
	}
	if in.received.Before(a.at) { // it was on its way for longer than the one after it
		return
	}
	a.info, a.at, a.length = in.agent, in.received, in.length
	for name, r := range in.resources {
		l := a.resources[name]
		if l == nil {
			l = new(liveResource)
			a.resources[name] = l
		}
		packed := l.packed
		*l = r.live
		l.turn = true
		if t := &r.total; len(r.groups) > 0 {
			l.packed = t.append(packed[:0])
			l.calls, l.slow, l.in, l.out = t.calls(), t.slow, t.in, t.out
			l.errors = l.calls - t.outcomes[0]
			l.refused = s.refused(t)
		}
	}
	for name, l := range a.resources {
		if !l.turn {
			delete(a.resources, name)
		}
		l.turn = false
	}
}

// refusals are the outcomes that a rule or an operator caused, and not the resource.
var refusals = []string{"limited", "degraded", "breaker", "denied"}

// refused returns the calls that were refused.
func (s *Store) refused(t *sum) (n uint64) {
	for i, name := range s.names.list() {
		if t.outcomes[i] != 0 && slices.Contains(refusals, name) {
			n += t.outcomes[i]
		}
	}
	return n
}

// Live returns the numbers of all resources that were called or are connected to, by name. They are at most a second
// old, beside the time between two reports. The result must not be changed.
func (s *Store) Live() []Numbers {
	now := s.opt.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := now.Sub(s.shown.at); s.shown.list != nil && age >= 0 && age < liveFor {
		return s.shown.list
	}
	type adding struct {
		Numbers
		sum sum
	}
	all := map[string]*adding{}
	for _, a := range s.live {
		if a.stale(now) {
			continue
		}
		for name, l := range a.resources {
			at := all[name]
			if at == nil {
				at = &adding{Numbers: Numbers{Resource: name, Kind: l.kind}}
				all[name] = at
			}
			at.add(l, a.length)
			l.mergeInto(&at.sum)
		}
	}
	list := make([]Numbers, 0, len(all))
	for _, at := range all {
		at.durations(&at.sum.latency)
		list = append(list, at.Numbers)
	}
	slices.SortFunc(list, func(a, b Numbers) int { return cmp.Compare(a.Resource, b.Resource) })
	s.shown = shown{now, list}
	return list
}

// LiveOf returns the numbers of one resource, and whether there are any.
func (s *Store) LiveOf(resource string) (Numbers, bool) {
	list := s.Live()
	i, ok := slices.BinarySearchFunc(list, resource, func(n Numbers, name string) int { return cmp.Compare(n.Resource, name) })
	if !ok {
		return Numbers{Resource: resource}, false
	}
	return list[i], true
}

// LiveAgents returns the numbers of each agent for a resource, or, if that is empty, for all resources together, by
// agent.
func (s *Store) LiveAgents(resource string) []AgentNumbers {
	now := s.opt.Now()
	var of sum
	out := []AgentNumbers{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.live {
		if a.stale(now) {
			continue
		}
		n := AgentNumbers{Agent: a.info, At: a.at}
		of.reset()
		for name, l := range a.resources {
			if resource != "" && name != resource {
				continue
			}
			if resource != "" {
				n.Resource, n.Kind = name, l.kind
			}
			n.add(l, a.length)
			l.mergeInto(&of)
		}
		if n.Agents == 0 && resource != "" {
			continue
		}
		n.Agents = 1
		n.durations(&of.latency)
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b AgentNumbers) int { return cmp.Compare(a.Agent.Name, b.Agent.Name) })
	return out
}

func (l *liveResource) mergeInto(to *sum) {
	if l.packed != nil {
		_ = to.merge(l.packed, &same) // this process packed it
	}
}

func (n *Numbers) add(l *liveResource, length time.Duration) {
	per := 1 / length.Seconds()
	n.Agents++
	n.Rate += float64(l.calls) * per
	n.Errors += float64(l.errors) * per
	n.Refused += float64(l.refused) * per
	n.Slow += float64(l.slow) * per
	n.BytesIn += float64(l.in) * per
	n.BytesOut += float64(l.out) * per
	n.Retries += float64(l.retries) * per
	n.WouldRefuse += float64(l.wouldRefuse) * per
	n.Inflight += l.inflight
	n.Sessions += l.sessions
	n.Pinned += l.pinned
	n.BreakersOpen += l.breakersOpen
	n.Mismatches += l.mismatches
}

func (n *Numbers) durations(of *metrics.Snapshot) {
	var q [len(shares)]int64
	quantiles(of, shares[:], q[:])
	n.P50, n.P95, n.P99, n.P999 = q[0], q[1], q[2], q[3]
	n.Max, n.Mean = of.Max, of.Mean()
}

// Gone forgets what an agent said last: its link is closed. Its history stays.
func (s *Store) Gone(agent string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, agent)
	s.shown = shown{}
}

// forget drops agents that have not reported for long.
func (s *Store) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, a := range s.live {
		if a.stale(now) {
			delete(s.live, name)
		}
	}
}
