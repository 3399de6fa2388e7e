package matrix

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/resp"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// direct are the servers' own addresses, without the proxies.
func direct(l *lab) []string {
	var list []string
	for _, n := range l.redis.Nodes() {
		list = append(list, n.Addr)
	}
	return list
}

// durable makes a server keep what it acknowledged when it is killed: it writes its log before it answers. With the default,
// everysec, that may wait for a disk that is busy.
var durable = []string{"--appendonly", "yes", "--appendfsync", "no"}

// readers is a load of reads that may go to replicas.
var readers = load.Config{Mix: load.ReadOnly, StaleReads: true}

// Row 1: the only server is killed. Calls are refused at once, nothing queues, and a restart is enough.
func TestRow01ServerKilled(t *testing.T) { eachProfile(t, row01ServerKilled) }

func row01ServerKilled(t *testing.T, p plan) {
	p.endpoints, p.servers.Args = direct, durable
	p.allow = []string{"UNAVAILABLE", "UNKNOWN", "LOADING"} // the last one is the server's own, while it reads its log
	l := open(t, p)
	l.steady()
	l.inject(l.redis.Primary.Kill)
	l.visible("refused calls", l.outcome("unavailable"))
	l.refusesFast("UNAVAILABLE", 10*time.Millisecond)
	l.visible("the endpoint down", func(now scrape) bool { return endpointUp(now) == 0 })
	l.redis.Primary.Restart()
	l.recovers()
	l.close()
}

// refusesFast sends reads one by one and fails the test unless they are refused with a word, half of them within d.
func (l *lab) refusesFast(want string, d time.Duration) {
	l.Helper()
	c := l.dial()
	defer c.Close()
	var took []time.Duration
	for range 50 {
		start := time.Now()
		v, err := c.Do("GET", "none")
		took = append(took, time.Since(start))
		if word(v) != want {
			l.Errorf("a read was answered %v, %v, want %s", v, err, want)
			return
		}
		if !strings.Contains(string(v.Str), "sluice: cache: ") {
			l.Errorf("a refusal says %q: it does not name the resource", v.Str)
			return
		}
	}
	slices.Sort(took)
	l.Logf("refused in %v (median), %v (worst of %d)", took[len(took)/2], took[len(took)-1], len(took))
	if took[len(took)/2] > d {
		l.Errorf("half of the refusals took more than %v, want %v", took[len(took)/2], d)
	}
}

// Row 1: one of two replicas is killed. Its reads go to the other one, and no client sees an error.
func TestRow01ReplicaKilled(t *testing.T) {
	l := open(t, plan{servers: server.Redis{Replicas: 2}, endpoints: direct, policy: "reads: replica", load: readers})
	l.steady()
	l.inject(l.redis.Replicas[0].Kill)
	l.visible("the endpoint down or reads repeated", func(now scrape) bool {
		return endpointUp(now) == 2 || now.sum("sluice_retries_total", "outcome", "ok") > l.before.sum("sluice_retries_total", "outcome", "ok")
	})
	l.unharmed(time.Second)
	l.redis.Replicas[0].Restart()
	l.recovers()
	l.unbroken(l.close())
}

// Row 3: connections are reset in the middle of replies. Writes without an answer are UNKNOWN and never sent again.
func TestRow03Reset(t *testing.T) { eachProfile(t, row03Reset) }

func row03Reset(t *testing.T, p plan) {
	p.allow = []string{"UNKNOWN", "UNAVAILABLE"}
	l := open(t, p)
	l.steady()
	l.inject(func() { l.proxies[0].Set(fault.ResetAfter(1000).Down()) })
	l.visible("calls of unknown outcome", l.outcome("unknown"))
	l.lasts(time.Second)
	l.proxies[0].MustHaveFired(t, fault.KindReset)
	l.proxies[0].Clear()
	l.recovers()
	if r := l.close(); r.ErrorCount("UNKNOWN") == 0 {
		t.Error("no client saw UNKNOWN")
	}
}

// Row 3: a reply that was passed on in part ends with the connection. It is never filled up, and nothing follows it.
func TestRow03ResetInsideLongReply(t *testing.T) { eachProfile(t, row03ResetInsideLongReply) }

func row03ResetInsideLongReply(t *testing.T, p plan) {
	l := open(t, p)
	const size = 400 << 10
	l.redis.Primary.Do("SET", "long", strings.Repeat("x", size))
	l.proxies[0].Set(fault.ResetAfter(size / 2).Down())
	c := l.dial()
	if _, err := c.Write(resp.AppendCommand(nil, "GET", "long")); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c.Conn)
	if head := fmt.Sprintf("$%d\r\n", size); !strings.HasPrefix(string(got), head) || len(got) > size/2 {
		t.Errorf("the client got %d bytes that begin with %.20q, want %q and at most %d", len(got), got, head, size/2)
	}
	if err != nil && !isReset(err) {
		t.Errorf("the connection ended with %v", err)
	}
	l.proxies[0].MustHaveFired(t, fault.KindReset)
	l.proxies[0].Clear()
	l.mustServe(l.dial())
	c.Close()
	l.clean()
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && strings.Contains(op.Err.Error(), "reset")
}

