package journey

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// waitLong is how long WAIT waits for a replica.
const waitLong = time.Second

const configTwo = `
agent:
  admin: {{addr "admin"}}
  drain: { wait: 0s, timeout: 5s }
resources:
  feed-cache:
    kind: redis
    listen: {{addr "cache"}}
    groups:
      yf: { weight: 100, endpoints: ["{{.yf}}"] }
      tc: { weight: 0, endpoints: ["{{.tc}}"] }
`

// WAIT says how many replicas have what its connection wrote. After a switch, the servers of the other group have
// replicas too, but never heard of the write.
func TestWaitSpeaksOfWhatWasWritten(t *testing.T) {
	sluice := server.Build(t, "github.com/sluice-mesh/sluice/cmd/sluice", false)
	yf, tc := server.Start(t, server.Redis{}), server.Start(t, server.Redis{Replicas: 1})
	l := &lab{t: t, sluice: sluice, agent: server.Start(t, server.Agent{Config: configTwo, Race: race,
		Vars: map[string]string{"yf": yf.Primary.Addr, "tc": tc.Primary.Addr}})}
	rdb := redis.NewClient(&redis.Options{Addr: l.agent.Addr("feed-cache"), MaxRetries: -1, PoolSize: 1})
	defer func() { _ = rdb.Close() }()
	c := rdb.Conn()
	defer func() { _ = c.Close() }()

	set := func() {
		t.Helper()
		if err := c.Set(t.Context(), "key", "value", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	wait := func(want int64) {
		t.Helper()
		if n, err := c.Wait(t.Context(), 1, waitLong).Result(); err != nil || n != want {
			t.Errorf("WAIT was answered %d, %v; want %d", n, err, want)
		}
	}
	server.Wait(t, 10*time.Second, "the primary of tc to count its replica", func() error {
		if v := tc.Primary.Do("WAIT", "1", "100"); v.Int != 1 {
			return fmt.Errorf("WAIT is answered %d", v.Int)
		}
		return nil
	})
	set()
	l.order("switch feed-cache tc=100 --why", "a test")
	wait(0)
	set()
	wait(1)
	l.undo()
	wait(1)
	l.order("switch feed-cache tc=100 --why", "a test")
	tc.Primary.Kill()
	if n, err := c.Wait(t.Context(), 1, waitLong).Result(); err == nil {
		t.Errorf("WAIT was answered %d although the server of the write is gone", n)
	}
}
