//go:build long

package matrix

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-mesh/sluice/agent/ha"
	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/resp"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// The rows of the short form, with an agent that was built with the race detector.
func TestLongRowsUnderRaceDetector(t *testing.T) {
	for name, row := range map[string]func(*testing.T, plan){
		"01": row01ServerKilled, "03": row03Reset, "03 inside": row03ResetInsideLongReply, "04 server": row04ServerHalfCloses,
		"04 idle": row04ServerClosesIdle, "04 client": row04ClientHalfCloses, "09": row09ClientVanishes, "11": row11SentinelFailover,
		"23": row23Drain, "23 unheeded": row23DrainUnheeded, "33": row33FlappingOnlyServer,
	} {
		for _, profile := range profiles {
			t.Run(name+" "+profile, func(t *testing.T) {
				row(t, plan{profile: profile, agent: server.Agent{Race: true}, load: load.Config{Rate: 300}})
			})
		}
	}
}

// Row 2: a network that swallows everything, in the middle of sessions.
func TestLongRow02Blackhole(t *testing.T) {
	eachProfile(t, func(t *testing.T, p plan) {
		p.policy = "timeout: 300ms, connect-timeout: 300ms, probe: { timeout: 300ms, every: 1s }"
		p.allow = []string{"TIMEOUT", "UNKNOWN", "UNAVAILABLE"}
		l := open(t, p)
		l.steady()
		l.inject(func() { l.proxies[0].Set(fault.Blackhole()) })
		l.visible("calls that timed out", l.outcome("timeout"))
		l.visible("the endpoint down", func(now scrape) bool { return endpointUp(now) == 0 })
		l.answersWithin(time.Second, "TIMEOUT", "UNKNOWN", "UNAVAILABLE")
		l.lasts(time.Second)
		l.proxies[0].MustHaveFired(t, fault.KindBlackhole)
		l.proxies[0].Clear()
		l.recovers()
		l.close()
	})
}

// answersWithin sends writes one by one, each of which must get one of the words in time.
func (l *lab) answersWithin(d time.Duration, words ...string) {
	l.Helper()
	c := l.dial()
	defer c.Close()
	worst := time.Duration(0)
	for range 5 {
		start := time.Now()
		v, err := c.Do("SET", "none", "1")
		worst = max(worst, time.Since(start))
		if w := word(v); !strings.Contains(" "+strings.Join(words, " ")+" ", " "+w+" ") || w == "" {
			l.Errorf("a write was answered %v, %v, want one of %q", v, err, words)
			return
		}
	}
	l.Logf("answered in %v at worst", worst)
	if worst > d {
		l.Errorf("a write was answered after %v, want %v", worst, d)
	}
}

// Row 2: a server that cannot be connected to: packets are dropped.
func TestLongRow02NoAnswerToConnect(t *testing.T) {
	eachProfile(t, func(t *testing.T, p plan) {
		p.endpoints, p.servers.Args = direct, durable
		p.policy = "timeout: 1s, connect-timeout: 300ms, probe: { every: 1s }"
		p.allow = []string{"TIMEOUT", "UNKNOWN", "UNAVAILABLE", "LOADING"} // as the server says itself while it starts
		l := open(t, p)
		l.steady()
		var undo func()
		l.inject(func() {
			l.redis.Primary.Kill()
			undo = dropConnects(t, l.redis.Primary.Addr)
		})
		// The agent may have got the last place among those whom the kernel connects, and then it waits for answers.
		refused, late := l.outcome("unavailable"), l.outcome("timeout")
		l.visible("calls that failed", func(now scrape) bool { return refused(now) || late(now) })
		l.answersWithin(1500*time.Millisecond, "UNAVAILABLE", "TIMEOUT", "UNKNOWN")
		l.visible("the endpoint down", func(now scrape) bool { return endpointUp(now) == 0 })
		undo()
		l.redis.Primary.Restart()
		l.recovers()
		l.close()
	})
}

// dropConnects makes the kernel drop what connects to addr: it listens with a backlog of one and fills it.
func dropConnects(t *testing.T, addr string) (undo func()) {
	t.Helper()
	_, port, _ := strings.Cut(addr, ":")
	n, _ := strconv.Atoi(port)
	to := &unix.SockaddrInet4{Port: n, Addr: [4]byte{127, 0, 0, 1}}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = unix.Bind(fd, to)
	}
	if err == nil {
		err = unix.Listen(fd, 0)
	}
	if err != nil {
		t.Fatalf("listen on %s: %v", addr, err)
	}
	var fill []net.Conn
	undo = func() {
		for _, c := range fill {
			c.Close()
		}
		fill = nil
		if fd >= 0 {
			unix.Close(fd)
			fd = -1
		}
	}
	t.Cleanup(undo)
	for {
		c, err := net.DialTimeout("tcp", addr, 200*time.Millisecond)
		if err != nil {
			return undo // the next one was dropped: it works
		}
		if fill = append(fill, c); len(fill) > 100 {
			t.Fatal("connections are not dropped")
		}
	}
}

