package series

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/metrics/report"
)

// tellTogether is how far back a report's interval may reach. Of a longer one, as after an outage, only the last part
// is kept: what it says is spread evenly, and further back that would be an invention.
const tellTogether = 2 * time.Minute

// Ingest adds an agent's report, which came at received by the centre's clock. The agent's own clock is not believed:
// the report's interval is taken to have ended when it came. A report that is not legal is an error, and none of it is
// added.
func (s *Store) Ingest(agent AgentInfo, payload []byte, received time.Time) error {
	return s.IngestSince(agent, payload, received, time.Time{})
}

// IngestSince is Ingest without what belongs to slots that begin before since: they may have it already.
func (s *Store) IngestSince(agent AgentInfo, payload []byte, received, since time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Reports++
	in := &s.ingest
	in.begin(agent, received)
	in.since = since.Unix()
	if err := s.decoder.Decode(payload, in); err != nil {
		s.stats.Refused++
		return fmt.Errorf("agent %s: %w", agent.Name, err)
	}
	if err := in.finish(); err != nil {
		return fmt.Errorf("agent %s: %w", agent.Name, err)
	}
	return nil
}

// ingester adds one report after the other. Store.mu guards it.
type ingester struct {
	store *Store
	adder adder

	agent     AgentInfo
	received  time.Time
	since     int64 // slots that begin earlier are left out
	length    time.Duration
	places    []place
	resources map[string]*ingested
	now       *ingested
	free      []*ingested
	sums      []*sum // empty ones
	err       error

	packed, part []byte
	whole, share sum
}

// place is a share of a report's interval: the slots that it is in.
type place struct {
	fleet, agents *slot
	part, parts   uint64
}

// ingested is what a report says of one resource, over its operations.
type ingested struct {
	name, kind string
	groups     map[string]*sum
	total      sum
	live       liveResource
}

func (in *ingester) begin(agent AgentInfo, received time.Time) {
	clean := func(s string) string { return strings.ToValidUTF8(s[:min(len(s), 256)], "?") }
	in.agent = AgentInfo{Name: clean(agent.Name), Application: clean(agent.Application), IDC: clean(agent.IDC)}
	in.received, in.err, in.now = received, nil, nil
	in.places = in.places[:0]
	if in.resources == nil {
		in.resources = map[string]*ingested{}
	}
	for name, r := range in.resources {
		in.free = append(in.free, r)
		delete(in.resources, name)
	}
}

// Interval chooses the slots. A report of about one slot's length belongs to the one that its middle is in, whole; a
// longer one is dealt out to all that it covers.
func (in *ingester) Interval(_ time.Time, length time.Duration) {
	in.length = max(length, time.Millisecond)
	parts := 1
	if length > fineStep*time.Second*3/2 {
		parts = int((length + fineStep*time.Second - 1) / (fineStep * time.Second))
	}
	each := length / time.Duration(parts)
	for j := range parts {
		back := each*time.Duration(j) + each/2
		if j > 0 && back > tellTogether {
			in.store.stats.Skipped += uint64((length - each*time.Duration(j)) / time.Second)
			break
		}
		start := floor(in.received.Add(-back).Unix(), fineStep)
		if start < in.since {
			continue
		}
		in.places = append(in.places, place{
			fleet:  in.store.fleet.levels[0].slotAt(start, in.received),
			agents: in.store.agents.levels[0].slotAt(start, in.received),
			part:   uint64(j), parts: uint64(parts),
		})
	}
}

// Resource notes what the following records are about.
func (in *ingester) Resource(name, kind string) {
	in.now = in.resources[name]
	if in.now != nil {
		return
	}
	if n := len(in.free); n > 0 {
		in.now, in.free = in.free[n-1], in.free[:n-1]
		for group, g := range in.now.groups {
			g.reset()
			in.sums = append(in.sums, g)
			delete(in.now.groups, group)
		}
		in.now.total.reset()
	} else {
		in.now = &ingested{groups: map[string]*sum{}}
	}
	in.now.name, in.now.kind, in.now.live = name, kind, liveResource{kind: kind}
	in.resources[name] = in.now
}

// Cell adds an operation's calls, and keeps them for the sum of its group.
func (in *ingester) Cell(c *report.Cell) {
	in.packed = appendCell(in.packed[:0], c, in.store.names)
	in.add(cubeOp, c.Group, c.Op, "")
	g := in.now.groups[c.Group]
	if g == nil {
		if n := len(in.sums); n > 0 {
			g, in.sums = in.sums[n-1], in.sums[:n-1]
		} else {
			g = new(sum)
		}
		in.now.groups[c.Group] = g
	}
	in.note(g.merge(in.packed, &same))
}

// Counter adds a counter, by its name and what its labels say.
func (in *ingester) Counter(name string, labels []metrics.Label, added uint64) {
	switch name {
	case metrics.RetriesTotal:
		in.now.live.retries += added
	case report.WouldRefuseTotal:
		in.now.live.wouldRefuse += added
	case metrics.ReplyMismatchTotal:
		in.now.live.mismatches += added
	}
	parts := make([]string, 0, 4)
	parts = append(parts, name)
	for _, l := range labels {
		parts = append(parts, l.Value)
	}
	in.packed = appendCount(in.packed[:0], added)
	in.addKey(cubeCounter, key(parts...))
}

// Gauge keeps a value for the live numbers; gauges have no history.
func (in *ingester) Gauge(name string, _ []metrics.Label, value int64) {
	switch l := &in.now.live; name {
	case metrics.Inflight:
		l.inflight += value
	case metrics.Sessions:
		l.sessions += value
	case metrics.PinnedSessions:
		l.pinned += value
	case report.BreakersOpen:
		l.breakersOpen += value
	}
}

// finish adds what is known only at the end: sums over operations, over groups, and what is live.
func (in *ingester) finish() error {
	for _, r := range in.resources {
		in.now = r
		for group, g := range r.groups {
			in.packed = g.append(in.packed[:0])
			in.add(cubeOp, group, "", "")
			in.add(cubeEdge, in.agent.Application, in.agent.IDC, group)
			r.total.add(g)
		}
		if len(r.groups) > 0 {
			in.packed = r.total.append(in.packed[:0])
			in.add(cubeAgent, in.agent.Name, in.agent.Application, in.agent.IDC)
		}
	}
	in.store.noteLive(in)
	return in.err
}

// add adds in.packed under a key of a cube.
func (in *ingester) add(c cube, a, b, d string) {
	if c == cubeOp {
		in.addKey(c, a+keySep+b)
	} else {
		in.addKey(c, a+keySep+b+keySep+d)
	}
}

func (in *ingester) addKey(c cube, k string) {
	if len(in.places) == 1 && in.places[0].parts == 1 {
		in.addTo(&in.places[0], c, k, in.packed)
		return
	}
	in.whole.reset()
	in.note(in.whole.merge(in.packed, &same))
	for i := range in.places {
		p := &in.places[i]
		in.share.share(&in.whole, p.part, p.parts)
		if in.share.calls() == 0 && in.share.latency.Count == 0 {
			continue
		}
		in.part = in.share.append(in.part[:0])
		in.addTo(p, c, k, in.part)
	}
}

func (in *ingester) addTo(p *place, c cube, k string, packed []byte) {
	to := p.fleet
	if c == cubeAgent {
		to = p.agents
	}
	in.note(in.adder.add(to, chunkID{c, in.now.name}, in.now.kind, k, packed, &same, c != cubeAgent))
}

// note keeps the first error. There is none while the decoder checks what this package unpacks.
func (in *ingester) note(err error) {
	if in.err == nil {
		in.err = err
	}
}
