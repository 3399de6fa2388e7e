package runtime

import (
	"cmp"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

// session is the runtime's own part of a session.
type session struct {
	counted atomic.Uint32 // pins that the gauges count

	// The groups in which the session may stay, one bit each, as found under this snapshot and identity. Used only by
	// the goroutine that serves the session.
	generation uint64
	identity   *resources.Identity
	groups     uint64
}

// registry holds the sessions of a resource, in parts so that clients that come and go do not wait for each other.
type registry struct {
	parts [sessionParts]struct {
		mu   sync.Mutex
		byID map[uint64]*resources.Session
	}
	next  atomic.Uint64
	count atomic.Int64
}

const sessionParts = 16

func (g *registry) init() {
	for i := range g.parts {
		g.parts[i].byID = map[uint64]*resources.Session{}
	}
}

func (g *registry) add(s *resources.Session) {
	p := &g.parts[s.ID%sessionParts]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byID[s.ID] = s
}

// remove forgets a session and reports whether it was known.
func (g *registry) remove(s *resources.Session) bool {
	p := &g.parts[s.ID%sessionParts]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byID[s.ID] != s {
		return false
	}
	delete(p.byID, s.ID)
	return true
}

// each calls visit for a copy of the list of sessions.
func (g *registry) each(visit func(*resources.Session)) {
	for i := range g.parts {
		p := &g.parts[i]
		p.mu.Lock()
		list := make([]*resources.Session, 0, len(p.byID))
		for _, s := range p.byID {
			list = append(list, s)
		}
		p.mu.Unlock()
		for _, s := range list {
			visit(s)
		}
	}
}

// Accept makes a session of a client's connection and hands it to the driver, whose resource must be a [resources.Server], on a
// goroutine of its own. It never
// blocks for longer than it takes to refuse a client. The connection belongs to the resource from here on.
func (r *Resource) Accept(conn net.Conn) {
	if r.draining.Load() {
		conn.Close()
		return
	}
	s, ok := r.newSession(conn.RemoteAddr())
	if !ok {
		r.refuse(conn, s)
		return
	}
	r.serving.Lock()
	if r.draining.Load() { // Shutdown may be waiting already
		r.serving.Unlock()
		conn.Close()
		r.Closed(s)
		return
	}
	r.work.Go(func() { r.driver().(resources.Server).Serve(conn, s) })
	r.serving.Unlock()
}

// newSession counts and remembers a session of a client; false when it is one too many, and forgotten.
func (r *Resource) newSession(client net.Addr) (*resources.Session, bool) {
	s := &resources.Session{
		ID: r.sessions.next.Add(1), Resource: r.name, Client: client.String(), Opened: clock.Now(), Runtime: &session{},
	}
	s.SetIdentity(r.newcomer)
	if r.sessions.count.Add(1) > int64(r.Policy().MaxSessions) {
		r.sessions.count.Add(-1)
		r.registry.Dropped("session").Add(1)
		return s, false
	}
	r.sessions.add(s)
	r.sessionGauge.Add(1)
	return s, true
}

// tooMany is what a client is told that is one too many.
func (r *Resource) tooMany() *resources.Fault {
	f := resources.NewFault(resources.Limited, resources.FromAgent, r.name, "too many clients: policy.max-sessions is "+strconv.Itoa(r.Policy().MaxSessions))
	f.Close = true
	return f
}

// Enter makes a session of a client whose connection is not the resource's own: see [resources.Lobby].
func (r *Resource) Enter(client net.Addr, id *resources.Identity) (*resources.Session, *resources.Fault) {
	s, ok := r.newSession(client)
	if !ok {
		return nil, r.tooMany()
	}
	if id != nil {
		s.SetIdentity(&resources.Identity{Caller: cmp.Or(id.Caller, r.newcomer.Caller), User: id.User, IDC: cmp.Or(id.IDC, r.newcomer.IDC)})
	}
	return s, nil
}

// Half returns the driver's half.
func (r *Resource) Half() resources.Resource { return r.driver() }

// refuse answers a client that is one too many in its own protocol, as far as that needs no waiting.
func (r *Resource) refuse(conn net.Conn, s *resources.Session) {
	defer conn.Close()
	if _, plain := conn.(*net.TCPConn); !plain {
		if _, plain = conn.(*net.UnixConn); !plain {
			return // a handshake would have to come first
		}
	}
	f := r.tooMany()
	c := resources.Call{Session: s, Start: s.Opened}
	text := r.driver().AppendStop(nil, &c, &resources.Stop{Fault: f, Outcome: resources.OutcomeOf(f)})
	_ = conn.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	_, _ = conn.Write(text)
}

// Closed implements [resources.Runtime].
func (r *Resource) Closed(s *resources.Session) {
	if !r.sessions.remove(s) {
		return
	}
	r.countPins(s, 0)
	r.sessions.count.Add(-1)
	r.sessionGauge.Add(-1)
}

// Pinned implements [resources.Runtime].
func (r *Resource) Pinned(s *resources.Session, pins resources.Pin) {
	s.SetPins(pins)
	r.countPins(s, pins)
}

// countPins brings the gauges from what they counted of the session to what holds now.
func (r *Resource) countPins(s *resources.Session, pins resources.Pin) {
	st, ok := s.Runtime.(*session)
	if !ok {
		return
	}
	was := resources.Pin(st.counted.Swap(uint32(pins)))
	for i := range resources.NumPins {
		bit := resources.Pin(1) << i
		switch {
		case pins&bit != 0 && was&bit == 0:
			r.pinGauges[i].Add(1)
		case pins&bit == 0 && was&bit != 0:
			r.pinGauges[i].Add(-1)
		}
	}
}

// Boundary implements [resources.Runtime]. A session leaves its endpoint when that is gone or drained, when no
// command and no weight gives the endpoint's group to this session any more, or when it became a replica and reads go
// to primaries.
func (r *Resource) Boundary(s *resources.Session, ep *resources.Endpoint) resources.Move {
	if r.draining.Load() {
		return resources.Drain
	}
	if ep == nil {
		return resources.Stay
	}
	if ep.Gone() {
		return resources.Leave
	}
	sn := r.snapshot.Load()
	if sn.reads == readsPrimary && !sn.alike && ep.Role() == resources.RoleReplica {
		return resources.Leave
	}
	st, ok := s.Runtime.(*session)
	if !ok {
		return resources.Stay
	}
	if id := s.Identity(); st.generation != sn.generation || st.identity != id {
		st.generation, st.identity, st.groups = sn.generation, id, sn.groupsOf(s)
	}
	if ep.GroupID < 64 && st.groups != 0 && st.groups&(1<<ep.GroupID) == 0 {
		return resources.Leave
	}
	return resources.Stay
}

// groupsOf returns the groups that may still get calls of a session: those of the newest rule that holds for all its
// calls, and of the rules before it that hold for some.
func (sn *snapshot) groupsOf(s *resources.Session) uint64 {
	c := resources.Call{Session: s}
	groups := uint64(0)
	for i := 1; i <= len(sn.rules); i++ {
		rule := &sn.rules[i%len(sn.rules)] // the spec's comes last
		whole := rule.selector == nil
		if rule.caller && rule.selector != nil {
			if !rule.selector.Match(&c) {
				continue
			}
			whole = true
		}
		for _, sh := range rule.shares {
			if sh.group < 64 {
				groups |= 1 << sh.group
			}
		}
		if whole {
			break
		}
	}
	return groups
}

// pinGauge returns the gauge of one pin.
func pinGauge(m *metrics.Resource, bit int) *metrics.Gauge {
	return m.Gauge(metrics.PinnedSessions, "pin", resources.PinName(bit))
}