// Row 2: one of two replicas is cut off. It is ejected, and only reads that waited for it are late.
func TestLongRow02OneReplica(t *testing.T) {
	l := open(t, plan{servers: server.Redis{Replicas: 2}, load: readers, allow: []string{"TIMEOUT"},
		policy: "reads: replica, timeout: 300ms, connect-timeout: 300ms, eject: { base: 1s }, probe: { every: 400ms, timeout: 300ms }"})
	l.steady()
	l.inject(func() { l.proxies[1].Set(fault.Blackhole()) })
	l.visible("the endpoint out of use", func(now scrape) bool { return endpointUp(now) == 2 })
	if !l.healthy(time.Second, 500*time.Millisecond) {
		t.Errorf("reads fail a second after the endpoint was taken out: %+v", l.main.Counts())
	}
	l.proxies[1].MustHaveFired(t, fault.KindBlackhole)
	l.proxies[1].Clear()
	l.await(recoverWithin, "the endpoint to be back", func() error {
		if n := endpointUp(l.scrape()); n != 3 {
			return fmt.Errorf("%.0f of 3 endpoints are up", n)
		}
		return nil
	})
	l.recovers()
	l.close()
}

// Row 5: one of two replicas is slow. Its share falls.
func TestLongRow05SlowReplica(t *testing.T) {
	l := open(t, plan{servers: server.Redis{Replicas: 2}, load: readers, policy: "reads: replica"})
	l.steady()
	l.inject(func() { l.proxies[1].Set(fault.Latency(50*time.Millisecond, 0).Down()) })
	l.unharmed(time.Second) // for the latencies to be learnt
	var before [2]int64
	for i, n := range l.redis.Replicas {
		before[i] = calls(t, n, "get")
	}
	l.unharmed(2 * time.Second)
	slow, fast := calls(t, l.redis.Replicas[0], "get")-before[0], calls(t, l.redis.Replicas[1], "get")-before[1]
	share := float64(slow) / float64(slow+fast)
	t.Logf("the slow replica got %d of %d reads", slow, slow+fast)
	if share > 0.1 {
		t.Errorf("a replica 50 times slower gets %.0f %% of the reads", 100*share)
	}
	l.proxies[1].MustHaveFired(t, fault.KindLatency)
	l.proxies[1].Clear()
	l.recovers()
	l.close()
}

// calls is how often a server executed a command.
func calls(t *testing.T, n *server.RedisNode, command string) int64 {
	t.Helper()
	v := n.Do("INFO", "commandstats")
	_, rest, ok := strings.Cut(string(v.Str), "cmdstat_"+command+":calls=")
	if !ok {
		return 0
	}
	digits, _, _ := strings.Cut(rest, ",")
	n64, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n64
}

// Row 5: slow reads are sent a second time, within their budget; writes never are.
func TestLongRow05Backup(t *testing.T) {
	l := open(t, plan{servers: server.Redis{Replicas: 2}, load: load.Config{StaleReads: true, Rate: 200},
		policy: "reads: replica, balance: random, backup: { after: 10ms, budget: 20% }"})
	l.steady()
	l.inject(func() {
		for _, p := range l.proxies { // the primary is as slow: writes would be tempting
			p.Set(fault.Latency(30*time.Millisecond, 0).Down())
		}
	})
	l.visible("backup requests", func(now scrape) bool {
		return now.sum("sluice_retries_total", "kind_of_retry", "backup") > l.before.sum("sluice_retries_total", "kind_of_retry", "backup")
	})
	l.lasts(2 * time.Second)
	now := l.scrape()
	made := now.sum("sluice_calls_total", "resource", "cache")
	more := now.sum("sluice_retries_total", "kind_of_retry", "backup") -
		now.sum("sluice_retries_total", "kind_of_retry", "backup", "outcome", "no_budget")
	t.Logf("%.0f backup requests for %.0f calls", more, made)
	if more > 0.2*made+ha.Allowance {
		t.Errorf("%.0f backup requests for %.0f calls, the budget is 20 %%", more, made)
	}
	for _, p := range l.proxies {
		p.Clear()
	}
	l.recovers()
	l.close()
}

