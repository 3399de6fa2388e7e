package matrix

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/resp"
	"github.com/sluice-mesh/sluice/testenv/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Promises that every row shares.
const (
	visibleWithin = 2 * time.Second
	recoverWithin = 5 * time.Second
)

// profiles are the two ways in which the agent connects clients with servers.
var profiles = []string{"multiplexed", "transparent"}

// plan describes the arrangement of a row. The zero value is one server behind one proxy.
type plan struct {
	servers   server.Redis
	noServers bool                   // the row makes its own; endpoints names them
	endpoints func(*lab) []string    // default: the proxies, in the order of Nodes
	config    func(*lab) string      // the whole configuration instead of the usual one
	profile   string                 // default: multiplexed
	settings  string                 // further settings, such as "topology: cluster"
	policy    string                 // of the resource, such as "timeout: 300ms, reads: replica"
	drain     string                 // default: { wait: 200ms, timeout: 5s }
	agent     server.Agent           // Race, Binary, Env
	load      load.Config            // Address is filled in; default Rate is 600
	loads     func(*lab) loader      // another load instead, at load.Rate
	allow     []string               // error words that the load may see
	files     float64                // descriptors that the agent holds at the end and not at the start
	mismatch  bool                   // the row makes servers send nonsense, which is counted
	complains []string               // parts of lines of level ERROR that the row provokes
	noSide    bool                   // without the other resource: rows that measure memory
	prepare   func(*testing.T, *lab) // after the servers and proxies, before the agent
}

// loader is a load that runs, of whatever kind.
type loader interface {
	Counts() load.Count
	Stop() *load.Report
}

// lab is an arrangement that runs.
type lab struct {
	*testing.T
	plan    plan
	redis   *server.RedisServers
	side    *server.RedisServers
	proxies []*fault.Proxy // one for each of redis.Nodes
	agent   *server.AgentProcess
	addr    string // of the resource that is broken

	base    scrape // of the idle agent
	baseRSS int64
	before  scrape // right before the fault
	since   time.Time
	floor   float64
	main    loader
	bystand *load.Runner
	others  *others // nil: not compared
}

// open starts everything but the load.
func open(t *testing.T, p plan) *lab {
	t.Helper()
	l := &lab{T: t, plan: p}
	if !p.noServers {
		l.redis = server.Start(t, p.servers)
		for i, n := range l.redis.Nodes() {
			l.proxies = append(l.proxies, fault.Start(t, fault.Options{Target: n.Addr, Seed: uint64(i + 1)}))
		}
	}
	if !p.noSide {
		l.side = server.Start(t, server.Redis{})
	}
	if p.prepare != nil {
		p.prepare(t, l)
	}
	l.plan.agent.Config = l.configuration()
	l.agent = server.Start(t, l.plan.agent)
	l.addr = l.agent.Addr("cache")
	l.rest()
	return l
}

// rest takes the measures of the idle agent that close compares with.
func (l *lab) rest() {
	l.Helper()
	l.base = l.scrape()
	l.baseRSS = l.agent.Usage().RSS
}

func (l *lab) configuration() string {
	if l.plan.config != nil {
		return l.plan.config(l)
	}
	var endpoints []string
	if l.plan.endpoints != nil {
		endpoints = l.plan.endpoints(l)
	} else {
		for _, p := range l.proxies {
			endpoints = append(endpoints, p.Addr)
		}
	}
	return l.head() + l.resource("cache", endpoints, l.plan.settings, l.plan.policy) + l.sideConfig()
}

func (l *lab) head() string {
	drain := l.plan.drain
	if drain == "" {
		drain = "{ wait: 200ms, timeout: 5s }"
	}
	return "agent:\n  admin: {{addr \"admin\"}}\n  drain: " + drain + "\nresources:\n"
}

func (l *lab) sideConfig() string {
	if l.side == nil {
		return ""
	}
	return l.resource("side", []string{l.side.Primary.Addr}, "", "")
}

func (l *lab) resource(name string, endpoints []string, settings, policy string) string {
	profile := l.plan.profile
	if profile == "" {
		profile = profiles[0]
	}
	if settings != "" {
		settings = ", " + settings
	}
	return fmt.Sprintf(`  %s:
    kind: redis
    listen: {{addr %q}}
    groups: { main: { endpoints: ["%s"] } }
    settings: { profile: %s%s }
    policy: { %s }
`, name, name, strings.Join(endpoints, `", "`), profile, settings, policy)
}

// steady starts the load, unless it runs, and waits until it is at its floor without an error for half a second, and until
// it is known how clients of the other resource are served.
func (l *lab) steady() {
	l.Helper()
	if l.main == nil {
		l.startLoad()
	}
	if !l.healthy(10*time.Second, 500*time.Millisecond) {
		l.Fatalf("the load does not get to %.0f good replies per second without errors: %+v", l.floor, l.main.Counts())
	}
	l.others.quietLongEnough()
}

func (l *lab) startLoad() {
	l.Helper()
	c := l.plan.load
	c.Address = l.addr
	if c.Rate == 0 {
		c.Rate = 600
	}
	if c.Clients == 0 {
		c.Clients = 8
	}
	if c.Mix == (load.Mix{}) {
		c.Mix = load.Mix{Get: 4, Set: 3, Del: 1, Incr: 1, Append: 1, Echo: 1}
	}
	if c.Duration == 0 {
		c.Duration = time.Hour // until it is stopped
	}
	l.floor = 0.6 * c.Rate
	if l.plan.loads != nil {
		l.main = l.plan.loads(l)
	} else {
		l.main = l.start(c)
	}
	if l.side != nil {
		l.bystand = l.start(load.Config{Address: l.agent.Addr("side"), Clients: 2, Rate: 50, Duration: time.Hour, Timeout: 10 * time.Second,
			VerifyAddress: l.side.Primary.Addr})
		l.observe()
	}
}

