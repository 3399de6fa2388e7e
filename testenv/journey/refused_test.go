package journey

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-mesh/sluice/testenv/server"
)

const configPlain = `
agent:
  admin: {{addr "admin"}}
  drain: { wait: 0s, timeout: 5s }
resources:
  feed-cache:
    kind: redis
    listen: {{addr "cache"}}
    settings: { profile: {{.profile}} }
    groups: { yf: { endpoints: ["{{.redis}}"] } }
`

// A rule may refuse any request of a transaction. Whichever it is, nothing of the transaction is executed, and the
// client, which takes it for over, goes on with the same connection.
func TestRefusedTransaction(t *testing.T) {
	for _, profile := range []string{"multiplexed", "transparent"} {
		t.Run(profile, func(t *testing.T) {
			sluice := server.Build(t, "github.com/sluice-mesh/sluice/cmd/sluice", false)
			r := server.Start(t, server.Redis{})
			l := &lab{t: t, sluice: sluice, agent: server.Start(t, server.Agent{Config: configPlain, Race: race,
				Vars: map[string]string{"redis": r.Primary.Addr, "profile": profile}})}
			c := redis.NewClient(&redis.Options{Addr: l.agent.Addr("feed-cache"), MaxRetries: -1, PoolSize: 1, ReadTimeout: 3 * time.Second})
			defer func() { _ = c.Close() }()

			set := func(p redis.Pipeliner) error {
				p.Set(t.Context(), "key", "value", 0)
				p.Get(t.Context(), "key")
				return nil
			}
			plain := func() error { _, err := c.TxPipelined(t.Context(), set); return err }
			watched := func() error {
				return c.Watch(t.Context(), func(tx *redis.Tx) error {
					if err := tx.Get(t.Context(), "key").Err(); err != nil && !errors.Is(err, redis.Nil) {
						return err
					}
					_, err := tx.TxPipelined(t.Context(), set)
					return err
				}, "key")
			}
			for name, transaction := range map[string]func() error{"plain": plain, "watched": watched} {
				for _, op := range []string{"MULTI", "SET", "EXEC"} {
					l.order("fault feed-cache --match op="+op+" --error", "UNAVAILABLE out of order")
					if err := transaction(); err == nil {
						t.Errorf("%s: a transaction whose %s was refused was acknowledged", name, op)
					}
					l.undo()
					if v := r.Primary.Do("EXISTS", "key"); v.Int != 0 {
						t.Errorf("%s: a transaction whose %s was refused was executed", name, op)
					}
					if err := transaction(); err != nil {
						t.Errorf("%s: a transaction after one whose %s was refused: %v", name, op, err)
					}
					if v := r.Primary.Do("DEL", "key"); v.Int != 1 {
						t.Errorf("%s: a transaction after one whose %s was refused was not executed", name, op)
					}
				}
			}
		})
	}
}
