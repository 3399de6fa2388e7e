package governance

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// relay passes connections on and counts what comes back, which tells how much a centre sends.
type relay struct {
	addr string
	down atomic.Int64 // bytes from the target
}

func startRelay(t *testing.T, target string) *relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: ln.Addr().String()}
	var all sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	all.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			center, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			mu.Lock()
			open[client], open[center] = true, true
			mu.Unlock()
			shut := func() { client.Close(); center.Close() }
			all.Go(func() { defer shut(); _, _ = io.Copy(center, client) })
			all.Go(func() { defer shut(); _, _ = io.Copy(io.MultiWriter(client, counter{&r.down}), center) })
		}
	})
	return r
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// Five agents lose their centre (SIGKILL). Applications notice nothing, the agents say that they are alone, a command ends at
// its time, and when the centre is back within 5 s everybody is up to date, having been sent only what had changed.
func TestCenterKilled(t *testing.T) {
	t.Parallel()
	yf, tc := cacheAt(t, "yf"), cacheAt(t, "tc")
	l := newLab(t)
	r := startRelay(t, l.center.Address)
	l.urls = []string{"http://" + r.addr}
	l.put("feed-cache", redisSpec(yf, tc))
	var big strings.Builder // a document that would be noticed if it were sent again
	for i := range 60 {
		fmt.Fprintf(&big, "  label-%02d: %s\n", i, strings.Repeat(string(rune('a'+i%26)), 60))
	}
	l.put("big", "kind: redis\nlabels:\n"+big.String()+"groups: { yf: { endpoints: [\""+yf+"\"] } }\n")

	var agents []*server.AgentProcess
	var callers []*caller
	var names []string
	for i := range 5 {
		name := fmt.Sprintf("web-%d", i)
		agents, names = append(agents, l.agent(name, "yf", "", "feed-cache", "big")), append(names, name)
	}
	l.settled(names...)
	for _, a := range agents {
		callers = append(callers, call(t, a, "feed-cache"))
	}
	everywhere := func(where string) func() error {
		return func() error {
			for _, c := range callers {
				if err := c.answeredBy(where); err != nil {
					return err
				}
			}
			return nil
		}
	}
	unharmed := func(when string) {
		t.Helper()
		for _, c := range callers {
			c.unharmed(t, when)
		}
	}
	const lasts = 4 * time.Second
	given := time.Now()
	id := l.command(fmt.Sprintf(`{"type": "switch", "select": {"name": "feed-cache"}, "weights": {"tc": 100}, "why": "test", "for": %q}`, lasts))
	l.await(3*time.Second, "the command at all agents", everywhere("tc"))
	if full := r.down.Load(); full < 5*5000 {
		t.Fatalf("the centre sent %d bytes to five agents: too few to tell a full update from a delta", full)
	}

	l.center.Kill()
	for _, a := range agents {
		l.await(5*time.Second, "an agent to say that it is alone", func() error { return alone(a) })
	}
	if time.Since(given) < lasts-200*time.Millisecond {
		if err := everywhere("tc")(); err != nil {
			t.Errorf("without a centre, before the command ends: %v", err)
		}
	}
	l.await(lasts, "the command to end by itself", everywhere("yf"))
	if took := time.Since(given); took < lasts || took > lasts+time.Second {
		t.Errorf("a command for %v was in force for %v", lasts, took)
	}
	for _, a := range agents {
		if s, err := statusOf(a); err != nil || len(s.Commands) > 0 {
			t.Errorf("%s still has commands: %+v %v", a.Name, s, err)
		}
	}
	unharmed("while the centre is away")

	before := r.down.Load()
	l.center.Restart()
	back := time.Now()
	for _, a := range agents {
		l.await(time.Until(back.Add(5*time.Second)), "an agent to be linked again", func() error { return linked(a) })
	}
	l.settled(names...)
	t.Logf("all linked %v after the restart, for %d bytes", time.Since(back).Round(time.Millisecond), r.down.Load()-before)
	if sent := r.down.Load() - before; sent > 5*5000 {
		t.Errorf("the centre sent %d bytes after its restart: more than what had changed", sent)
	}
	if out := l.center.Must("GET", "/v1/commands", ""); strings.Contains(out, id) {
		t.Errorf("the command is over and the centre still lists it: %s", out)
	}
	l.put("feed-cache", redisSpec(tc, yf))
	l.await(5*time.Second, "a change after the restart", everywhere("tc"))
	unharmed("after the centre came back")
}
