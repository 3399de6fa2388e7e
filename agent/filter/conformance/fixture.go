package conformance

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

// Resource is the name of the fixture's resource.
const Resource = "feed-cache"

// Fixture is a resource without an upstream: what filters are compiled against and calls are made of.
type Fixture struct {
	Policy    *resources.Policy   // filled with defaults
	Commands  []resources.Command // oldest first
	Ops       *resources.Ops      // GET and KEYS read, SET writes, SUBSCRIBE streams, CONFIG|GET is for admins
	Registry  *metrics.Registry
	Metrics   *metrics.Resource
	Sinks     *filter.Sinks
	Tap       *filter.Tap
	Log       *slog.Logger
	Session   *resources.Session // caller feed-web, user app, idc yf
	Endpoints []*resources.Endpoint
	Now       int64 // clock of the calls; starts at the real one

	views map[string]resources.View // by operation
	out   *output
	hang  chan struct{} // closed: everything that hangs goes on
}

// New returns a fixture with the policy (nil: the default one), whose log files, log and spans are kept in memory. It
// is closed with the test.
func New(t testing.TB, policy *resources.Policy, commands ...resources.Command) *Fixture {
	return newFixture(t, policy, commands, nil)
}

func newFixture(t testing.TB, policy *resources.Policy, commands []resources.Command, hang chan struct{}) *Fixture {
	t.Helper()
	p := resources.Policy{}
	if policy != nil {
		p = *policy
		p.Limits = append([]resources.Limit(nil), p.Limits...)
	}
	p.Fill()
	names := make([]string, resources.NumOutcomes)
	for i := range names {
		names[i] = resources.Outcome(i).String()
	}
	f := &Fixture{
		Policy: &p, Commands: commands, Now: clock.Now(), hang: hang, Tap: filter.NewTap(), out: &output{},
		views:    map[string]resources.View{},
		Registry: metrics.NewRegistry(metrics.Options{Outcomes: names}),
		Ops: resources.NewOps([]resources.OpInfo{
			{Name: "GET", Class: resources.ClassRead}, {Name: "SET", Class: resources.ClassWrite},
			{Name: "KEYS", Class: resources.ClassRead}, {Name: "SUBSCRIBE", Class: resources.ClassStream},
			{Name: "CONFIG|GET", Class: resources.ClassAdmin},
		}),
	}
	for i := range f.Ops.Len() {
		name := f.Ops.Info(resources.OpID(i)).Name
		f.views[name] = request(name)
	}
	f.Metrics = f.Registry.Resource(Resource, "redis")
	f.Log = slog.New(slog.NewTextHandler(&logWriter{f}, nil))
	f.Session = &resources.Session{ID: 7, Resource: Resource, Client: "10.0.0.9:51122"}
	f.Session.SetIdentity(&resources.Identity{Caller: "feed-web", User: "app", IDC: "yf"})
	f.Endpoints = []*resources.Endpoint{
		{Resource: Resource, Group: "yf", IDC: "yf", Address: "10.0.0.1:6379", ID: 0, GroupID: 0},
		{Resource: Resource, Group: "tc", IDC: "tc", Address: "10.1.0.1:6379", ID: 1, GroupID: 1},
	}
	f.Sinks = filter.NewSinks(filter.SinkOptions{
		Log: f.Log, Registry: f.Registry,
		Open:  func(string) (io.WriteCloser, error) { return &lineFile{f}, nil },
		Spans: func(string) (filter.SpanSink, error) { return f.out, nil },
	})
	t.Cleanup(func() {
		if f.hang != nil {
			close(f.hang)
		}
		if err := f.Sinks.Close(); err != nil {
			t.Errorf("closing the sinks: %v", err)
		}
	})
	return f
}

// Env returns a fresh environment for one compilation.
func (f *Fixture) Env() *filter.Env {
	weight := resources.DefaultWeight
	spec := &resources.Spec{
		Name: Resource, Kind: "redis", Policy: *f.Policy, Groups: map[string]resources.Group{
			"yf": {Weight: &weight, Endpoints: []resources.EndpointSpec{{Address: f.Endpoints[0].Address}}},
			"tc": {Weight: &weight, Endpoints: []resources.EndpointSpec{{Address: f.Endpoints[1].Address}}},
		},
	}
	return &filter.Env{
		Resource: Resource, Kind: "redis", Ops: f.Ops, Spec: spec, Policy: f.Policy, Commands: f.Commands,
		Groups: []string{"yf", "tc"}, Metrics: f.Metrics, Log: f.Log, Sinks: f.Sinks, Tap: f.Tap,
	}
}

// Build compiles one filter in place of old. A filter that is off fails the test.
func (f *Fixture) Build(t testing.TB, def filter.Definition, old resources.Filter) resources.Filter {
	t.Helper()
	built, err := def.Compile(f.Env(), old)
	if err != nil {
		t.Fatalf("building %s: %v", def.Name, err)
	}
	if built == nil {
		t.Fatalf("%s is off for this policy", def.Name)
	}
	return built
}

