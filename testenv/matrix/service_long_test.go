//go:build long

package matrix

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/ha"
	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/counted"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// eachServiceAlone runs a row for all kinds of services, one after another, for rows that compare how fast things are.
func eachServiceAlone(t *testing.T, row func(t *testing.T, p servicePlan)) {
	for _, s := range services {
		t.Run(s.kind, func(t *testing.T) { row(t, servicePlan{of: s}) })
	}
}

// Row 2: a network that swallows everything before one of two servers. After the timeout of those that wait for it, nobody notices.
func TestLongRow02ServiceBlackhole(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		p.allow, p.more = p.late(), "timeout: 300ms, "
		m := openService(t, p)
		m.steady()
		m.inject(func() { m.proxies[0].Set(fault.Blackhole()) })
		m.visible("calls that timed out", m.outcome("timeout"))
		m.visible("the endpoint down", func(now scrape) bool { return endpointUp(now) == 1 })
		m.lasts(time.Second)
		m.unharmed(time.Second)
		m.proxies[0].MustHaveFired(t, fault.KindBlackhole)
		m.proxies[0].Clear()
		m.recovers()
		m.ups(2)
		m.close()
	})
}

// Row 2: the same before all servers. Calls end in time, and service is back without a restart.
func TestLongRow02ServicePartition(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		p.allow, p.more = append([]string{counted.Unavailable}, p.late()...), "timeout: 300ms, "
		m := openService(t, p)
		m.steady()
		m.inject(func() { m.all(fault.Blackhole()) })
		m.visible("calls that timed out", m.outcome("timeout"))
		m.lasts(3 * time.Second)
		m.cleared(fault.KindBlackhole)
		m.recovers()
		m.ups(2)
		m.close()
	})
}

// Row 5: one server is slow. Calls move to the other one.
func TestLongRow05ServiceSlow(t *testing.T) {
	eachServiceAlone(t, func(t *testing.T, p servicePlan) {
		m := openService(t, p)
		m.steady()
		m.inject(func() { m.proxies[0].Set(fault.Latency(50*time.Millisecond, 0).Down()) })
		m.unharmed(time.Second) // for the latencies to be learnt
		slow, fast := m.peers[0].Addr, m.peers[1].Addr
		r := counted.Start(m.Context(), counted.Config{Dial: p.of.dial, Address: m.addr, Servers: m.addrs()})
		m.unharmed(2 * time.Second)
		r.Stop().Check(t, 50)
		t.Logf("the slow server got %d calls, the fast one %d", r.CountedBy(slow), r.CountedBy(fast))
		if n := r.CountedBy(slow); 9*n > r.CountedBy(fast) {
			t.Error("a server that is 50 times slower gets more than a tenth of the calls")
		}
		m.proxies[0].MustHaveFired(t, fault.KindLatency)
		m.proxies[0].Clear()
		m.recovers()
		m.close()
	})
}

// Row 5: both servers are slow at times, and idempotent calls are sent a second time, within the budget; others never are.
func TestLongRow05ServiceBackup(t *testing.T) {
	eachServiceAlone(t, func(t *testing.T, p servicePlan) {
		p.more = "balance: random, backup: { after: 10ms, budget: 20% }, "
		m := openService(t, p)
		m.steady()
		m.inject(func() { m.all(fault.Latency(30*time.Millisecond, 0).Down()) })
		m.visible("backup requests", func(now scrape) bool {
			return now.sum("sluice_retries_total", "kind_of_retry", "backup") > m.before.sum("sluice_retries_total", "kind_of_retry", "backup")
		})
		m.lasts(2 * time.Second)
		now := m.scrape()
		made := now.sum("sluice_calls_total", "resource", "cache")
		more := now.sum("sluice_retries_total", "kind_of_retry", "backup") -
			now.sum("sluice_retries_total", "kind_of_retry", "backup", "outcome", "no_budget")
		t.Logf("%.0f backup requests for %.0f calls", more, made)
		if more > 0.2*made+ha.Allowance {
			t.Errorf("%.0f backup requests for %.0f calls, the budget is 20 %%", more, made)
		}
		m.cleared(fault.KindLatency)
		m.recovers()
		m.close() // the servers counted every write once
	})
}

