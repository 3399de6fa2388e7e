package report

import (
	"encoding/binary"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
)

// version of the messages.
const version = 1

// Tags of the records.
const (
	tagEnd = iota
	tagResource
	tagCell
	tagCounter
	tagGauge
)

// Counters and gauges of resources that are reported, besides all cells. Endpoints are not among them: their state
// travels with its reasons, apart from reports.
const (
	WouldRefuseTotal = "sluice_would_refuse_total" // filter, rule: calls that a rule in observe mode would have refused
	BreakersOpen     = "sluice_breakers_open"      // circuits that are open
)

var (
	reportedCounters = map[string]bool{metrics.RetriesTotal: true, metrics.ReplyMismatchTotal: true, WouldRefuseTotal: true}
	reportedGauges   = map[string]bool{metrics.Inflight: true, metrics.Sessions: true, metrics.PinnedSessions: true, BreakersOpen: true}
)

// Encoder makes reports of a registry. It is for one goroutine.
type Encoder struct {
	registry *metrics.Registry
	since    time.Time
	turn     uint64 // counts calls of Append
	cells    map[*metrics.Cell]*sentCell
	counters map[*metrics.Counter]*sentCounter

	// Of the message that is being made.
	dst      []byte
	start    int               // of it in dst
	names    map[string]uint64 // number of each text in it
	resource *metrics.Resource // whose records are being appended
	written  resourceName      // that the last tagResource named

	now   metrics.CellSnapshot // scratch
	visit struct {             // methods as values, made once
		resource func(*metrics.Resource)
		cell     func(group, op, class string, c *metrics.Cell)
		counter  func(name string, labels []metrics.Label, c *metrics.Counter)
		gauge    func(name string, labels []metrics.Label, v float64)
	}
}

type resourceName struct{ name, kind string }

// sentCell is a cell with what was reported of it.
type sentCell struct {
	resource         resourceName
	group, op, class string
	held             metrics.CellSnapshot
	turn             uint64 // when the registry last had it
}

type sentCounter struct {
	resource resourceName
	name     string
	labels   []metrics.Label
	held     int64
	turn     uint64
}

// NewEncoder returns an encoder whose first report begins now and has all that the registry counted so far.
func NewEncoder(r *metrics.Registry) *Encoder {
	e := &Encoder{
		registry: r, since: time.Now(), names: map[string]uint64{},
		cells: map[*metrics.Cell]*sentCell{}, counters: map[*metrics.Counter]*sentCounter{},
	}
	e.visit.resource, e.visit.cell, e.visit.counter, e.visit.gauge = e.visitResource, e.visitCell, e.visitCounter, e.visitGauge
	return e
}

// Append appends a report of what was counted since the last one, of which now is the end.
func (e *Encoder) Append(dst []byte, now time.Time) []byte {
	e.turn++
	e.start = len(dst)
	e.dst = append(dst, version)
	e.uvarint(uint64(max(now.UnixMilli(), 0)))
	e.uvarint(uint64(min(max(now.Sub(e.since).Milliseconds(), 1), maxLength.Milliseconds())))
	e.since = now
	e.written = resourceName{}
	clear(e.names)

	e.registry.Each(e.visit.resource)
	e.sweep()
	dst = append(e.dst, tagEnd)
	e.dst, e.resource = nil, nil
	return dst
}

func (e *Encoder) visitResource(m *metrics.Resource) {
	e.resource = m
	m.Each(e.visit.cell)
	m.EachCounter(e.visit.counter)
	m.EachGauge(e.visit.gauge)
}

func (e *Encoder) visitCell(group, op, class string, c *metrics.Cell) {
	s := e.cells[c]
	if s == nil {
		s = &sentCell{resource: resourceName{e.resource.Name(), e.resource.Kind()}, group: group, op: op, class: class}
		e.cells[c] = s
	}
	s.turn = e.turn
	e.cell(s, c)
}

