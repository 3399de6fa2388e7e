//go:build long

package matrix

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// Row 11: an orderly failover between servers that nobody but the agent's own checks watches.
func TestLongRow11OrderlyFailover(t *testing.T) {
	eachProfile(t, func(t *testing.T, p plan) {
		p.servers = server.Redis{Replicas: 1}
		p.endpoints, p.policy = direct, "probe: { every: 500ms }"
		p.allow = []string{"UNAVAILABLE", "UNKNOWN", "TIMEOUT", "READONLY"}
		l := open(t, p)
		l.steady()
		next := l.redis.Replicas[0]
		l.inject(func() {
			l.redis.Primary.Do("FAILOVER", "TO", "127.0.0.1", next.Addr[strings.IndexByte(next.Addr, ':')+1:])
		})
		l.await(5*time.Second, "the roles to change", func() error {
			if v, err := next.Query("ROLE"); err != nil || string(v.Elem[0].Str) != "master" {
				return fmt.Errorf("ROLE of the replica: %v, %v", v, err)
			}
			return nil
		})
		l.since = time.Now()
		l.visible("the new roles", func(now scrape) bool {
			return now.sum("sluice_endpoint_up", "endpoint", next.Addr, "role", "primary") == 1 &&
				now.sum("sluice_endpoint_up", "endpoint", l.redis.Primary.Addr, "role", "replica") == 1
		})
		l.recovers()
		l.close()
	})
}

// Row 11: a server that is told to be a replica again refuses writes. None is lost, and none goes to two primaries: the
// old primary, which comes back empty and takes itself for one, gets nothing.
func TestLongRow11OldPrimaryComesBack(t *testing.T) {
	p := sentinels(plan{allow: []string{"UNAVAILABLE", "UNKNOWN", "TIMEOUT"}})
	l := open(t, p)
	l.steady()
	old := l.redis.Primary
	l.inject(old.Kill)
	l.redis.AwaitFailover(t, old)
	l.recovers()
	for _, s := range l.redis.Sentinels { // they do not see it come back: it stays what it takes itself for
		s.Pause()
	}
	old.Restart()
	l.unharmed(3 * time.Second)
	if v := old.Do("DBSIZE"); v.Int != 0 {
		t.Errorf("%d keys were written to the old primary", v.Int)
	}
	for _, s := range l.redis.Sentinels {
		s.Continue()
	}
	l.recovers()
	l.close()
}

// Row 11: a shard of a cluster loses its primary and promotes its replica.
func TestLongRow11ClusterFailover(t *testing.T) {
	var p plan
	p.servers = server.Redis{Shards: 3, Replicas: 1}
	p.settings, p.endpoints = "topology: cluster", direct
	p.load = load.Config{Mix: load.Mix{Get: 4, Set: 3, Del: 1, Incr: 1, Append: 1, Echo: 1, MGet: 1}}
	p.allow = []string{"UNAVAILABLE", "UNKNOWN", "TIMEOUT", "CLUSTERDOWN", "MOVED"}
	l := open(t, p)
	l.steady()
	s := l.redis.Shards[1]
	l.inject(s.Primary.Kill)
	l.visible("failed calls", func(now scrape) bool { return l.outcome("unavailable")(now) || l.outcome("unknown")(now) })
	l.await(15*time.Second, "the replica to be promoted and the cluster to be whole", func() error {
		v, err := s.Replicas[0].Query("ROLE")
		if err != nil || string(v.Elem[0].Str) != "master" {
			return fmt.Errorf("its role is %v, %v", v, err)
		}
		for _, n := range l.redis.Nodes() {
			if !n.Running() {
				continue
			}
			if v, err := n.Query("CLUSTER", "INFO"); err != nil || !strings.Contains(string(v.Str), "cluster_state:ok") {
				return fmt.Errorf("%s does not see the cluster whole: %v", n.Name, err)
			}
		}
		return nil
	})
	l.recovers()
	l.close()
}

