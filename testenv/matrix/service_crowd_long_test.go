//go:build long

package matrix

import (
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Row 19: the disk of the access log is full. Lines are dropped and counted; calls are not held up.
func TestLongRow19ServiceLogDiskFull(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		p.more, p.complains = "access-log: { sample: 100%, path: /dev/full }, ", []string{"cannot write the access log"}
		m := openService(t, p)
		m.before, m.since = m.scrape(), time.Now() // the fault is there from the start
		m.steady()
		m.visible("dropped lines", func(now scrape) bool { return now.sum("sluice_dropped_total", "what", "accesslog") > 0 })
		m.unharmed(time.Second)
		m.close()
	})
}

// Row 20: clients take all file descriptors. Those that are served go on being served, operators get in, the agent does not spin, and
// when clients leave new ones are served.
func TestLongRow20ServiceNoDescriptors(t *testing.T) {
	eachServiceAlone(t, func(t *testing.T, p servicePlan) {
		const limit, more = 256, 400
		p.complains, p.direct = []string{"cannot accept"}, true
		p.clients = 16 // with a connection each: none comes anew because calls overlap
		m := openService(t, p)
		m.steady()
		if err := unix.Prlimit(m.agent.PID(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}, nil); err != nil {
			t.Fatal(err)
		}
		calm := m.share(time.Second)
		var conns []net.Conn
		m.inject(func() { conns = m.connect(more, nil) })
		m.visible("refused clients", func(now scrape) bool {
			return now.sum("sluice_dropped_total", "what", "accept-files") > m.before.sum("sluice_dropped_total", "what", "accept-files")
		})
		busy := 100.0
		for range 3 { // the best of three: work costs more on a machine that is busy with other things
			busy = min(busy, m.share(time.Second))
		}
		t.Logf("%.1f %% of a processor, %.1f %% before, the load included", 100*busy, 100*calm)
		if busy > 2*calm+0.05 {
			t.Errorf("%.1f %% of a processor, %.1f %% before: it spins", 100*busy, 100*calm)
		}
		for range 5 {
			if _, err := m.tryScrape(); err != nil {
				t.Errorf("an operator does not get in: %v", err)
			}
		}
		hangUp(conns)
		m.recovers()
		m.await(recoverWithin, "new clients to be served", func() error { return connected(m.addr, raws[p.of.kind].calls()) })
		m.close()
	})
}

// share is what part of a processor the agent uses while the load runs for a time without an error.
func (m *serviceLab) share(d time.Duration) float64 {
	m.Helper()
	before, start := m.agent.Usage(), time.Now()
	m.unharmed(d)
	return float64(m.agent.Usage().CPU()-before.CPU()) / float64(time.Since(start))
}

// Row 21: the agent has a memory limit, and clients do not take the answers that they asked for. Others are served, and memory is bounded.
func TestLongRow21ServiceSlowReaders(t *testing.T) {
	const limit, slow = 64 << 20, 20
	eachServiceAlone(t, func(t *testing.T, p servicePlan) {
		p.noSide, p.direct = true, true
		p.agent.Env = []string{fmt.Sprintf("GOMEMLIMIT=%d", limit)}
		r, size := raws[p.of.kind], 8<<20
		if p.of.kind == "motan2" { // whose answers are held whole, since others wait on the server's connection
			size = 1 << 20
		}
		m := openService(t, p)
		m.steady()
		sessions := m.scrape().sum("sluice_sessions", "resource", "cache")
		var conns []net.Conn
		m.inject(func() {
			for _, ask := range r.unread {
				conns = append(conns, m.connect(slow, send(string(ask(size))))...)
			}
		})
		m.visible("the slow clients", func(now scrape) bool {
			return now.sum("sluice_sessions", "resource", "cache") >= sessions+float64(len(conns))
		})
		m.unharmed(2 * time.Second)
		rss := m.agent.Usage().RSS
		now := m.scrape()
		t.Logf("%d clients that ask for %d MiB each and take nothing: %d MiB resident, it was %d; %.0f calls under way", len(conns), size>>20, rss>>20,
			m.baseRSS>>20, now.sum("sluice_inflight", "resource", "cache"))
		if rss > m.baseRSS+limit {
			t.Errorf("resident memory is %d MiB", rss>>20)
		}
		hangUp(conns)
		m.recovers()
		m.close()
	})
}

// Row 28: ten thousand clients connect and call at once. All are served, and servers see no more new connections a second than
// policy.dials.rate says.
func TestLongRow28ServiceHerd(t *testing.T) {
	const n, rate = 10000, 200
	eachServiceAlone(t, func(t *testing.T, p servicePlan) {
		p.noSide = true
		p.more, p.load.Timeout = "timeout: 15s, ", 15*time.Second // this is about who is served, not about a small machine's time for it
		m := openService(t, p)
		m.steady()
		var before []int
		for _, proxy := range m.proxies {
			before = append(before, proxy.Opened())
		}
		var conns []net.Conn
		start := time.Now()
		m.inject(func() { conns = m.connect(n, raws[p.of.kind].calls()) })
		took := time.Since(start)
		for i, proxy := range m.proxies {
			// A tenth of a second's at once, and what two clocks and the checks of health may differ by.
			more := proxy.Opened() - before[i]
			t.Logf("%d clients were served within %v, over %d new connections to a server", n, took.Round(time.Millisecond), more)
			if most := rate*took.Seconds() + rate/10 + rate/20 + 2*took.Seconds(); float64(more) > most {
				t.Errorf("a server got %d new connections in %v, want %.0f at most", more, took, most)
			}
		}
		m.visible("the clients", func(now scrape) bool { return now.sum("process_open_fds") >= n })
		hangUp(conns)
		m.recovers()
		m.close()
	})
}

// Row 29: ten thousand clients that are silent cost next to nothing.
func TestLongRow29ServiceIdle(t *testing.T) {
	const n = 10000
	eachServiceAlone(t, func(t *testing.T, p servicePlan) {
		p.noSide, p.direct = true, true
		m := openService(t, p)
		conns := m.arrive(n, 200*time.Microsecond, raws[p.of.kind].calls())
		m.lasts(2 * time.Second) // what connecting took is not idling
		share, after := 1.0, m.agent.Usage()
		for range 3 { // the best of three: work costs more on a machine that is busy with other things
			before, start := after, time.Now()
			m.lasts(4 * time.Second)
			after = m.agent.Usage()
			if share = min(share, float64(after.CPU()-before.CPU())/float64(time.Since(start))); share <= 0.005 {
				break
			}
		}
		t.Logf("%d idle clients: %d MiB resident, %.2f %% of a processor", n, after.RSS>>20, 100*share)
		most := int64(60)
		if p.of.kind == "grpc" {
			most = 80 // each connection has two tables of header fields
		}
		if after.RSS > most<<20 {
			t.Errorf("resident memory is %d MiB, want %d at most", after.RSS>>20, most)
		}
		if share > 0.005 {
			t.Errorf("%.2f %% of a processor, want 0.5 at most", 100*share)
		}
		if files := m.scrape().sum("process_open_fds"); files < n {
			t.Errorf("the agent has %.0f files open: clients are gone", files)
		}
		hangUp(conns)
		m.clean()
	})
}