// full reports whether the message is as long as a reader takes. What is left out is in the next one.
func (e *Encoder) full() bool {
	return len(e.dst)-e.start > MaxPayload-reserve || len(e.names) > maxTexts-maxTextsOfRecord
}

// cell appends what a cell counted since it was last asked, if anything.
func (e *Encoder) cell(s *sentCell, c *metrics.Cell) {
	if e.full() {
		return
	}
	n := &e.now
	c.Snapshot(n)
	n.Sub(&s.held)
	used := 0
	for _, calls := range n.Outcomes {
		if calls != 0 {
			used++
		}
	}
	if used == 0 && n.Latency.Count == 0 && n.Slow == 0 && n.BytesIn == 0 && n.BytesOut == 0 {
		return
	}
	s.held.Merge(n) // and so is what the cell held
	e.begin(tagCell, s.resource)
	e.text(s.group)
	e.text(s.op)
	e.text(s.class)
	e.uvarint(uint64(used))
	for o, calls := range n.Outcomes {
		if calls != 0 {
			e.text(e.registry.OutcomeName(uint8(o)))
			e.uvarint(min(calls, maxNumber))
		}
	}
	e.uvarint(min(n.Slow, maxNumber))
	e.uvarint(min(n.BytesIn, maxNumber))
	e.uvarint(min(n.BytesOut, maxNumber))
	e.dst = n.Latency.Append(e.dst)
}

func (e *Encoder) visitCounter(name string, labels []metrics.Label, c *metrics.Counter) {
	if !reportedCounters[name] || len(labels) > maxLabels {
		return
	}
	s := e.counters[c]
	if s == nil {
		s = &sentCounter{resource: resourceName{e.resource.Name(), e.resource.Kind()}, name: name, labels: labels}
		e.counters[c] = s
	}
	s.turn = e.turn
	e.counter(s, c)
}

func (e *Encoder) counter(s *sentCounter, c *metrics.Counter) {
	n := c.Load()
	if n <= s.held || e.full() {
		return
	}
	e.begin(tagCounter, s.resource)
	e.series(s.name, s.labels)
	e.uvarint(min(uint64(n-s.held), maxNumber))
	s.held = n
}

func (e *Encoder) visitGauge(name string, labels []metrics.Label, v float64) {
	if zero := !(v > 0 || v < 0); zero || !reportedGauges[name] || len(labels) > maxLabels || e.full() {
		return // a reader takes silence for zero
	}
	e.begin(tagGauge, resourceName{e.resource.Name(), e.resource.Kind()})
	e.series(name, labels)
	e.dst = binary.AppendVarint(e.dst, int64(min(max(v, -maxNumber), maxNumber)))
}

// sweep reports what cells and counters that the registry has no more counted last, and forgets them.
func (e *Encoder) sweep() {
	for c, s := range e.cells {
		if s.turn != e.turn {
			e.cell(s, c)
			delete(e.cells, c)
		}
	}
	for c, s := range e.counters {
		if s.turn != e.turn {
			e.counter(s, c)
			delete(e.counters, c)
		}
	}
}

// begin appends a record's tag, after its resource if that is another one than the last record's.
func (e *Encoder) begin(tag byte, of resourceName) {
	if e.written != of {
		e.written = of
		e.dst = append(e.dst, tagResource)
		e.text(of.name)
		e.text(of.kind)
	}
	e.dst = append(e.dst, tag)
}

func (e *Encoder) series(name string, labels []metrics.Label) {
	e.text(name)
	e.uvarint(uint64(len(labels)))
	for _, l := range labels {
		e.text(l.Key)
		e.text(l.Value)
	}
}

func (e *Encoder) text(s string) {
	if n := e.names[s]; n != 0 {
		e.uvarint(n)
		return
	}
	e.names[s] = uint64(len(e.names)) + 1
	s = legal(s)
	e.dst = append(e.dst, 0)
	e.uvarint(uint64(len(s)))
	e.dst = append(e.dst, s...)
}

func (e *Encoder) uvarint(n uint64) { e.dst = binary.AppendUvarint(e.dst, n) }
