//go:build long

package matrix

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Row 21: the agent has a memory limit and clients that do not take their replies. It waits for them instead of
// buffering, and others are served.
func TestLongRow21SlowReaders(t *testing.T) {
	const limit = 64 << 20
	eachProfile(t, func(t *testing.T, p plan) {
		p.noSide = true
		if p.profile == "multiplexed" {
			p.allow = []string{"TIMEOUT"}
		}
		p.agent.Env = []string{fmt.Sprintf("GOMEMLIMIT=%d", limit)}
		l := open(t, p)
		l.redis.Primary.Do("SET", "long", strings.Repeat("x", 4<<20))
		l.steady()
		request := strings.Repeat("*2\r\n$3\r\nGET\r\n$4\r\nlong\r\n", 3)
		var conns []net.Conn
		l.inject(func() { conns = l.connect(20, send(request)) })
		l.visible("calls that wait", func(now scrape) bool { return now.sum("sluice_inflight", "resource", "cache") >= 20 })
		// Calls that were already queued behind such a reply on a shared connection wait for it as long as they may.
		if !l.healthy(2*time.Second, 500*time.Millisecond) || !l.healthy(6*time.Second, 2*time.Second) {
			t.Errorf("others are not served: %+v", l.main.Counts())
		}
		if n := l.main.Counts().Errors; n > 8 {
			t.Errorf("%d calls of 8 clients timed out behind the slow ones", n)
		}
		rss := l.agent.Usage().RSS
		t.Logf("20 clients that ask for 12 MiB each and take nothing: %d MiB resident", rss>>20)
		if rss > l.baseRSS+limit {
			t.Errorf("resident memory is %d MiB", rss>>20)
		}
		hangUp(conns)
		l.recovers()
		l.close()
	})
}

// Row 21: memory runs out. Spare memory is given back, then no new connections are accepted, then calls are refused in the
// protocol's own words; what is in a transaction goes on, operators get in all the time, and when the clients that took
// the memory leave, everything is as before.
func TestLongRow21MemoryShort(t *testing.T) {
	const limit, crowd = 64 << 20, 3000
	eachProfile(t, func(t *testing.T, p plan) {
		p.noSide = true // the whole agent is short of memory, and so is every resource
		p.allow = []string{"LIMITED"}
		p.agent.Env = []string{fmt.Sprintf("GOMEMLIMIT=%d", limit)}
		p.policy = "timeout: 5s, dials: { rate: 10000/s }" // refusals are what this is about, not the time of a busy machine
		p.load.Timeout = 10 * time.Second
		l := open(t, p)
		l.steady()
		conns := l.connect(crowd, nil)
		l.await(5*time.Second, "the crowd to be accepted", func() error {
			if n := l.scrape().sum("sluice_sessions", "resource", "cache"); n < crowd {
				return fmt.Errorf("%.0f sessions", n)
			}
			return nil
		})
		inside, outside := l.dial(), l.dial()
		if v, err := inside.Do("MULTI"); err != nil {
			t.Fatalf("MULTI was answered %v, %v", v, err)
		}
		l.unharmed(500 * time.Millisecond) // silent clients are no reason to refuse anything
		if level := l.scrape().sum("sluice_memory_level"); level != 0 {
			t.Errorf("with %d silent clients the level is %.0f", crowd, level)
		}
		admin := l.operate()
		l.inject(func() { l.fill(conns) })
		l.since = time.Now() // filling takes its time
		l.visible("refused calls", l.outcome("limited"))
		v, _ := outside.Do("GET", "none")
		if word(v) != "LIMITED" || !strings.Contains(string(v.Str), "sluice: cache: the agent is short of memory (") {
			t.Errorf("a call was answered %v", v)
		}
		if v, err := inside.Do("SET", "inside", "1"); string(v.Str) != "QUEUED" {
			t.Errorf("a call inside a transaction was answered %v, %v", v, err)
		}
		if v, err := inside.Do("EXEC"); err != nil || len(v.Elem) != 1 {
			t.Errorf("EXEC was answered %v, %v", v, err)
		}
		if _, body, err := l.agent.Call("GET", "/v1/status", ""); err != nil || !strings.Contains(body, "short of memory (") {
			t.Errorf("the status does not say it: %.200s, %v", body, err)
		}
		sessions := l.scrape().sum("sluice_sessions")
		late := l.connect(20, send("*1\r\n$4\r\nPING\r\n"))
		l.lasts(time.Second)
		if now := l.scrape().sum("sluice_sessions"); now > sessions+1 { // a listener had been waiting for one
			t.Errorf("%.0f connections were accepted", now-sessions)
		}
		rss := l.agent.Usage().RSS
		t.Logf("%d MiB resident, %s", rss>>20, l.memory())
		if rss > limit+32<<20 { // the program itself, and the kernel's part of its threads
			t.Errorf("resident memory is %d MiB, the limit is %d MiB", rss>>20, limit>>20)
		}
		hangUp(conns)
		l.recovers()
		for _, c := range late {
			if reply, err := readFull(c, len("+PONG\r\n")); err != nil {
				t.Fatalf("a client that had to wait was answered %q, %v", reply, err)
			}
		}
		admin()
		hangUp(late)
		inside.Close()
		outside.Close()
		l.await(recoverWithin, "the level to be calm", func() error {
			if now := l.scrape(); now.sum("sluice_memory_level") != 0 {
				return errors.New(l.memory())
			}
			return nil
		})
		for _, said := range []string{"calls are refused", "not short any more"} {
			if !l.logged(said) {
				t.Errorf("the log does not say %q", said)
			}
		}
		l.close()
	})
}

