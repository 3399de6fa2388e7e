package series

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/metrics/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testOutcomes = []string{"ok", "timeout", "limited", "error", "canceled"}

// epoch is a whole day, so that all steps start there.
var epoch = time.Unix(20_000*86400, 0)

// fixture is a store whose clock the test moves, and which closes slots when the test says.
type fixture struct {
	*Store
	t   testing.TB
	now time.Time
	log *lines
}

func newFixture(t testing.TB, o Options) *fixture {
	t.Helper()
	f := &fixture{t: t, now: epoch, log: new(lines)}
	f.open(o)
	return f
}

func (f *fixture) open(o Options) {
	f.t.Helper()
	o.Now = func() time.Time { return f.now }
	o.Log = slog.New(slog.NewTextHandler(f.log, nil))
	s, err := open(o)
	if err != nil {
		f.t.Fatal(err)
	}
	close(s.ended) // nothing runs that Close would wait for
	f.Store = s
	f.t.Cleanup(func() { s.Close() })
}

// crash ends the store as a killed process would.
func (f *fixture) crash() {
	f.t.Helper()
	if err := f.closeFiles(); err != nil {
		f.t.Fatal(err)
	}
}

// lines collects log lines.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// testAgent is an agent that reports.
type testAgent struct {
	info AgentInfo
	reg  *metrics.Registry
	enc  *report.Encoder
}

func newAgent(name, application, idc string) *testAgent {
	reg := metrics.NewRegistry(metrics.Options{Outcomes: testOutcomes})
	a := &testAgent{AgentInfo{name, application, idc}, reg, report.NewEncoder(reg)}
	a.enc.Append(nil, epoch.Add(time.Hour)) // its clock is an hour off
	return a
}

func (a *testAgent) done(resource, group, op string, outcome uint8, ns ...int64) {
	c := a.reg.Resource(resource, "redis").Cell(group, op, "read")
	for _, d := range ns {
		c.Done(outcome, d, d > 1e6, 10, 100)
	}
}

// report sends what the agent counted since its last report.
func (f *fixture) report(agents ...*testAgent) {
	f.t.Helper()
	for _, a := range agents {
		if err := f.Ingest(a.info, a.enc.Append(nil, f.now.Add(time.Hour)), f.now); err != nil {
			f.t.Fatal(err)
		}
	}
}

// step moves the clock by d, second by second.
func (f *fixture) step(d time.Duration) {
	for ; d > 0; d -= time.Second {
		f.now = f.now.Add(time.Second)
		f.advance(f.now)
	}
}

func (f *fixture) query(q Query) []Point {
	f.t.Helper()
	p, err := f.Query(q)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *fixture) window(q Query) Point {
	f.t.Helper()
	p, err := f.Window(q)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

// calls returns the calls of each point.
func calls(points []Point) string {
	var out []string
	for _, p := range points {
		out = append(out, fmt.Sprint(p.Calls))
		if p.Gap {
			out[len(out)-1] = "-"
		}
	}
	return strings.Join(out, " ")
}

func repeat(ns int64, n int) []int64 { return slices.Repeat([]int64{ns}, n) }