// Call returns a call of an operation that begins now.
func (f *Fixture) Call(op string) *resources.Call {
	c := &resources.Call{}
	f.Reset(c, op)
	return c
}

// Reset makes c a new call of an operation that begins now, as a driver and the runtime do with the calls of their
// free lists. It does not allocate. What belongs to filters keeps what the last call left there.
func (f *Fixture) Reset(c *resources.Call, op string) {
	id, ok := f.Ops.Lookup(op)
	if !ok {
		id = resources.OpOther
	}
	in := f.Ops.Info(id)
	c.Session, c.View, c.Start, c.Op, c.Class, c.Retry = f.Session, f.views[in.Name], f.Now, id, in.Class, in.Retry
	c.Key, c.HasKey, c.ReqBytes, c.Attempt, c.Sent = 17, true, 31, 0, resources.SentNothing
	c.Deadline, c.Delay, c.Endpoint, c.Now, c.RespBytes, c.Fault = 0, 0, nil, 0, 0, nil
	c.Outcome, c.Slow, c.Stages = resources.OutcomeOK, false, nil
	f.Session.Calls.Add(1)
}

// End fills in how a call ended: after took, with this outcome. A call that f stopped passes its stop, others nil;
// these are taken to have been routed.
func (f *Fixture) End(c *resources.Call, stop *resources.Stop, o resources.Outcome, took time.Duration) {
	c.Now = c.Start + int64(took)
	if stop != nil {
		c.Outcome, c.Fault, c.Now = stop.Outcome, stop.Fault, c.Start
		return
	}
	c.Outcome, c.Endpoint, c.Routed, c.RespBytes = o, f.Endpoints[0], c.Start, 128
	if !o.Answered() {
		c.Fault = upstreamFault
	}
}

var upstreamFault = resources.NewFault(resources.Unavailable, resources.FromUpstream, Resource, "10.0.0.1:6379 closed the connection")

// Do runs one whole call through a filter and returns what OnCall said.
func (f *Fixture) Do(fl resources.Filter, op string, o resources.Outcome, took time.Duration) *resources.Stop {
	c := f.Call(op)
	stop := fl.OnCall(c)
	f.End(c, stop, o, took)
	fl.OnDone(c)
	return stop
}

// Advance moves the clock of the calls.
func (f *Fixture) Advance(d time.Duration) { f.Now += int64(d) }

// Lines closes the sinks and returns the lines of all log files.
func (f *Fixture) Lines(t testing.TB) []string {
	t.Helper()
	if err := f.Sinks.Close(); err != nil {
		t.Fatal(err)
	}
	f.out.mu.Lock()
	defer f.out.mu.Unlock()
	return strings.FieldsFunc(f.out.lines.String(), func(r rune) bool { return r == '\n' })
}

// Logged closes the sinks and returns what the agent's log got.
func (f *Fixture) Logged(t testing.TB) string {
	t.Helper()
	if err := f.Sinks.Close(); err != nil {
		t.Fatal(err)
	}
	f.out.mu.Lock()
	defer f.out.mu.Unlock()
	return f.out.log.String()
}

// Spans returns the newest spans, at most 64.
func (f *Fixture) Spans() []filter.Span {
	f.out.mu.Lock()
	defer f.out.mu.Unlock()
	return append([]filter.Span(nil), f.out.spans...)
}

// output is what the fixture's sinks got; the newest of it when it is much.
type output struct {
	mu    sync.Mutex
	lines bytes.Buffer
	log   bytes.Buffer
	spans []filter.Span
}

const keep = 1 << 20

// Export implements filter.SpanSink.
func (o *output) Export(s filter.Span) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.spans == nil {
		o.spans = make([]filter.Span, 0, 64)
	}
	if len(o.spans) == cap(o.spans) {
		o.spans = o.spans[:copy(o.spans, o.spans[1:])]
	}
	o.spans = append(o.spans, s)
	return true
}

type lineFile struct{ f *Fixture }

func (w *lineFile) Write(b []byte) (int, error) { return w.f.write(&w.f.out.lines, b) }
func (w *lineFile) Close() error                { return nil }

type logWriter struct{ f *Fixture }

func (w *logWriter) Write(b []byte) (int, error) { return w.f.write(&w.f.out.log, b) }

func (f *Fixture) write(to *bytes.Buffer, b []byte) (int, error) {
	if f.hang != nil {
		<-f.hang
	}
	f.out.mu.Lock()
	defer f.out.mu.Unlock()
	if to.Len() > keep {
		to.Reset()
	}
	return to.Write(b)
}

// request is the fixture's View: an operation on the key user:17.
type request string

func (r request) Key(i int) ([]byte, bool) {
	if i > 0 {
		return nil, false
	}
	return key, true
}

func (r request) AppendText(dst []byte) []byte {
	dst = append(dst, r...)
	return append(dst, " user:17"...)
}

func (r request) Digest() uint64 { return 0 }

var key = []byte("user:17")
