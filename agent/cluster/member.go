package cluster

import (
	"context"
	"sync/atomic"

	"github.com/sluice-mesh/sluice/agent/balance"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

// Member is an endpoint and what the cluster knows of it. Endpoint.State points to it.
type Member struct {
	balance.Node // latency and slow start

	cluster *Cluster
	group   *group

	// Changed by calls, without a lock.
	consecutive atomic.Int32 // failures in a row
	suspect     atomic.Bool  // the keeper is asked to look at it
	window      window       // calls and failures of the last time
	sound       atomic.Bool  // may be used; written under Cluster.mu
	closed      atomic.Bool  // nobody listened when a connection was last tried; written under Cluster.mu

	// Guarded by Cluster.mu.
	down       bool               // by probes
	probed     bool               // a probe has ended
	failed     int                // probes in a row that failed
	passed     int                // probes in a row that were good
	returns    bool               // it was closed since it was last up, so that it is checked often
	until      int64              // ejected until then; 0: not ejected
	ejections  int                // exponent of the next ejection
	returned   int64              // when the last ejection ended
	spared     int64              // when it would have been ejected, had the rules allowed it
	total      int64              // ejections ever
	drained    bool               // by a command
	removed    bool               // not listed any more
	told       bool               // the server told its role
	says       resources.Role     // what the server itself last said that it is; RoleAny: nothing yet
	epoch      uint64             // of its promotion; 0: unknown
	unready    bool               // its last answer was that it is not ready
	stale      bool               // it is a replica too far behind to be read from
	fenced     bool               // it says that it is the primary and is not the group's writer
	deposed    bool               // it was the writer, was replaced, and has not said since that it is a replica
	discovered bool               // by a topology, not by the spec
	listed     resources.Role     // what the topology says that it is
	declared   int                // its weight by config, registry or default
	weighedBy  string             // who said that weight; see Status
	own        int                // the weight that the server last said of itself; 0: none
	health     resources.Health   // as last probed or reported
	reason     string             // why it is out, for people
	stopProbe  context.CancelFunc // nil: not probed

	hurry chan struct{} // asks for a check before its time
	watch chan struct{} // says that it is closed, and to be checked often

	dial dialer // caps on new connections

	// Metrics; replaced under Cluster.mu when the role changes.
	role        resources.Role
	up          *metrics.Gauge
	ejected     *metrics.Counter
	connections [numModes]atomic.Int64
}

// Of returns the member behind an endpoint; nil for an endpoint that no cluster made.
func Of(ep *resources.Endpoint) *Member {
	m, _ := ep.State.(*Member)
	return m
}

// Sound reports whether the member is neither down nor closed nor ejected nor drained nor fenced.
func (m *Member) Sound() bool { return m.sound.Load() }

// Refuses reports whether nobody listened when a connection to the member was last tried.
func (m *Member) Refuses() bool { return m.closed.Load() }

// Done counts the end of a call to the member: how it ended, how long it took and when, in ns. Waiting for a stream
// is no latency.
func (m *Member) Done(o resources.Outcome, class resources.Class, latency, now int64) {
	switch {
	case o.Answered():
		if class != resources.ClassStream {
			m.Observe(latency, now)
		}
		if m.consecutive.Load() != 0 {
			m.consecutive.Store(0)
		}
		m.window.add(now, m.cluster.rules.Load().bucket, false)
	case o.Failure():
		if o == resources.Outcome(resources.Timeout) && class != resources.ClassStream {
			m.Observe(latency, now)
		}
		m.fail(now)
	}
}

// fail counts a failure and asks the keeper to look when it was one too many. It never waits.
func (m *Member) fail(now int64) {
	r := m.cluster.rules.Load()
	m.window.add(now, r.bucket, true)
	n := m.consecutive.Add(1)
	if m.guilty(r, n, now) && m.suspect.CompareAndSwap(false, true) {
		m.cluster.poke()
	}
}

func (m *Member) guilty(r *rules, consecutive int32, now int64) bool {
	if r.consecutive > 0 && consecutive >= r.consecutive {
		return true
	}
	calls, failures := m.window.sum(now, r.bucket)
	return r.errors > 0 && calls >= minCalls && float64(failures) >= r.errors*float64(calls)
}

// minCalls is how many calls the window must hold before their share of failures says anything.
const minCalls = 10

// lags reports whether the member is a replica that gets no reads because it is too far behind.
func (m *Member) lags() bool { return m.stale && m.Endpoint.Role() == resources.RoleReplica }

// state names what the member is, for people.
func (m *Member) state() string {
	switch {
	case m.drained:
		return "drained"
	case m.fenced:
		return "fenced"
	case m.until != 0:
		return "ejected"
	case m.down, m.closed.Load():
		return "down"
	case m.Endpoint.Weight() == 0:
		return "off"
	case m.lags():
		return "stale"
	case !m.probed:
		return "unknown"
	}
	return "up"
}

// window counts calls and failures in ten buckets that are used in turn. A bucket is one word: the number of its turn
// (24 bits), failures (20) and calls (20), so that counting is one atomic addition.
type window [windowBuckets]atomic.Uint64

const (
	windowBuckets = 10
	countBits     = 20
	countMax      = 1<<countBits - 1
)

func (w *window) add(now, bucket int64, failure bool) {
	turn := uint64(now/bucket) & (1<<24 - 1)
	b := &w[turn%windowBuckets]
	one := uint64(1)
	if failure {
		one |= 1 << countBits
	}
	for {
		old := b.Load()
		if old>>(2*countBits) == turn {
			if old&countMax < countMax-64 { // a full bucket says enough; the margin is for those who add at once
				b.Add(one)
			}
			return
		}
		if b.CompareAndSwap(old, turn<<(2*countBits)|one) {
			return
		}
	}
}

func (w *window) sum(now, bucket int64) (calls, failures uint64) {
	turn := uint64(now/bucket) & (1<<24 - 1)
	for i := range w {
		v := w[i].Load()
		if age := (turn - v>>(2*countBits)) & (1<<24 - 1); age < windowBuckets {
			calls += v & countMax
			failures += v >> countBits & countMax
		}
	}
	return calls, failures
}

func (w *window) clear() {
	for i := range w {
		w[i].Store(0)
	}
}