// fill makes clients send requests that never end, until calls are refused: about 10 MiB a second, of which the agent
// takes four looks.
func (l *lab) fill(conns []net.Conn) {
	l.Helper()
	part := []byte("*3\r\n$3\r\nSET\r\n$4\r\npart\r\n$30000\r\n" + strings.Repeat("p", 29000))
	seen := map[float64]bool{}
	for i, c := range conns {
		_ = c.SetWriteDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Write(part); err != nil {
			l.Fatalf("client %d of the crowd: %v", i, err)
		}
		if i%25 > 0 {
			continue
		}
		l.lasts(70 * time.Millisecond)
		level := l.scrape().sum("sluice_memory_level")
		seen[level] = true
		if level == 3 {
			l.Logf("%d clients with 29 KB each, levels %v: %s", i, seen, l.memory())
			return
		}
	}
	// What came last may not have been looked at yet.
	l.await(2*time.Second, "calls to be refused", func() error {
		if l.scrape().sum("sluice_memory_level") != 3 {
			return errors.New(l.memory())
		}
		return nil
	})
}

// memory is what the metrics say of the agent's memory.
func (l *lab) memory() string {
	now := l.scrape()
	return fmt.Sprintf("level %.0f, %.1f of %.0f MiB", now.sum("sluice_memory_level"), now.sum("sluice_memory_bytes")/(1<<20),
		now.sum("sluice_memory_limit_bytes")/(1<<20))
}

// operate looks at the admin interface all the time until the function that it returns is called, which fails the test
// when it did not always answer within three seconds, most of which a busy machine may take.
func (l *lab) operate() (end func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	var worst time.Duration
	var failed error
	looks := 0
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			start := time.Now()
			if status, _, err := l.agent.Get("/healthz"); err != nil || status != 200 {
				failed = fmt.Errorf("GET /healthz: %d, %w", status, err)
			}
			worst = max(worst, time.Since(start))
			looks++
		}
	}()
	var once sync.Once
	end = func() {
		once.Do(func() {
			close(stop)
			<-done
			l.Logf("the admin interface answered %d times, in %v at worst", looks, worst.Round(time.Millisecond))
			if failed != nil || worst > 3*time.Second {
				l.Errorf("an operator does not get in: %v, an answer took %v", failed, worst)
			}
		})
	}
	l.Cleanup(end)
	return end
}

// Row 21: a subscriber does not take its messages. Memory stays bounded, and publishers are not held up.
func TestLongRow21SlowSubscriber(t *testing.T) {
	l := open(t, plan{noSide: true})
	l.steady()
	conns := l.connect(3, ask("*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n", "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"))
	c := l.dial()
	message := strings.Repeat("m", 64<<10)
	var grown int64
	l.inject(func() {
		grown = l.peak(func() {
			for range 800 { // 50 MiB for each subscriber, more than a server keeps for one
				if v, err := c.Do("PUBLISH", "news", message); err != nil {
					t.Fatalf("PUBLISH was answered %v, %v", v, err)
				}
			}
		})
	})
	t.Logf("memory grew by %d KiB", grown>>10)
	if grown > 8<<20 {
		t.Errorf("memory grew by %d KiB for subscribers that take nothing", grown>>10)
	}
	l.unharmed(500 * time.Millisecond)
	c.Close()
	hangUp(conns)
	l.recovers()
	l.close()
}