// Row 6: something else answers on the only server's port. Nothing of it reaches a client.
func TestLongRow06ServiceWrongProtocol(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		p.allow, p.servers, p.direct, p.forgetful = gone, 1, true, true
		p.mismatch, p.complains = true, []string{"matched", "cannot be understood", "broke the rules"}
		m := openService(t, p)
		m.steady()
		var other *says
		m.inject(func() {
			m.peers[0].Kill()
			other = say(t, m.peers[0].Addr, []byte(p.of.noise))
		})
		m.visible("answers that make no sense", func(now scrape) bool { return now.sum("sluice_reply_mismatch_total", "resource", "cache") > 0 })
		m.ups(0)
		other.end()
		m.peers[0].Restart()
		m.recovers()
		m.close()
	})
}

// Row 7: an answer begins and does not go on. A client that has a part of it is not left with it for ever.
func TestLongRow07ServiceTruncated(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		p.allow, p.more, p.servers = p.cut(p.late()...), "timeout: 300ms, ", 1
		if p.of.kind == "http" {
			p.settings = ", stall: 300ms"
		}
		for _, part := range []struct {
			name  string
			bytes int64
		}{{"answer", 1003}, {"long answer", 50_000}} {
			t.Run(part.name, func(t *testing.T) {
				m := openService(t, p)
				m.steady()
				m.inject(func() { m.all(fault.StallAfter(part.bytes).Down()) })
				m.visible("calls that timed out", m.outcome("timeout"))
				m.lasts(time.Second)
				m.cleared(fault.KindStall)
				m.recovers()
				m.close()
			})
		}
	})
}

// Row 8: a server claims answers of absurd length. The agent takes no memory for the claim.
func TestLongRow08ServiceAbsurdAnswers(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		for name, claim := range p.of.absurd {
			t.Run(name, func(t *testing.T) {
				p.allow, p.servers, p.direct, p.forgetful = gone, 1, true, true
				p.mismatch, p.complains = true, []string{"matched", "cannot be understood", "broke the rules"}
				m := openService(t, p)
				m.steady()
				var bad *says
				m.inject(func() {
					m.peers[0].Kill()
					bad = say(t, m.peers[0].Addr, []byte(claim))
				})
				m.lasts(time.Second)
				if grown := m.agent.Usage().RSS - m.baseRSS; grown > 32<<20 {
					t.Errorf("resident memory grew by %d MiB", grown>>20)
				}
				if !bad.heard() {
					t.Error("nobody asked the server that claims it")
				}
				bad.end()
				m.peers[0].Restart()
				m.recovers()
				m.close()
			})
		}
	})
}

// Row 26: a server's name gets another address, and loses it. New connections go where the name points, or pointed last.
func TestLongRow26ServiceNameMoves(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		hosts, point := names(t)
		p.allow, p.servers, p.host = p.cut(gone...), 1, "cache.test"
		p.agent.Binary = inNamespace(t, "mount --bind "+hosts+" /etc/hosts")
		m := openService(t, p)
		first := m.proxies[0]
		_, port, _ := strings.Cut(first.Addr, ":")
		second := fault.Start(t, fault.Options{Target: m.peers[0].Addr, Listen: "127.0.0.2:" + port})
		m.steady()
		point("") // the name is gone: the last address serves
		m.inject(func() { first.ResetAll() })
		m.recovers()
		m.inject(func() { // the name moves, and nothing is left at the old address
			point("127.0.0.2")
			first.Set(fault.Refuse())
			first.ResetAll()
		})
		m.visible("refused calls", m.outcome("unavailable"))
		// The system's own cache of the file holds for five seconds.
		if !m.healthy(recoverWithin+5*time.Second, 400*time.Millisecond) {
			t.Fatalf("the new address is not used: %+v\n%s", m.main.Counts(), m.endpoints())
		}
		first.MustHaveFired(t, fault.KindRefuse)
		if second.Opened() == 0 {
			t.Error("nobody connected to the new address")
		}
		m.close()
	})
}

