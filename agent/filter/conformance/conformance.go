package conformance

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

// Case is one configuration that a filter is checked with. The filter must be on for it.
type Case struct {
	Name     string
	Policy   *resources.Policy   // nil: the default one
	Commands []resources.Command // oldest first
	// Random says that the filter's decisions depend on chance, so that two instances cannot be compared.
	Random bool
	// OwnText says that texts of faults are the user's and have no fixed form.
	OwnText bool
}

// Run checks a filter with each case.
func Run(t *testing.T, def filter.Definition, cases ...Case) {
	t.Helper()
	if len(cases) == 0 {
		t.Fatalf("%s: no case to check it with", def.Name)
	}
	for _, cs := range cases {
		t.Run(cs.Name, func(t *testing.T) {
			r := run{def, cs}
			t.Run("allocs", r.allocs)
			t.Run("protocol", r.protocol)
			t.Run("stops", r.stops)
			t.Run("rebuild", r.rebuild)
			t.Run("concurrent", r.concurrent)
			t.Run("blocking", r.blocking)
		})
	}
}

type run struct {
	def filter.Definition
	Case
}

func (r *run) fixture(t *testing.T) *Fixture { return New(t, r.Policy, r.Commands...) }

// script is what the checks do to a filter: calls of all operations, 1 ms apart, with a spell of failures.
var script = func() (s []step) {
	ops := []string{"GET", "SET", "KEYS", "SUBSCRIBE", "CONFIG|GET", "unheard-of"}
	for i := range 300 {
		st := step{op: ops[i%len(ops)], took: time.Millisecond}
		switch {
		case i >= 60 && i < 180:
			st.outcome = resources.Outcome(resources.Unavailable)
		case i%50 == 7:
			st.outcome = resources.OutcomeError
		case i%50 == 8:
			st.outcome, st.took = resources.Outcome(resources.Timeout), time.Second
		}
		s = append(s, st)
	}
	return s
}()

type step struct {
	op      string
	outcome resources.Outcome
	took    time.Duration
}