// mustServe fails the test unless a client is served.
func (l *lab) mustServe(c *resp.Conn) {
	l.Helper()
	defer c.Close()
	if v, err := c.Do("SET", "probe", "1"); err != nil {
		l.Errorf("SET was answered %v, %v", v, err)
	}
}

// Row 4: the server ends the connection while requests are on their way.
func TestRow04ServerHalfCloses(t *testing.T) { eachProfile(t, row04ServerHalfCloses) }

func row04ServerHalfCloses(t *testing.T, p plan) {
	p.allow = []string{"UNKNOWN", "UNAVAILABLE"}
	l := open(t, p)
	l.steady()
	l.inject(func() { l.proxies[0].Set(fault.HalfCloseAfter(1000).Down()) })
	l.visible("calls of unknown outcome", l.outcome("unknown"))
	l.lasts(500 * time.Millisecond)
	l.proxies[0].MustHaveFired(t, fault.KindHalfClose)
	l.proxies[0].Clear()
	l.recovers()
	l.close()
}

// Row 4: the server ends connections that are idle. Nobody notices.
func TestRow04ServerClosesIdle(t *testing.T) { eachProfile(t, row04ServerClosesIdle) }

func row04ServerClosesIdle(t *testing.T, p plan) {
	l := open(t, p)
	c := l.dial()
	for i := range 20 {
		if v, err := c.Do("INCR", "n"); err != nil || v.Int != int64(i+1) {
			t.Fatalf("INCR number %d was answered %v, %v", i+1, v, err)
		}
		open := l.scrape().sum("sluice_upstream_connections", "resource", "cache")
		if killed := l.redis.Primary.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"); killed.Int == 0 {
			t.Fatal("no connection was killed")
		}
		l.await(recoverWithin, "the agent to let go of its connections", func() error {
			if now := l.scrape().sum("sluice_upstream_connections", "resource", "cache"); now >= open {
				return fmt.Errorf("it has %.0f, had %.0f", now, open)
			}
			return nil
		})
	}
	c.Close()
	l.clean()
}

// Row 4: a client sends requests and ends its side. It gets every reply, then the end.
func TestRow04ClientHalfCloses(t *testing.T) { eachProfile(t, row04ClientHalfCloses) }

func row04ClientHalfCloses(t *testing.T, p plan) {
	l := open(t, p)
	l.proxies[0].Set(fault.Latency(100*time.Millisecond, 0))
	c := l.dial()
	var out []byte
	var want strings.Builder
	for i := range 100 {
		out = resp.AppendCommand(out, "INCR", "n")
		fmt.Fprintf(&want, ":%d\r\n", i+1)
	}
	if _, err := c.Write(out); err != nil {
		t.Fatal(err)
	}
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	got, err := io.ReadAll(c.Conn)
	if err != nil || string(got) != want.String() {
		t.Errorf("got %d bytes, %v, want %d and the end: %.100q", len(got), err, want.Len(), got)
	}
	l.proxies[0].MustHaveFired(t, fault.KindLatency)
	l.proxies[0].Clear()
	l.clean()
}

// Row 33: a server accepts connections and closes them at once. It is ejected, and its reads go to the other one.
func TestRow33FlappingReplica(t *testing.T) {
	l := open(t, plan{servers: server.Redis{Replicas: 2}, load: readers,
		policy: "reads: replica, eject: { base: 500ms }, probe: { every: 500ms }"})
	l.steady()
	flapping := l.proxies[1]
	l.inject(func() {
		flapping.Set(fault.CloseAfterAccept())
		flapping.ResetAll()
	})
	l.visible("the endpoint out of use", func(now scrape) bool { return endpointUp(now) == 2 })
	l.unharmed(2 * time.Second)
	flapping.MustHaveFired(t, fault.KindCloseAfterAccept)
	flapping.Clear()
	l.recovers()
	l.await(recoverWithin, "the endpoint to be back", func() error {
		if n := endpointUp(l.scrape()); n != 3 {
			return fmt.Errorf("%.0f of 3 endpoints are up", n)
		}
		return nil
	})
	l.close()
}

// Row 33: the only server flaps. It is not ejected, since it is the last one, and serves as soon as it can.
func TestRow33FlappingOnlyServer(t *testing.T) { eachProfile(t, row33FlappingOnlyServer) }

func row33FlappingOnlyServer(t *testing.T, p plan) {
	p.allow = []string{"UNAVAILABLE", "UNKNOWN"}
	l := open(t, p)
	l.steady()
	l.inject(func() {
		l.proxies[0].Set(fault.CloseAfterAccept())
		l.proxies[0].ResetAll()
	})
	l.visible("failed calls", func(now scrape) bool { return l.outcome("unknown")(now) || l.outcome("unavailable")(now) })
	l.lasts(time.Second)
	l.proxies[0].MustHaveFired(t, fault.KindCloseAfterAccept)
	if n := l.scrape().sum("sluice_endpoint_ejections_total", "resource", "cache"); n > 0 {
		t.Errorf("the last endpoint was ejected %.0f times", n)
	}
	l.proxies[0].Clear()
	l.recovers()
	l.close()
}