// Row 6: something else answers on the server's port. Nothing of it reaches a client.
func TestLongRow06WrongProtocol(t *testing.T) {
	eachProfile(t, func(t *testing.T, p plan) {
		p.endpoints, p.servers.Args, p.mismatch = direct, durable, true
		p.allow = []string{"UNKNOWN", "UNAVAILABLE"}
		p.complains = []string{"matched"}
		l := open(t, p)
		l.steady()
		var web *fake
		l.inject(func() {
			l.redis.Primary.Kill()
			web = startFake(t, l.redis.Primary.Addr, func([]string) string {
				return "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nbad request\r\n"
			})
		})
		l.visible("replies that make no sense", func(now scrape) bool { return now.sum("sluice_reply_mismatch_total", "resource", "cache") > 0 })
		l.answersWithin(time.Second, "UNKNOWN", "UNAVAILABLE")
		l.visible("the endpoint down", func(now scrape) bool { return endpointUp(now) == 0 })
		if web.calls.Load() == 0 {
			t.Error("nobody asked the wrong server")
		}
		web.end()
		l.redis.Primary.Restart()
		l.recovers()
		l.close()
	})
}

// Row 6: bytes are damaged on the way. A connection whose replies make no sense is given up.
func TestLongRow06DamagedReplies(t *testing.T) {
	eachProfile(t, func(t *testing.T, p plan) {
		p.mismatch, p.complains = true, []string{"matched"}
		p.allow = []string{"UNKNOWN", "UNAVAILABLE"}
		l := open(t, p)
		l.steady()
		l.inject(func() { l.proxies[0].Set(fault.CorruptAt(0).Down()) })
		l.visible("replies that make no sense", func(now scrape) bool { return now.sum("sluice_reply_mismatch_total", "resource", "cache") > 0 })
		l.lasts(500 * time.Millisecond)
		l.proxies[0].MustHaveFired(t, fault.KindCorrupt)
		l.proxies[0].Clear()
		l.recovers()
		l.close()
	})
}

// Row 7: a reply begins and does not go on.
func TestLongRow07TruncatedReply(t *testing.T) {
	eachProfile(t, func(t *testing.T, p plan) {
		p.policy = "timeout: 300ms"
		p.allow = []string{"TIMEOUT", "UNKNOWN", "UNAVAILABLE"}
		l := open(t, p)
		l.steady()
		l.inject(func() { l.proxies[0].Set(fault.StallAfter(1003).Down()) })
		l.visible("calls that timed out", l.outcome("timeout"))
		l.lasts(time.Second)
		l.proxies[0].MustHaveFired(t, fault.KindStall)
		l.proxies[0].Clear()
		l.recovers()
		l.close()
	})
}

// Row 7: a long reply that was passed on in part stays silent: the client is cut off and not left waiting.
func TestLongRow07TruncatedLongReply(t *testing.T) {
	eachProfile(t, func(t *testing.T, p plan) {
		p.policy = "timeout: 300ms"
		l := open(t, p)
		l.redis.Primary.Do("SET", "long", strings.Repeat("x", 400<<10))
		l.proxies[0].Set(fault.StallAfter(200 << 10).Down())
		c := l.dial()
		start := time.Now()
		if _, err := c.Write(resp.AppendCommand(nil, "GET", "long")); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		got, err := io.ReadAll(c.Conn)
		took := time.Since(start)
		if errors.Is(err, unix.ETIMEDOUT) || took > 2*time.Second || len(got) > 200<<10 {
			t.Errorf("the client got %d bytes and the end after %v: %v", len(got), took, err)
		}
		t.Logf("cut off after %v", took)
		l.proxies[0].MustHaveFired(t, fault.KindStall)
		l.proxies[0].Clear()
		c.Close()
		l.mustServe(l.dial())
		l.clean()
	})
}

// Row 8: a server claims replies of absurd length.
func TestLongRow08AbsurdReplies(t *testing.T) {
	for name, reply := range map[string]string{
		"bulk": "$2147483648\r\nabc", "array": "*2000000000\r\n$3\r\nabc\r\n", "map": "%2000000000\r\n+a\r\n",
		"nested": strings.Repeat("*1\r\n", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t, "", func(args []string) string {
				if args[0] == "ROLE" {
					return roleReply
				}
				return reply
			})
			l := open(t, plan{noServers: true, endpoints: func(*lab) []string { return []string{f.Addr} }, mismatch: true,
				policy: "timeout: 300ms", complains: []string{"matched"}})
			for range 8 {
				c := l.dial()
				v, err := c.Do("SET", "k", "v")
				if w := word(v); err == nil || v.Kind != 0 && w != "UNKNOWN" && w != "TIMEOUT" {
					t.Fatalf("a write was answered %v, %v", v, err)
				}
				c.Close()
			}
			if grown := l.agent.Usage().RSS - l.baseRSS; grown > 16<<20 {
				t.Errorf("resident memory grew by %d MiB", grown>>20)
			}
			l.clean()
		})
	}
}
