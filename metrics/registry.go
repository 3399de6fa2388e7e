package metrics

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// DefaultMaxOps is how many values a label of one resource holds before `other` takes the rest.
const DefaultMaxOps = 500

// Options configure a [Registry].
type Options struct {
	// MaxOps bounds the values of each label of one resource: operations, groups, endpoints. 0 means DefaultMaxOps.
	MaxOps int
	// Outcomes names the outcomes by their number, which callers of Cell.Done pass. The first one must be success; all
	// others count as errors. At most MaxOutcomes. None means ok, error.
	Outcomes []string
}

// Registry holds all metrics of a process. It is safe for concurrent use; nothing of it is on the path of a call, for
// which callers keep the handles that it gave them.
type Registry struct {
	maxValues int
	outcomes  []string

	mu        sync.Mutex // guards all below, and the scopes of all resources
	families  map[string]*family
	resources map[string]*Resource
	own       scope // series that belong to no resource
}

// NewRegistry returns an empty registry. It panics when there are more than MaxOutcomes outcomes.
func NewRegistry(o Options) *Registry {
	if len(o.Outcomes) > MaxOutcomes {
		panic(fmt.Sprintf("metrics: %d outcomes, of at most %d", len(o.Outcomes), MaxOutcomes))
	}
	if o.MaxOps <= 0 {
		o.MaxOps = DefaultMaxOps
	}
	if len(o.Outcomes) == 0 {
		o.Outcomes = []string{"ok", "error"}
	}
	return &Registry{
		maxValues: o.MaxOps,
		outcomes:  slices.Clone(o.Outcomes),
		families:  known(),
		resources: map[string]*Resource{},
		own:       newScope(),
	}
}

// Outcomes returns the names of the outcomes, by number. The result must not be changed.
func (r *Registry) Outcomes() []string { return r.outcomes }

// OutcomeName returns the name of an outcome, Overflow for one that has none.
func (r *Registry) OutcomeName(o uint8) string {
	if int(o) < len(r.outcomes) {
		return r.outcomes[o]
	}
	return Overflow
}

// Resource returns the metrics of a resource, new ones if the name is not known, or was known with another kind.
func (r *Registry) Resource(name, kind string) *Resource {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.resources[name]; m != nil && m.kind == kind {
		return m
	}
	m := &Resource{registry: r, name: name, kind: kind, label: cleanValue(name), cells: map[cellKey]*cellEntry{}, scope: newScope()}
	r.resources[name] = m
	// These are worth seeing at zero: a missing series and a series at zero mean different things to an alert.
	for _, gauge := range []string{Inflight, Sessions} {
		r.series(&m.scope, gauge, "", TypeGauge, m.label, nil)
	}
	r.series(&m.scope, ReplyMismatchTotal, "", TypeCounter, m.label, nil)
	return m
}

// Drop forgets a resource and all its series. Handles that callers still have go on working, unseen.
func (r *Registry) Drop(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.resources, name)
}

// Each calls visit for every resource, by name.
func (r *Registry) Each(visit func(*Resource)) {
	r.mu.Lock()
	all := r.sortedResources()
	r.mu.Unlock()
	for _, m := range all {
		visit(m)
	}
}

func (r *Registry) sortedResources() []*Resource {
	all := make([]*Resource, 0, len(r.resources))
	for _, m := range r.resources {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *Resource) int { return strings.Compare(a.name, b.name) })
	return all
}

// Counter returns a counter that belongs to no resource: the one with this name and these labels, given as key, value,
// key, value..., or a new one. It panics on what only a mistake in code can cause: an illegal name, a key without a
// value, or a name that is used for another type already.
func (r *Registry) Counter(name, help string, labels ...string) *Counter {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.series(&r.own, name, help, TypeCounter, "", labels).counter
}

// Gauge is Counter for gauges.
func (r *Registry) Gauge(name, help string, labels ...string) *Gauge {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.series(&r.own, name, help, TypeGauge, "", labels).gauge
}

// GaugeFunc makes a gauge whose value is asked for when metrics are gathered, from any goroutine. A later function for
// the same name and labels replaces an earlier one.
func (r *Registry) GaugeFunc(name, help string, value func() float64, labels ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.series(&r.own, name, help, TypeGauge, "", labels).value = value
}

