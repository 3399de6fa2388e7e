//go:build long

package matrix

import (
	"crypto/sha256"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// connect opens n connections to the broken resource, each of which then does what first says.
func (l *lab) connect(n int, first func(net.Conn) error) []net.Conn {
	l.Helper()
	return l.arrive(n, 0, first)
}

// arrive is connect for clients that come one by one, with at least a time between them. Thousands that come at once keep
// the processors of a small machine busy for a tenth of a second, whoever serves them: that is row 28, and would be in the
// way of a row about something else.
func (l *lab) arrive(n int, between time.Duration, first func(net.Conn) error) []net.Conn {
	l.Helper()
	start := time.Now()
	conns := make([]net.Conn, n)
	errs := make([]error, n)
	var work sync.WaitGroup
	places := make(chan struct{}, 256)
	for i := range n {
		time.Sleep(time.Until(start.Add(time.Duration(i) * between)))
		places <- struct{}{}
		work.Go(func() {
			defer func() { <-places }()
			if conns[i], errs[i] = net.DialTimeout("tcp", l.addr, 20*time.Second); errs[i] == nil && first != nil {
				errs[i] = first(conns[i])
			}
		})
	}
	work.Wait()
	l.Cleanup(func() { hangUp(conns) })
	for _, err := range errs {
		if err != nil {
			l.Fatalf("of %d clients one failed: %v", n, err)
		}
	}
	return conns
}

// leave closes connections as arrive opened them: two thousand that are closed at once cost everybody some 20 ms, which is a
// fault of its own.
func leave(conns []net.Conn, between time.Duration) {
	start := time.Now()
	for i := range conns {
		time.Sleep(time.Until(start.Add(time.Duration(i) * between)))
		hangUp(conns[i : i+1])
	}
}

// hangUp closes connections, all at once.
func hangUp(conns []net.Conn) {
	for _, c := range conns {
		if c != nil {
			c.Close()
		}
	}
}

// send returns what connect may do first.
func send(b string) func(net.Conn) error {
	return func(c net.Conn) error {
		_, err := c.Write([]byte(b))
		return err
	}
}

// Row 8: clients claim requests of absurd length. They get the server's own words, and no memory.
func TestLongRow08AbsurdRequests(t *testing.T) {
	eachProfile(t, func(t *testing.T, p plan) {
		l := open(t, p)
		l.steady()
		direct := l.redis.Primary.Addr
		l.inject(func() {
			for _, claim := range []string{"*3000000000\r\n", "*-5\r\n$-1\r\n", "*1\r\n$2147483648\r\n", "*1\r\n$-2\r\n", "*2\r\n$3\r\nGET\r\n$99999999999999999999\r\n"} {
				want, got := refusal(t, direct, claim), refusal(t, l.addr, claim)
				if got != want {
					t.Errorf("%q was answered %q, a server says %q", claim, got, want)
				}
			}
			// A server would wait for two billion arguments; the agent's limit is a million.
			if got := refusal(t, l.addr, "*2000000000\r\n"); got != "-ERR Protocol error: invalid multibulk length\r\n" {
				t.Errorf("two billion arguments were answered %q", got)
			}
		})
		before := l.agent.Usage().RSS
		var all []net.Conn
		for _, c := range []struct {
			n     int
			claim string
		}{
			{1000, "*1048576\r\n$100\r\nabc"}, {1000, "*3\r\n$3\r\nSET\r\n$1000000"}, {16, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nabc"},
		} {
			all = append(all, l.arrive(c.n, 500*time.Microsecond, send(c.claim))...)
		}
		l.visible("the sessions", func(now scrape) bool { return now.sum("sluice_sessions", "resource", "cache") >= float64(len(all)) })
		l.unharmed(500 * time.Millisecond)
		grown := l.agent.Usage().RSS - before
		t.Logf("%d claims cost %d KiB of memory", len(all), grown>>10)
		if grown > 128<<20 {
			t.Errorf("resident memory grew by %d MiB for %d claims, want 128 MiB at most", grown>>20, len(all))
		}
		leave(all, 500*time.Microsecond)
		l.recovers()
		l.close()
		if v := l.redis.Primary.Do("EXISTS", "k"); v.Int != 0 {
			t.Error("a request that was not whole was executed")
		}
	})
}

// refusal is what an address answers to bad bytes before it closes; "open" when it does not close.
func refusal(t *testing.T, addr, bytes string) string {
	t.Helper()
	c := dialTo(t, addr)
	defer c.Close()
	if _, err := c.Write([]byte(bytes)); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	var all []byte
	buf := make([]byte, 1000)
	for {
		n, err := c.Read(buf)
		all = append(all, buf[:n]...)
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			return string(all) + " (open)"
		}
		if err != nil {
			return string(all)
		}
	}
}

// Row 10: two thousand clients that send a byte every five seconds are cut off. Others do not notice.
func TestLongRow10Slowloris(t *testing.T) {
	const n = 2000
	l := open(t, plan{})
	l.steady()
	alone := l.acceptTimes(200)
	var conns []net.Conn
	l.inject(func() { conns = l.arrive(n, 500*time.Microsecond, send("*")) })
	l.visible("the sessions", func(now scrape) bool { return now.sum("sluice_sessions", "resource", "cache") >= n })
	// The best of three: the machine is busy with other things too.
	among := min(l.acceptTimes(200), l.acceptTimes(200), l.acceptTimes(200))
	t.Logf("a new client is served in %v (p99), %v without the slow ones", among, alone)
	if among > 5*time.Millisecond && among > 2*alone {
		t.Errorf("a new client is served in %v (p99), want 5 ms; without the slow ones it takes %v", among, alone)
	}
	start := time.Now()
	drip := "3\r\n"
	for next := start.Add(5 * time.Second); ; {
		l.unharmed(500 * time.Millisecond)
		left := l.scrape().sum("sluice_sessions", "resource", "cache")
		if left < n/100 {
			break
		}
		if time.Since(start) > 20*time.Second {
			t.Errorf("%.0f of %d slow clients are still there after %v", left, n, time.Since(start))
			break
		}
		if drip != "" && time.Now().After(next) {
			next = next.Add(5 * time.Second)
			for _, c := range conns {
				_, _ = c.Write([]byte(drip[:1])) // it may be cut off already
			}
			drip = drip[1:]
		}
	}
	t.Logf("all were cut off %v after they came", time.Since(start).Round(100*time.Millisecond))
	hangUp(conns)
	l.close()
}

// acceptTimes is the 99th percentile of the time from connecting to the first answer.
func (l *lab) acceptTimes(n int) time.Duration {
	l.Helper()
	var took []time.Duration
	for range n {
		start := time.Now()
		c := l.dial()
		if _, err := c.Do("PING"); err != nil {
			l.Fatal(err)
		}
		took = append(took, time.Since(start))
		c.Close()
	}
	slices.Sort(took)
	return took[n*99/100]
}

// Row 28: ten thousand clients connect at once. The server sees few new connections, and its other clients go on.
func TestLongRow28Herd(t *testing.T) {
	const n = 10000
	l := open(t, plan{noSide: true})
	l.steady()
	received := receiver(t, l.redis.Primary)
	var conns []net.Conn
	start := time.Now()
	l.inject(func() { conns = l.connect(n, ask("*2\r\n$3\r\nGET\r\n$4\r\nnone\r\n", "$-1\r\n")) })
	took := time.Since(start)
	more := received()
	t.Logf("%d clients were served within %v, over %d new connections to the server", n, took.Round(time.Millisecond), more)
	if more > 20+int64(took.Seconds()) {
		t.Errorf("the server got %d new connections", more)
	}
	l.visible("the sessions", func(now scrape) bool { return now.sum("sluice_sessions", "resource", "cache") >= n })
	hangUp(conns)
	l.recovers()
	l.close()
}

// Row 28: with a connection for each client, the server sees no more new ones a second than the policy says.
func TestLongRow28HerdWithOwnConnections(t *testing.T) {
	const n, rate = 500, 200
	l := open(t, plan{profile: "transparent", policy: "timeout: 5s, connect-timeout: 5s, dials: { rate: 200/s }"})
	l.steady()
	received := receiver(t, l.redis.Primary)
	start := time.Now()
	var conns []net.Conn
	l.inject(func() { conns = l.connect(n, send("*2\r\n$3\r\nGET\r\n$4\r\nnone\r\n")) })
	most := 0.0
	l.await(10*time.Second, "every client to have its connection", func() error {
		most = max(most, float64(received())-rate/10-rate*time.Since(start).Seconds())
		if v := l.scrape().sum("sluice_upstream_connections", "resource", "cache"); v < n {
			return fmt.Errorf("%.0f of %d", v, n)
		}
		return nil
	})
	if most > 0.05*rate { // what the two clocks and the checks of health may differ by
		t.Errorf("there were %.0f connections more than %d a second", most, rate)
	}
	t.Logf("%d connections within %v", n, time.Since(start).Round(time.Millisecond))
	hangUp(conns)
	l.recovers()
	l.close()
}

// receiver returns a function that tells how many connections a server accepted since, on a connection of its own.
func receiver(t *testing.T, n *server.RedisNode) func() int64 {
	t.Helper()
	c, err := n.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	total := func() int64 {
		v, err := c.Do("INFO", "stats")
		_, rest, _ := strings.Cut(string(v.Str), "total_connections_received:")
		var n int64
		if _, scan := fmt.Sscan(rest, &n); err != nil || scan != nil {
			t.Fatalf("INFO stats: %v, %v", err, scan)
		}
		return n
	}
	before := total()
	return func() int64 { return total() - before }
}

// ask sends b and waits for exactly want.
func ask(b, want string) func(net.Conn) error {
	return func(c net.Conn) error {
		if _, err := c.Write([]byte(b)); err != nil {
			return err
		}
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		got, err := readFull(c, len(want))
		if err == nil && string(got) != want {
			err = fmt.Errorf("%q was answered %q", b, got)
		}
		return err
	}
}

// Row 29: ten thousand clients that are silent cost next to nothing.
func TestLongRow29Idle(t *testing.T) {
	const n = 10000
	l := open(t, plan{noSide: true})
	conns := l.connect(n, ask("*2\r\n$3\r\nGET\r\n$4\r\nnone\r\n", "$-1\r\n"))
	time.Sleep(2 * time.Second) // what connecting took is not idling
	share, after := 1.0, l.agent.Usage()
	for range 3 { // the best of three: work costs more on a machine that is busy with other things
		before, start := after, time.Now()
		time.Sleep(4 * time.Second)
		after = l.agent.Usage()
		share = min(share, float64(after.CPU()-before.CPU())/float64(time.Since(start)))
	}
	t.Logf("%d idle clients: %d MiB resident, %.2f %% of a processor", n, after.RSS>>20, 100*share)
	if after.RSS > 60<<20 {
		t.Errorf("resident memory is %d MiB, want 60 at most", after.RSS>>20)
	}
	if share > 0.005 {
		t.Errorf("%.2f %% of a processor, want 0.5 at most", 100*share)
	}
	if s := l.scrape().sum("sluice_sessions", "resource", "cache"); s != n {
		t.Errorf("sluice_sessions is %.0f", s)
	}
	hangUp(conns)
	l.clean()
}

// Row 31: nine of ten requests ask for keys of one server, which cannot keep up. Keys of others are served as before.
func TestLongRow31HotKey(t *testing.T) {
	l := open(t, plan{config: hashed, prepare: threeServers,
		load: load.Config{Rate: 25, Clients: 4, Mix: load.Mix{Get: 5, Set: 3, Del: 1, Incr: 1, Append: 1}}}) // ECHO has no key: any server gets it
	// The hash of a pool leaves short tags that are alike close together: t0 to t99 may all belong to one server.
	home := map[string]int{} // server by tag
	hot, cold := "", ""
	for i := range 100 {
		tag := fmt.Sprintf("%x", sha256.Sum256([]byte{byte(i)}))
		c := l.dial()
		if _, err := c.Do("SET", "{"+tag+"}", "1"); err != nil {
			t.Fatal(err)
		}
		c.Close()
		for j, n := range l.redis.Nodes() {
			if v := n.Do("EXISTS", "{"+tag+"}"); v.Int == 1 {
				home[tag] = j
			}
		}
		if i == 0 {
			hot = tag
		}
		if home[tag] != home[hot] {
			cold = tag
		}
	}
	if cold == "" {
		t.Fatalf("all keys belong to server %d", home[hot])
	}
	l.plan.load.Prefix = "{" + cold + "}cold"
	slow := l.proxies[home[hot]]
	var calm, busy []time.Duration
	for range 3 {
		calm = append(calm, l.quiet(2*time.Second).P90)
		var hammer *load.Runner
		l.inject(func() {
			slow.Set(fault.Latency(20*time.Millisecond, 0))
			hammer = l.start(load.Config{Address: l.addr, Clients: 8, Rate: 225, Duration: time.Hour, Prefix: "{" + hot + "}hot"})
		})
		l.visible("the hot traffic", func(now scrape) bool { return now.sum("sluice_inflight", "resource", "cache") >= 6 })
		busy = append(busy, l.quiet(2*time.Second).P90)
		slow.MustHaveFired(t, fault.KindLatency)
		slow.Clear()
		if r := hammer.Stop(); r.Unsound() > 0 || r.ErrorCount() > 0 {
			t.Errorf("the hot keys: %v", r)
		}
	}
	t.Logf("p90 of the cold keys: %v calm, %v beside the hot ones, which take 40 ms", calm, busy)
	// The best of three each: the machine is busy with other things too.
	if slices.Min(busy) > 2*slices.Min(calm)+2*time.Millisecond {
		t.Errorf("p90 of the cold keys went from %v to %v", slices.Min(calm), slices.Min(busy))
	}
	l.steady()
	l.close()
}

// stopLoad ends the load and its bystander and checks both; steady starts new ones.
func (l *lab) stopLoad() *load.Report {
	l.Helper()
	r := l.main.Stop()
	r.Check(l, 1, l.plan.allow...)
	if l.bystand != nil {
		l.bystand.Stop().Check(l, 1)
	}
	l.main = nil
	return r
}

// quiet runs a load of its own for a time.
func (l *lab) quiet(d time.Duration) *load.Report {
	l.Helper()
	l.steady()
	l.unharmed(d)
	return l.stopLoad()
}

func threeServers(t *testing.T, l *lab) {
	for range 2 {
		more := server.Start(t, server.Redis{})
		l.redis.Replicas = append(l.redis.Replicas, more.Primary) // Nodes lists them
		l.proxies = append(l.proxies, fault.Start(t, fault.Options{Target: more.Primary.Addr}))
	}
}

// hashed spreads keys over independent servers.
func hashed(l *lab) string {
	var list []string
	for _, p := range l.proxies {
		list = append(list, p.Addr)
	}
	return l.head() + l.resource("cache", list, `topology: hashed, hash-tag: "{}"`, "balance: hash") + l.sideConfig()
}

// Row 32: a client that exceeds its limit ten times over is refused, and others are served as before.
func TestLongRow32NoisyTenant(t *testing.T) {
	l := open(t, plan{config: tenants, agent: server.Agent{Env: []string{"PW=secret"}}, allow: []string{"LIMITED"},
		load: load.Config{Rate: 200, Clients: 4, User: "quiet", Password: "secret"}})
	var calm, beside []time.Duration
	for range 4 {
		calm = append(calm, l.quiet(time.Second).P99)
		var noise *load.Runner
		l.inject(func() {
			noise = l.start(load.Config{Address: l.addr, Clients: 8, Rate: 1000, Duration: time.Hour, User: "noisy", Password: "secret",
				VerifyTimeout: -1}) // its final check would be limited too
		})
		l.visible("refused calls", l.outcome("limited"))
		beside = append(beside, l.quiet(time.Second).P99)
		r := noise.Stop() // its logins count too: one that is refused is CONNECT
		if r.Unsound() > 0 || r.ErrorCount("LIMITED") == 0 || r.ErrorCount() != r.ErrorCount("LIMITED", load.Connect) {
			t.Errorf("the noisy one: %v", r)
		}
		if got := float64(r.OK) / r.Elapsed.Seconds(); got > 130 {
			t.Errorf("the noisy one had %.0f calls a second, its limit is 100", got)
		}
	}
	t.Logf("p99 of the quiet one: %v alone, %v beside the noisy one", calm, beside)
	// The best of four each: the machine is busy with other things too. Half a millisecond is what it can tell apart.
	if best := slices.Min(beside); best > slices.Min(calm)*12/10+500*time.Microsecond {
		t.Errorf("p99 of the quiet one went from %v to %v, want a fifth more at most", slices.Min(calm), best)
	}
	l.steady()
	l.close()
}

func tenants(l *lab) string {
	settings := `users: [{ name: noisy, password: "${env:PW}" }, { name: quiet, password: "${env:PW}" }]`
	policy := "limits: [{ match: { user: noisy }, rate: 100/s, burst: 10 }]"
	return l.head() + l.resource("cache", []string{l.proxies[0].Addr}, settings, policy) + l.sideConfig()
}