// Row 12: all sentinels are gone. Nothing happens, and when they are back they are heard again.
func TestLongRow12SentinelsGone(t *testing.T) {
	p := sentinels(plan{allow: []string{"UNAVAILABLE", "UNKNOWN", "TIMEOUT"}})
	l := open(t, p)
	l.steady()
	l.inject(func() {
		for _, s := range l.redis.Sentinels {
			s.Kill()
		}
	})
	l.unharmed(4 * time.Second)
	if !l.logged("level=WARN", "sentinel") {
		t.Error("the log does not say that no sentinel answers")
	}
	for _, s := range l.redis.Sentinels {
		s.Restart()
	}
	old := l.redis.Primary
	l.inject(old.Kill)
	l.redis.AwaitFailover(t, old)
	l.recovers()
	l.close()
}

// Row 12: the agent starts while its sentinels are gone. It refuses calls, does not take a sentinel for a server, and
// serves soon after they are there.
func TestLongRow12ColdStart(t *testing.T) {
	eachProfile(t, func(t *testing.T, p plan) {
		p = sentinels(p)
		p.prepare = func(t *testing.T, l *lab) {
			for _, s := range l.redis.Sentinels {
				s.Kill()
			}
		}
		l := open(t, p)
		l.refusesFast("UNAVAILABLE", 10*time.Millisecond)
		for _, s := range l.redis.Sentinels {
			s.Restart()
		}
		l.startLoad()
		if !l.healthy(recoverWithin, 400*time.Millisecond) {
			t.Fatalf("no service %v after the sentinels are there: %+v\n%s", recoverWithin, l.main.Counts(), l.endpoints())
		}
		l.plan.allow, l.plan.files = []string{"UNAVAILABLE"}, 4 // three servers are probed now and a sentinel is listened to
		l.close()
	})
}

