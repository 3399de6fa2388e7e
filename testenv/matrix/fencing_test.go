package matrix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// Row 11: nobody but the agent's own checks watches a primary and its replica. The primary is cut off, the replica is
// promoted by hand, and the primary comes back and still says that it is one. It gets nothing, not even from an agent
// that starts then, until it is a replica.
func TestRow11OldPrimaryIsFenced(t *testing.T) { eachProfile(t, row11OldPrimaryIsFenced) }

func row11OldPrimaryIsFenced(t *testing.T, p plan) {
	p.servers = server.Redis{Replicas: 1}
	p.policy = "probe: { every: 500ms, timeout: 300ms }"
	p.allow = []string{"UNAVAILABLE", "UNKNOWN", "TIMEOUT", "READONLY", load.Closed, load.Connect}
	l := open(t, p)
	old, next := l.redis.Primary, l.redis.Replicas[0]
	l.plan.load.VerifyAddress = next.Addr // whatever was acknowledged is there in the end
	l.steady()
	l.inject(func() {
		l.proxies[0].Set(fault.Refuse())
		l.proxies[0].ResetAll()
	})
	l.visible("refused calls", l.outcome("unavailable"))
	l.redis.AwaitReplication(t)
	old.Do("CONFIG", "RESETSTAT")
	next.Do("REPLICAOF", "NO", "ONE")
	l.recovers()
	l.proxies[0].MustHaveFired(t, fault.KindRefuse)

	l.proxies[0].Clear()
	l.await(recoverWithin, "the old primary to be reached again", func() error {
		if l.proxies[0].Open() == 0 {
			return fmt.Errorf("no connection to it is open")
		}
		return nil
	})
	l.unharmed(2 * time.Second)
	l.fenced(0)
	l.untouched(old)
	said := 0
	for line := range strings.Lines(l.agent.Output()) {
		if strings.Contains(line, "endpoint is fenced") && strings.Contains(line, "endpoint="+l.proxies[0].Addr) {
			said++
		}
	}
	if said != 1 {
		l.Errorf("the log says %d times that it is fenced", said)
	}

	l.alone()
	l.agent.Kill()
	l.agent.Restart()
	l.recovers()
	l.fenced(0)
	l.untouched(old)

	old.Do(append([]string{"REPLICAOF"}, strings.Split(next.Addr, ":")...)...)
	l.await(10*time.Second, "the old primary to be a replica of the pool", func() error {
		if e := l.endpointAt(0); e.Role != "replica" || e.State != "up" {
			return fmt.Errorf("it is %+v", e)
		}
		return nil
	})
	l.unharmed(time.Second)
	l.close()
}

// endpointView is an endpoint as the admin interface shows it.
type endpointView struct{ Address, Role, State, Detail string }

func (l *lab) views() []endpointView {
	l.Helper()
	var answer struct{ Endpoints []endpointView }
	if err := json.Unmarshal([]byte(l.endpoints()), &answer); err != nil || len(answer.Endpoints) == 0 {
		l.Fatalf("endpoints: %v: %s", err, l.endpoints())
	}
	return answer.Endpoints
}

// endpointAt is the endpoint behind a proxy.
func (l *lab) endpointAt(proxy int) endpointView {
	l.Helper()
	list := l.views()
	i := slices.IndexFunc(list, func(e endpointView) bool { return e.Address == l.proxies[proxy].Addr })
	if i < 0 {
		l.Fatalf("no endpoint %s in %+v", l.proxies[proxy].Addr, list)
	}
	return list[i]
}

// fenced checks that an endpoint is shown as fenced and as of no use.
func (l *lab) fenced(proxy int) {
	l.Helper()
	e := l.endpointAt(proxy)
	if e.Role != "primary (fenced)" || e.State != "fenced" || !strings.Contains(e.Detail, l.proxies[1-proxy].Addr+" is written to") {
		l.Errorf("it is shown as %+v", e)
	}
	if n := l.scrape().sum("sluice_endpoint_up", "endpoint", e.Address); n != 0 {
		l.Errorf("sluice_endpoint_up is %.0f", n)
	}
}