func (l *lab) start(c load.Config) *load.Runner {
	l.Helper()
	r, err := load.Start(context.Background(), c)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { r.Stop() })
	<-r.Started()
	return r
}

// healthy waits until the load had no error and kept its floor for a stretch, and says whether that stretch began
// within the time.
func (l *lab) healthy(within, stretch time.Duration) bool {
	deadline := time.Now().Add(within)
	from, at := time.Now(), l.main.Counts()
	for {
		time.Sleep(10 * time.Millisecond)
		now, c := time.Now(), l.main.Counts()
		took := now.Sub(from)
		switch {
		case c.Errors > at.Errors || took >= stretch && float64(c.OK-at.OK) < l.floor*took.Seconds():
			if from, at = now, c; from.After(deadline) {
				return false
			}
		case took >= stretch:
			return true
		}
	}
}

// inject does what breaks something. What the metrics were before is what visible compares with.
func (l *lab) inject(f func()) {
	l.Helper()
	l.before = l.scrape()
	l.since = time.Now()
	l.others.injected()
	f()
}

// visible waits until the metrics show the fault, for two seconds since it was injected.
func (l *lab) visible(what string, shows func(now scrape) bool) {
	l.Helper()
	left := max(visibleWithin-time.Since(l.since), 100*time.Millisecond)
	l.await(left, "the metrics to show "+what, func() error {
		now := l.scrape()
		if !shows(now) {
			var counts load.Count
			if l.main != nil { // some rows have loads of their own
				counts = l.main.Counts()
			}
			return fmt.Errorf("they do not: calls ended %v; the load %+v", l.ended(now), counts)
		}
		return nil
	})
}

// ended is how many calls to the broken resource ended with each outcome since the fault.
func (l *lab) ended(now scrape) map[string]float64 {
	n := map[string]float64{}
	for i, s := range []scrape{l.before, now} {
		for _, x := range s {
			if x.name == "sluice_calls_total" && x.labels["resource"] == "cache" {
				n[x.labels["outcome"]] += float64(2*i-1) * x.value
			}
		}
	}
	return n
}

// shows reports whether calls to the broken resource ended with an outcome since the fault.
func (l *lab) outcome(outcome string) func(scrape) bool {
	return func(now scrape) bool {
		return now.sum("sluice_calls_total", "resource", "cache", "outcome", outcome) >
			l.before.sum("sluice_calls_total", "resource", "cache", "outcome", outcome)
	}
}

// endpointUp is how many endpoints of the broken resource may be used.
func endpointUp(s scrape) float64 { return s.sum("sluice_endpoint_up", "resource", "cache") }

// lasts lets time pass with the fault in force; there is no condition to wait for.
func (l *lab) lasts(d time.Duration) { time.Sleep(d) }

// unharmed lets time pass and fails the test when the load had an error or fell below its floor. A machine that stands still
// for a moment is no fault: what is due may come two seconds later.
func (l *lab) unharmed(d time.Duration) {
	l.Helper()
	at, start := l.main.Counts(), time.Now()
	time.Sleep(d)
	now := l.main.Counts()
	due := at.OK + int64(l.floor*time.Since(start).Seconds())
	for end := time.Now().Add(2 * time.Second); now.OK < due && time.Now().Before(end); now = l.main.Counts() {
		time.Sleep(10 * time.Millisecond)
	}
	if n := now.Errors - at.Errors; n > 0 {
		l.Errorf("the load had %d errors", n)
	}
	if now.OK < due {
		l.Errorf("the load had %d good replies in %v, want %.0f per second", now.OK-at.OK, time.Since(start), l.floor)
	}
}

// recovers waits until the load is well again and fails the test when that takes more than five seconds from now.
func (l *lab) recovers() {
	l.Helper()
	healed := time.Now()
	const stretch = 400 * time.Millisecond
	if !l.healthy(recoverWithin, stretch) {
		l.Fatalf("the load is not well %v after the fault ended: %+v\n%s", recoverWithin, l.main.Counts(), l.endpoints())
	}
	l.others.recovered()
	l.Logf("recovered %v after the fault ended", (time.Since(healed) - stretch).Round(time.Millisecond))
}

// await polls a condition and fails the test with its last error.
func (l *lab) await(d time.Duration, what string, cond func() error) {
	l.Helper()
	server.Wait(l, d, what, cond)
}

// endpoints is what the agent thinks of the endpoints, for messages.
func (l *lab) endpoints() string {
	_, body, err := l.agent.Call("GET", "/v1/resources/cache/endpoints", "")
	if err != nil {
		return err.Error()
	}
	return body
}

// dial connects a client to the broken resource.
func (l *lab) dial() *resp.Conn {
	l.Helper()
	return dialTo(l.T, l.addr)
}

func dialTo(t *testing.T, addr string) *resp.Conn {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return resp.NewConn(nc, 10*time.Second)
}

// word is the first word of an error reply, "" for a good one.
func word(v resp.Value) string {
	if v.IsError() {
		return v.ErrorWord()
	}
	return ""
}

// eachProfile runs a row for both profiles.
func eachProfile(t *testing.T, row func(t *testing.T, p plan)) {
	for _, name := range profiles {
		t.Run(name, func(t *testing.T) { row(t, plan{profile: name}) })
	}
}