func (r *run) close(t *testing.T, f resources.Filter) {
	if c, ok := f.(io.Closer); ok {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

func (r *run) allocs(t *testing.T) {
	fx := r.fixture(t)
	f := fx.Build(t, r.def, nil)
	defer r.close(t, f)
	c := &resources.Call{}
	once := func() {
		for _, st := range script {
			fx.Reset(c, st.op)
			stop := f.OnCall(c)
			fx.End(c, stop, st.outcome, st.took)
			f.OnDone(c)
			fx.Advance(time.Millisecond)
		}
	}
	once()
	// What goroutines of the sinks allocate is counted too: a few for each notice, and those come once in 300 calls.
	if n := testing.AllocsPerRun(20, once) / float64(len(script)); n >= 0.1 && !raceEnabled {
		t.Errorf("%.2f allocations for each OnCall and OnDone, want none", n)
	}
}

// probe is a filter beside the one that is checked; it notes what it saw and stops calls if told to.
type probe struct {
	name string
	seen *[]string
	stop *resources.Stop
}

func (p *probe) OnCall(*resources.Call) *resources.Stop {
	*p.seen = append(*p.seen, p.name+"+")
	return p.stop
}

func (p *probe) OnDone(*resources.Call) { *p.seen = append(*p.seen, p.name+"-") }

// begin and end run a chain the way the runtime does.
func begin(chain []resources.Filter, c *resources.Call) *resources.Stop {
	for i, f := range chain {
		c.Depth = uint8(i + 1)
		if stop := f.OnCall(c); stop != nil {
			return stop
		}
	}
	return nil
}

func end(chain []resources.Filter, c *resources.Call) {
	for _, f := range slices.Backward(chain[:c.Depth]) {
		f.OnDone(c)
	}
}

func (r *run) protocol(t *testing.T) {
	fx := r.fixture(t)
	f := fx.Build(t, r.def, nil)
	defer r.close(t, f)
	var seen []string
	first, last := &probe{name: "first", seen: &seen}, &probe{name: "last", seen: &seen}
	later := &resources.Stop{Fault: upstreamFault, Outcome: resources.Outcome(resources.Unavailable)}
	chain := []resources.Filter{first, f, last}

	var open []*resources.Call // calls in flight, which end in another order than they began
	for i, st := range script {
		last.stop = nil
		if i%11 == 0 {
			last.stop = later
		}
		c := fx.Call(st.op)
		c.Snapshot, c.Deadline, c.Place = t, c.Start+int64(time.Second), nil
		before := *c
		seen = seen[:0]
		stop := begin(chain, c)
		want := "first+ last+"
		if stop != nil && stop != last.stop {
			want = "first+"
		}
		if got := strings.Join(seen, " "); got != want {
			t.Fatalf("call %d: filters ran %q, want %q", i, got, want)
		}
		r.untouched(t, &before, c)
		fx.End(c, stop, st.outcome, st.took)
		if open = append(open, c); len(open) == 8 || i == len(script)-1 {
			for j := range open {
				end(chain, open[(j*5+3)%len(open)])
			}
			open = open[:0]
		}
		fx.Advance(time.Millisecond)
	}
	if n := fx.Metrics.Gauge(metrics.Inflight).Load(); n != 0 {
		t.Errorf("%s is %d when all calls ended, want 0", metrics.Inflight, n)
	}
}

// untouched checks that OnCall changed only what a filter may change: Delay, Trace, Stages, Scratch.
func (r *run) untouched(t *testing.T, before, after *resources.Call) {
	t.Helper()
	a, b := *before, *after
	for _, c := range []*resources.Call{&a, &b} {
		c.Depth, c.Delay, c.Trace, c.Stages, c.Scratch = 0, 0, resources.TraceContext{}, nil, [len(c.Scratch)]uint64{}
	}
	if !reflect.DeepEqual(a, b) {
		t.Fatalf("OnCall changed the call:\nbefore %+v\nafter  %+v", a, b)
	}
}

func (r *run) stops(t *testing.T) {
	fx := r.fixture(t)
	f := fx.Build(t, r.def, nil)
	defer r.close(t, f)
	byText := map[string]*resources.Stop{}
	for _, st := range script {
		stop := fx.Do(f, st.op, st.outcome, st.took)
		fx.Advance(time.Millisecond)
		if stop == nil {
			continue
		}
		text := describe(stop)
		if have := byText[text]; have != nil && have != stop {
			t.Fatalf("two Stops say %q: they are to be made when the rule is compiled", text)
		}
		byText[text] = stop
	}
	for text, stop := range byText {
		if err := r.checkStop(stop); err != nil {
			t.Errorf("stop %q: %v", text, err)
		}
	}
}

func (r *run) checkStop(s *resources.Stop) error {
	n := 0
	for _, is := range []bool{s.Fault != nil, s.Empty, s.Reply != ""} {
		if is {
			n++
		}
	}
	switch {
	case n != 1:
		return fmt.Errorf("%d of Fault, Empty and Reply are set, want exactly one", n)
	case s.Fault == nil:
		return nil
	case s.Outcome != resources.OutcomeOf(s.Fault):
		return fmt.Errorf("outcome is %v, want that of the fault, %v", s.Outcome, s.Fault.Code)
	case strings.ContainsAny(s.Fault.Text, "\r\n"):
		return fmt.Errorf("the fault's text has a line break")
	case !r.OwnText && !strings.HasPrefix(s.Fault.Text, "sluice: "+Resource+": "):
		return fmt.Errorf("the fault's text does not begin with %q", "sluice: "+Resource+": ")
	}
	return nil
}

func describe(s *resources.Stop) string {
	switch {
	case s == nil:
		return "pass"
	case s.Fault != nil:
		return s.Fault.Error()
	case s.Empty:
		return "empty, " + s.Outcome.String()
	}
	return "reply " + s.Reply + ", " + s.Outcome.String()
}

func (r *run) rebuild(t *testing.T) {
	play := func(again func(i int) bool) (verdicts []string) {
		fx := r.fixture(t)
		fx.Now = int64(time.Hour)
		f := fx.Build(t, r.def, nil)
		for i, st := range script {
			if again(i) {
				old := f
				fx.Commands = append(slices.Clone(r.Commands), unrelated(i))
				if f = fx.Build(t, r.def, old); f != old {
					r.close(t, old)
				}
			}
			stop := fx.Do(f, st.op, st.outcome, st.took)
			verdicts = append(verdicts, describe(stop))
			fx.Advance(time.Millisecond)
		}
		r.close(t, f)
		return verdicts
	}
	once := play(func(int) bool { return false })
	if r.Random {
		play(func(i int) bool { return i%7 == 3 })
		return
	}
	again := play(func(i int) bool { return i%7 == 3 })
	for i := range once {
		if once[i] != again[i] {
			t.Fatalf("call %d (%s): %q by a filter that was rebuilt with equal rules, %q by one that was not", i, script[i].op, again[i], once[i])
		}
	}
}

// unrelated is a command that no filter acts on, so that a compilation has something new.
func unrelated(i int) resources.Command {
	return resources.Command{
		ID: fmt.Sprintf("c-%04x", i), Type: resources.CommandDrain, Resource: Resource, Endpoint: "10.1.0.1:6379", Percent: 100,
	}
}

func (r *run) concurrent(t *testing.T) {
	fx := r.fixture(t)
	first := fx.Build(t, r.def, nil)
	var now atomic.Pointer[resources.Filter]
	now.Store(&first)
	var calls sync.WaitGroup
	for g := range 4 {
		mine := *fx // a clock and calls of its own on the same resource
		calls.Go(func() {
			c := &resources.Call{}
			for i := range 4 * len(script) {
				st := script[(i+g)%len(script)]
				f := *now.Load()
				mine.Reset(c, st.op)
				stop := f.OnCall(c)
				mine.End(c, stop, st.outcome, st.took)
				f.OnDone(c)
				mine.Advance(time.Millisecond)
			}
		})
	}
	for i := range 20 {
		old := *now.Load()
		fx.Commands = append(slices.Clone(r.Commands), unrelated(i))
		next := fx.Build(t, r.def, old)
		now.Store(&next)
		if next != old {
			r.close(t, old) // calls that began under it may still end
		}
		if s, ok := next.(interface{ Status() any }); ok {
			s.Status()
		}
	}
	calls.Wait()
	r.close(t, *now.Load())
	if n := fx.Metrics.Gauge(metrics.Inflight).Load(); n != 0 {
		t.Errorf("%s is %d when all calls ended, want 0", metrics.Inflight, n)
	}
}

func (r *run) blocking(t *testing.T) {
	fx := newFixture(t, r.Policy, r.Commands, make(chan struct{}))
	_, cancel := fx.Tap.Subscribe(nil, 0, 1) // nobody reads
	defer cancel()
	f := fx.Build(t, r.def, nil)
	defer r.close(t, f)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			for _, st := range script {
				fx.Do(f, st.op, st.outcome, st.took)
				fx.Advance(time.Millisecond)
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("calls wait for a log or an observer that takes nothing")
	}
}

// Benchmark measures OnCall and OnDone of a GET that the filter lets pass and that ends ok.
func Benchmark(b *testing.B, def filter.Definition, policy *resources.Policy, commands ...resources.Command) {
	fx := New(b, policy, commands...)
	f := fx.Build(b, def, nil)
	c := fx.Call("GET")
	fx.End(c, nil, resources.OutcomeOK, time.Microsecond)
	b.ReportAllocs()
	for b.Loop() {
		c.Start += 1000
		c.Now += 1000
		if f.OnCall(c) != nil {
			b.Fatal("the call was stopped")
		}
		f.OnDone(c)
	}
	if cl, ok := f.(io.Closer); ok {
		cl.Close()
	}
}