// Row 34: a server stands still for seconds, and goes on.
func TestLongRow34ServicePaused(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		p.allow, p.direct, p.more = p.late(), true, "timeout: 300ms, "
		m := openService(t, p)
		m.steady()
		m.inject(m.peers[0].Pause)
		m.visible("the endpoint down", func(now scrape) bool { return endpointUp(now) == 1 })
		m.lasts(time.Second)
		m.unharmed(time.Second)
		m.peers[0].Continue()
		m.recovers()
		m.ups(2)
		m.close()
	})
}

// Row 34: the agent stands still for seconds. Nothing that it refuses afterwards is executed.
func TestLongRow34AgentPausedWithServices(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		p.noSide = true // which stands still as well
		p.allow = append([]string{load.NoReply, load.Closed, counted.Unavailable}, p.late()...)
		m := openService(t, p)
		m.all(fault.Latency(20*time.Millisecond, 0)) // so that calls are under way
		m.steady()
		m.inject(m.agent.Pause)
		m.lasts(5 * time.Second)
		m.agent.Continue()
		m.recovers()
		if r := m.close(); r.LongestGap() < 4*time.Second {
			t.Errorf("the longest gap is %v: the agent was not paused", r.LongestGap())
		}
	})
}

// Row 24: the agent is killed and started again. What was under way is unknown to its clients, and nothing is sent twice.
func TestLongRow24ServiceAgentKilled(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		p.noSide = true
		p.allow = []string{load.Closed, load.Connect}
		m := openService(t, p)
		m.steady()
		for range 3 {
			m.inject(m.agent.Kill)
			m.agent.Restart()
			m.recovers()
		}
		m.close()
	})
}

// Row 23: SIGTERM under load. Clients that leave when the agent is not ready see no error at all.
func TestLongRow23ServiceDrain(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		p.drain = "{ wait: 2s, timeout: 10s }"
		m := openService(t, p)
		m.steady()
		m.inject(func() { m.agent.Signal(syscall.SIGTERM) })
		m.await(time.Second, "the agent to say that it is not ready", func() error {
			if status, body, err := m.agent.Get("/readyz"); status != http.StatusServiceUnavailable {
				return fmt.Errorf("%d %s, %v", status, body, err)
			}
			return nil
		})
		m.unharmed(500 * time.Millisecond) // it still serves
		m.drained(m.main.Stop(), m.bystand.Stop())
	})
}

// Row 23: clients that go on are told to go between two calls: what was accepted is answered, and what comes later finds nobody.
func TestLongRow23ServiceDrainUnheeded(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		p.noSide = true
		p.allow = []string{load.Connect}
		if p.of.kind == "motan2" { // whose clients are told by an answer, and then by the end
			p.allow = append(p.allow, counted.Draining, load.Closed)
		}
		m := openService(t, p)
		m.steady()
		m.inject(func() { m.agent.Signal(syscall.SIGTERM) })
		m.await(5*time.Second, "the agent to refuse connections", func() error {
			c, err := net.Dial("tcp", m.addr)
			if err == nil {
				c.Close()
				return fmt.Errorf("it accepts")
			}
			return nil
		})
		select {
		case <-m.agent.Done():
		case <-time.After(10 * time.Second):
			t.Error("the agent does not end, though its clients were told to go")
		}
		m.drained(m.main.Stop(), nil)
	})
}

// Row 23: a server ends in order. Servers of gRPC say so in time, and no call fails; a web server closes connections that are idle, and
// a write that crosses is unknown.
func TestLongRow23ServiceServerLeaves(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		if p.of.kind == "http" {
			p.allow = []string{counted.Unknown}
		}
		p.direct, p.forgetful = true, true
		m := openService(t, p)
		m.steady()
		for n := range 6 {
			s := m.peers[n%2]
			m.inject(s.Stop)
			m.unharmed(300 * time.Millisecond)
			s.Restart()
			m.ups(2)
		}
		m.recovers()
		m.close()
	}, "motan2") // whose servers do not end in order
}