// untouched checks that a server executed no command of a client since its statistics were reset.
func (l *lab) untouched(n *server.RedisNode) {
	l.Helper()
	stats := string(n.Do("INFO", "commandstats").Str)
	for _, op := range []string{"get", "set", "del", "incr", "append", "echo"} {
		if strings.Contains(stats, "cmdstat_"+op+":") {
			l.Errorf("%s executed %s:\n%s", n.Name, op, stats)
		}
	}
}

// Row 12: the agent starts while all its sentinels are gone. It serves from what it knew before, as far as that can be
// read.
func TestRow12ColdStartFromDisk(t *testing.T) {
	p := sentinels(plan{allow: []string{"UNAVAILABLE", "UNKNOWN", "TIMEOUT", load.Closed, load.Connect}})
	l := open(t, p)
	file := filepath.Join(l.agent.Dir, "data", "endpoints.json")
	l.steady()
	l.await(5*time.Second, "the endpoints to be kept", func() error {
		b, err := os.ReadFile(file)
		for _, n := range l.redis.Nodes() {
			if err == nil && !bytes.Contains(b, []byte(n.Addr)) {
				err = fmt.Errorf("%s is not in it", n.Addr)
			}
		}
		return err
	})
	for _, s := range l.redis.Sentinels {
		s.Kill()
	}
	l.alone()
	cold := func(damage ...string) {
		l.agent.Kill()
		for _, f := range damage {
			cutFile(t, f)
		}
		l.agent.Restart()
	}
	cold()
	l.recovers()
	for _, e := range l.views() {
		if !strings.Contains(e.Detail, "known from an earlier run") || e.State != "up" {
			t.Errorf("%+v is not marked as known from an earlier run", e)
		}
	}
	whole, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file+".1", whole, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	cold(file)
	l.recovers()
	if !strings.Contains(l.agent.Output(), "using this previous generation") {
		t.Error("the log does not say that the previous generation is used")
	}
	l.main.Stop().Check(l, 1, l.plan.allow...)
	cold(file, file+".1")
	l.refuses("UNAVAILABLE")

	for _, s := range l.redis.Sentinels {
		s.Restart()
	}
	l.startLoad()
	l.recovers()
	l.alone()
	for _, e := range l.views() {
		if e.Detail != "" || e.State != "up" {
			t.Errorf("after the sentinels reported: %+v", e)
		}
	}
	l.plan.files = 4 // as at the start of any agent without sentinels: what it found is checked now
	l.close()
}

// alone ends the load on the other resource: the agent of a row that goes on is killed.
func (l *lab) alone() {
	l.bystand.Stop()
	l.bystand = nil
}

// cutFile leaves half of a file, if it is there.
func cutFile(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, b[:len(b)/2], 0o600)
	}
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}

// refuses fails the test unless a write is refused with a word.
func (l *lab) refuses(want string) {
	l.Helper()
	c := l.dial()
	defer c.Close()
	if v, err := c.Do("SET", "none", "1"); word(v) != want {
		l.Errorf("a write was answered %v, %v, want %s", v, err, want)
	}
}

// Row 12: the same with a cluster whose only seed is gone: a server of the past tells about the others.
func TestRow12ColdStartOfACluster(t *testing.T) {
	var seed *fault.Proxy
	l := open(t, plan{servers: server.Redis{Shards: 3}, settings: "topology: cluster", allow: []string{load.Closed, load.Connect, "UNAVAILABLE", "UNKNOWN"},
		endpoints: func(l *lab) []string {
			seed = l.proxies[0]
			return []string{seed.Addr}
		}})
	l.steady()
	file := filepath.Join(l.agent.Dir, "data", "endpoints.json")
	l.await(5*time.Second, "the endpoints to be kept", func() error {
		b, err := os.ReadFile(file)
		if n := l.redis.Nodes()[2].Addr; err == nil && !bytes.Contains(b, []byte(n)) {
			err = fmt.Errorf("%s is not in it", n)
		}
		return err
	})
	l.alone()
	l.agent.Kill()
	seed.Set(fault.Refuse())
	l.agent.Restart()
	l.recovers()
	seed.MustHaveFired(t, fault.KindRefuse)
	for _, e := range l.views() {
		if e.State != "up" || e.Detail != "" {
			t.Errorf("%+v: the servers themselves should have told by now", e)
		}
	}
	l.close()
}
