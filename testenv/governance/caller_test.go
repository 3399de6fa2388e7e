package governance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// caller is an application that asks one cache of an agent all the time which server it is talking to.
type caller struct {
	cache *redis.Client
	stop  context.CancelFunc
	wg    sync.WaitGroup
	pace  time.Duration

	calls, errors atomic.Int64
	lastError     atomic.Pointer[string]
	at            atomic.Pointer[string] // what answered last

	mu    sync.Mutex
	times load.Histogram // guarded by mu
}

// call starts a caller of a resource, which makes a call every 2 ms.
func call(t *testing.T, agent *server.AgentProcess, resource string) *caller {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	c := &caller{stop: stop, pace: 2 * time.Millisecond}
	c.cache = redis.NewClient(&redis.Options{Addr: agent.Addr(resource), MaxRetries: -1, PoolSize: 2})
	t.Cleanup(func() {
		stop()
		c.wg.Wait()
		c.cache.Close()
	})
	c.wg.Go(func() { c.loop(ctx) })
	return c
}

func (c *caller) loop(ctx context.Context) {
	tick := time.NewTicker(c.pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		start := time.Now()
		where, err := c.cache.Get(ctx, "where").Result()
		took := time.Since(start)
		if ctx.Err() != nil {
			return
		}
		c.calls.Add(1)
		if err != nil {
			text := err.Error()
			c.lastError.Store(&text)
			c.errors.Add(1)
			continue
		}
		c.at.Store(&where)
		c.mu.Lock()
		c.times.Add(took)
		c.mu.Unlock()
	}
}

// forget drops what was measured so far.
func (c *caller) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.times = load.Histogram{}
}

func (c *caller) p99() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.times.Quantile(0.99)
}

// answeredBy fails unless the last call was answered by a server.
func (c *caller) answeredBy(where string) error {
	if p := c.at.Load(); p == nil || *p != where {
		got := "nobody"
		if p != nil {
			got = *p
		}
		return fmt.Errorf("%s answers and not %s", got, where)
	}
	return nil
}

// unharmed fails the test if a call failed so far, or if no more are answered now.
func (c *caller) unharmed(t *testing.T, what string) {
	t.Helper()
	before := c.calls.Load()
	server.Wait(t, 10*time.Second, "the application to go on "+what, func() error {
		if n := c.calls.Load() - before; n < 50 {
			return fmt.Errorf("%d calls since", n)
		}
		return nil
	})
	if n := c.errors.Load(); n > 0 {
		t.Errorf("%s: the application saw %d errors in %d calls, the last: %s", what, n, c.calls.Load(), *c.lastError.Load())
	}
}

// cacheAt starts a Redis that says where it is, and returns its address.
func cacheAt(t *testing.T, where string) string {
	t.Helper()
	return cache(t, where, server.Redis{}).Addr
}

func cache(t *testing.T, where string, spec server.Redis) *server.RedisNode {
	t.Helper()
	node := server.Start(t, spec).Primary
	c := redis.NewClient(&redis.Options{Addr: node.Addr, Password: spec.Password})
	defer c.Close()
	if err := c.Set(t.Context(), "where", where, 0).Err(); err != nil {
		t.Fatal(err)
	}
	return node
}

// ofAgent is what an agent says of its centre and of its commands.
type ofAgent struct {
	Center struct {
		Connected     bool
		Name, URL     string
		Revision      uint64
		Stale         *time.Time
		Error, Unkept string
	}
	Commands []struct{ ID string }
}

func statusOf(agent *server.AgentProcess) (s ofAgent, err error) {
	code, body, err := agent.Call(http.MethodGet, "/v1/status", "")
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("GET /v1/status: %d %s", code, body)
	}
	if err == nil {
		err = json.Unmarshal([]byte(body), &s)
	}
	return s, err
}

// gauge reads a number without labels from an agent's metrics.
func gauge(agent *server.AgentProcess, name string) (v float64, err error) {
	_, body, err := agent.Call(http.MethodGet, "/metrics", "")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			_, err = fmt.Sscan(rest, &v)
			return v, err
		}
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}

// linked fails unless an agent is linked to a centre, and says so everywhere.
func linked(agent *server.AgentProcess) error {
	s, err := statusOf(agent)
	if err != nil {
		return err
	}
	up, err := gauge(agent, "sluice_center_connected")
	if err == nil && (!s.Center.Connected || s.Center.Stale != nil || up != 1) {
		err = fmt.Errorf("%+v, sluice_center_connected %v", s.Center, up)
	}
	return err
}

// alone fails unless an agent says that no centre confirms what it runs.
func alone(agent *server.AgentProcess) error {
	s, err := statusOf(agent)
	if err != nil {
		return err
	}
	up, err := gauge(agent, "sluice_center_connected")
	if err != nil {
		return err
	}
	age, err := gauge(agent, "sluice_center_stale_seconds")
	if err == nil && (s.Center.Connected || s.Center.Stale == nil || s.Center.Error == "" || up != 0 || age <= 0) {
		err = fmt.Errorf("%+v, sluice_center_connected %v, sluice_center_stale_seconds %v", s.Center, up, age)
	}
	return err
}