// Row 23: the same after an operator drained the server at the agent. No call fails, of whatever kind.
func TestLongRow23ServiceServerDrained(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		p.direct, p.forgetful = true, true
		m := openService(t, p)
		m.steady()
		for n := range 4 {
			s := m.peers[n%2]
			m.inject(func() {
				id := m.order(`{"type": "drain", "resource": "cache", "endpoint": "` + s.Addr + `"}`)
				m.unharmed(300 * time.Millisecond)
				s.Kill()
				m.unharmed(300 * time.Millisecond)
				s.Restart()
				m.undo(id)
				m.ups(2)
			})
			m.unharmed(300 * time.Millisecond)
		}
		m.recovers()
		m.close()
	})
}

// Row 32: more comes than a limit allows. What is over it is refused and not executed, and what is under it is served as before.
func TestLongRow32ServiceLimited(t *testing.T) {
	eachServiceAlone(t, func(t *testing.T, p servicePlan) {
		p.allow = []string{counted.Limited}
		m := openService(t, p)
		m.steady()
		var id string
		m.inject(func() { id = m.order(`{"type": "limit", "resource": "cache", "rate": "100/s"}`) })
		m.visible("calls over the limit", m.outcome("limited"))
		from, start := m.main.Counts(), time.Now()
		m.lasts(3 * time.Second)
		to := m.main.Counts()
		if rate := float64(to.OK-from.OK) / time.Since(start).Seconds(); rate < 60 || rate > 150 {
			t.Errorf("%.0f calls a second were served, want 100", rate)
		}
		m.undo(id)
		m.recovers()
		if r := m.close(); r.ErrorCount(counted.Limited) == 0 {
			t.Error("no client was told")
		}
	})
}

// Rows 1 and 3 with an agent that looks for races.
func TestLongServicesUnderRaceDetector(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		p.allow, p.agent = p.cut(gone...), server.Agent{Race: true}
		p.direct, p.forgetful = true, true
		m := openService(t, p)
		m.steady()
		for range 3 {
			m.inject(m.peers[0].Kill)
			m.ups(1)
			m.peers[0].Restart()
			m.recovers()
			m.ups(2)
		}
		m.close()
	})
}

// late are the words that calls may end with when servers are silent. Clients of gRPC keep the time themselves as well.
func (p *servicePlan) late() []string {
	words := []string{counted.Timeout, counted.Unknown}
	if p.of.kind == "grpc" {
		words = append(words, load.NoReply)
	}
	return words
}

// order sends an operator's command, which must be taken, and returns its id.
func (l *lab) order(body string) string {
	l.Helper()
	status, answer, err := l.agent.Call("POST", "/v1/commands", body)
	var made struct{ ID string }
	if err != nil || status != http.StatusCreated || json.Unmarshal([]byte(answer), &made) != nil {
		l.Fatalf("POST /v1/commands %s: %d %s, %v", body, status, answer, err)
	}
	return made.ID
}

// undo takes a command back.
func (l *lab) undo(id string) {
	l.Helper()
	if status, answer, err := l.agent.Call("DELETE", "/v1/commands/"+id, ""); err != nil || status/100 != 2 {
		l.Fatalf("DELETE /v1/commands/%s: %d %s, %v", id, status, answer, err)
	}
}

// says answers whatever it hears with the same bytes.
type says struct {
	ln    net.Listener
	work  sync.WaitGroup
	mu    sync.Mutex // guards what follows
	conns []net.Conn
	asked bool
}

func say(t *testing.T, addr string, text []byte) *says {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &says{ln: ln}
	s.work.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			s.work.Go(func() {
				defer c.Close()
				b := make([]byte, 4096)
				for {
					if _, err := c.Read(b); err != nil {
						return
					}
					s.mu.Lock()
					s.asked = true
					s.mu.Unlock()
					if _, err := c.Write(text); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(s.end)
	return s
}

func (s *says) heard() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *says) end() {
	_ = s.ln.Close()
	s.mu.Lock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.work.Wait()
}