// Row 12: the sentinels know no primary of the configured name. Calls are refused; no sentinel gets them.
func TestLongRow12UnknownMaster(t *testing.T) {
	p := sentinels(plan{})
	p.settings = "topology: sentinel, master: another"
	l := open(t, p)
	l.refusesFast("UNAVAILABLE", 10*time.Millisecond)
	l.await(5*time.Second, "the log to name the setting", func() error {
		if !l.logged("level=WARN", "settings.master") {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	l.clean()
}

// Row 12: the seeds of a cluster are gone. What was found through them serves on.
func TestLongRow12SeedsGone(t *testing.T) {
	var seed *fault.Proxy
	l := open(t, plan{servers: server.Redis{Shards: 3}, settings: "topology: cluster",
		endpoints: func(l *lab) []string {
			seed = l.proxies[0]
			return []string{seed.Addr}
		}})
	l.steady()
	l.inject(func() {
		seed.Set(fault.Refuse())
		seed.ResetAll()
	})
	l.unharmed(6 * time.Second) // the slots are read every five seconds
	seed.MustHaveFired(t, fault.KindRefuse)
	seed.Clear()
	l.recovers()
	l.close()
}

// Row 13: a sentinel reports far fewer servers than before, or none at all. They are kept.
func TestLongRow13ShrunkenTopology(t *testing.T) {
	var mode atomic.Int32 // 0: all, 1: the primary alone, 2: nothing
	var sentinel *fake
	p := plan{servers: server.Redis{Replicas: 3}, settings: "topology: sentinel, master: main"}
	p.prepare = func(t *testing.T, l *lab) {
		sentinel = startFake(t, "", func(args []string) string { return fakeSentinel(l, mode.Load(), args) })
	}
	p.endpoints = func(*lab) []string { return []string{sentinel.Addr} }
	l := open(t, p)
	l.steady()
	all := func() {
		if n := endpointUp(l.scrape()); n != 4 {
			t.Errorf("%.0f of 4 endpoints are in use", n)
		}
	}
	all()
	l.inject(func() { mode.Store(1) })
	l.await(3*time.Second, "the log to tell of the report that is held", func() error {
		if !l.logged("level=WARN", "held") {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	l.unharmed(3 * time.Second)
	all()
	mode.Store(2)
	asked := sentinel.calls.Load()
	l.unharmed(3 * time.Second)
	all()
	if sentinel.calls.Load() == asked {
		t.Error("the sentinel was not asked: the fault did not happen")
	}
	mode.Store(0)
	l.recovers()
	all()
	l.close()
}

// fakeSentinel answers as a sentinel that knows the lab's servers, or claims to know fewer.
func fakeSentinel(l *lab, mode int32, args []string) string {
	host := func(addr string) (string, string) { h, p, _ := strings.Cut(addr, ":"); return h, p }
	line := strings.ToUpper(strings.Join(args[:min(len(args), 2)], " "))
	h, p := host(l.redis.Primary.Addr)
	switch {
	case line == "SENTINEL GET-MASTER-ADDR-BY-NAME":
		if mode == 2 {
			return "*-1\r\n"
		}
		return array(h, p)
	case line == "SENTINEL MASTER":
		return array("ip", h, "port", p, "config-epoch", "1")
	case line == "SENTINEL REPLICAS":
		if mode != 0 {
			return "*0\r\n"
		}
		out := fmt.Sprintf("*%d\r\n", len(l.redis.Replicas))
		for _, r := range l.redis.Replicas {
			h, p := host(r.Addr)
			out += array("ip", h, "port", p)
		}
		return out
	case args[0] == "SUBSCRIBE":
		return "*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n"
	case args[0] == "ROLE":
		return "*2\r\n$8\r\nsentinel\r\n*1\r\n$4\r\nmain\r\n"
	}
	return "-ERR unknown command\r\n"
}

// Row 13 and 11: a sentinel that was cut off names a primary of the past. It is not believed.
func TestLongRow11StaleSentinel(t *testing.T) {
	var stale, fresh *fake
	var cut atomic.Bool
	p := plan{servers: server.Redis{Replicas: 1}, settings: "topology: sentinel, master: main"}
	p.prepare = func(t *testing.T, l *lab) {
		answer := func(primary, replica, epoch string) func([]string) string {
			return func(args []string) string {
				_, pp, _ := strings.Cut(primary, ":")
				_, rp, _ := strings.Cut(replica, ":")
				switch strings.ToUpper(strings.Join(args[:min(len(args), 2)], " ")) {
				case "SENTINEL GET-MASTER-ADDR-BY-NAME":
					return array("127.0.0.1", pp)
				case "SENTINEL MASTER":
					return array("ip", "127.0.0.1", "port", pp, "config-epoch", epoch)
				case "SENTINEL REPLICAS":
					return "*1\r\n" + array("ip", "127.0.0.1", "port", rp)
				}
				return fakeSentinel(l, 0, args)
			}
		}
		now, past := l.redis.Primary.Addr, l.redis.Replicas[0].Addr
		good := answer(now, past, "5")
		fresh = startFake(t, "", func(args []string) string {
			if cut.Load() {
				return ""
			}
			return good(args)
		})
		stale = startFake(t, "", answer(past, now, "4"))
	}
	p.endpoints = func(*lab) []string { return []string{fresh.Addr, stale.Addr} }
	l := open(t, p)
	l.steady()
	l.inject(func() { cut.Store(true) })
	l.unharmed(4 * time.Second)
	if stale.calls.Load() == 0 {
		t.Error("the stale sentinel was not asked: the fault did not happen")
	}
	if n := l.scrape().sum("sluice_endpoint_up", "endpoint", l.redis.Primary.Addr, "role", "primary"); n != 1 {
		t.Errorf("the primary is not one any more\n%s", l.endpoints())
	}
	cut.Store(false)
	l.recovers()
	l.close()
}