// Dropped returns the counter of what had to be thrown away: log lines, spans, events. Whoever may drop anything counts
// it here.
func (r *Registry) Dropped(what string) *Counter { return r.Counter(DroppedTotal, "", "what", what) }

// series is one counter or gauge with its labels.
type series struct {
	family  *family
	labels  []Label // never changed once it is made
	counter *Counter
	gauge   *Gauge
	value   func() float64 // in place of gauge; guarded by Registry.mu
}

// load returns the value of a counter or gauge; value is asked by the caller, without the lock.
func (s *series) load() float64 {
	if s.counter != nil {
		return float64(s.counter.Load())
	}
	return float64(s.gauge.Load())
}

// scope is a set of series whose label values are bounded together. Registry.mu guards it.
type scope struct {
	series map[string]*series // by name and labels, see seriesKey
	values values
	sorted []*series // by name and labels; nil after a change
}

func newScope() scope { return scope{series: map[string]*series{}, values: values{}} }

// series finds or makes a series. The caller holds the lock.
func (r *Registry) series(sc *scope, name, help string, typ Type, resource string, pairs []string) *series {
	f := r.family(name, help, typ)
	if len(pairs)%2 != 0 {
		panic(fmt.Sprintf("metrics: %s: label %q has no value: give key, value pairs", name, pairs[len(pairs)-1]))
	}
	labels := make([]Label, 0, len(pairs)/2+1)
	if resource != "" {
		labels = append(labels, Label{"resource", resource})
	}
	for i := 0; i < len(pairs); i += 2 {
		checkName("label", pairs[i])
		if slices.ContainsFunc(labels, func(l Label) bool { return l.Key == pairs[i] }) {
			panic(fmt.Sprintf("metrics: %s: label %q twice", name, pairs[i]))
		}
		labels = append(labels, Label{pairs[i], sc.values.admit(pairs[i], cleanValue(pairs[i+1]), r.maxValues)})
	}
	key := seriesKey(name, labels)
	if s := sc.series[key]; s != nil {
		return s
	}
	s := &series{family: f, labels: labels}
	if typ == TypeCounter {
		s.counter = new(Counter)
	} else {
		s.gauge = new(Gauge)
	}
	sc.series[key] = s
	sc.values.hold(labels)
	sc.sorted = nil
	return s
}

// family finds or makes what describes a name.
func (r *Registry) family(name, help string, typ Type) *family {
	f := r.families[name]
	if f == nil {
		checkName("metric", name)
		f = &family{name: name, help: help, typ: typ}
		r.families[name] = f
	}
	if f.cells {
		panic(fmt.Sprintf("metrics: %s is counted by cells: use Resource.Cell", name))
	}
	if f.typ != typ {
		panic(fmt.Sprintf("metrics: %s is a %s and was asked for as a %s", name, f.typ, typ))
	}
	if f.help == "" && help != "" {
		g := *f // families are read without the lock while metrics are gathered
		g.help = help
		f = &g
		r.families[name] = f
	}
	return f
}

func seriesKey(name string, labels []Label) string {
	var b strings.Builder
	b.WriteString(name)
	for _, l := range labels {
		// 0xff and 0xfe are in no valid UTF-8, so no value can look like another label.
		b.WriteByte(0xff)
		b.WriteString(l.Key)
		b.WriteByte(0xfe)
		b.WriteString(l.Value)
	}
	return b.String()
}

// list returns the series by name and labels. The caller holds the lock; the result is never changed.
func (sc *scope) list() []*series {
	if sc.sorted == nil {
		keys := make([]string, 0, len(sc.series))
		for k := range sc.series {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		sc.sorted = make([]*series, len(keys))
		for i, k := range keys {
			sc.sorted[i] = sc.series[k]
		}
	}
	return sc.sorted
}

// forget drops all series with a label. The caller holds the lock.
func (sc *scope) forget(key, value string) {
	for k, s := range sc.series {
		if has(s.labels, key, value) {
			delete(sc.series, k)
			sc.values.release(s.labels)
			sc.sorted = nil
		}
	}
}
