package redis

import (
	"context"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sluice-mesh/sluice/testenv/server"
)

func TestFirst(t *testing.T) {
	s := server.Start(t, server.Redis{})
	a := startAgent(t, newFake(t, s.Primary.Addr), nil)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, proto := range []int{2, 3} {
		c := goredis.NewClient(&goredis.Options{Addr: a.addr, Protocol: proto})
		defer func() { _ = c.Close() }()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(c.Set(ctx, "k", "v", 0).Err())
		if v, err := c.Get(ctx, "k").Result(); v != "v" || err != nil {
			t.Fatal(v, err)
		}
		_, err := c.TxPipelined(ctx, func(p goredis.Pipeliner) error {
			p.Incr(ctx, "n")
			p.Incr(ctx, "n")
			return nil
		})
		must(err)
		err = c.Watch(ctx, func(tx *goredis.Tx) error {
			_, err := tx.TxPipelined(ctx, func(p goredis.Pipeliner) error { p.Incr(ctx, "n"); return nil })
			return err
		}, "n")
		must(err)
		sub := c.Subscribe(ctx, "ch")
		_, err = sub.Receive(ctx)
		must(err)
		must(c.Publish(ctx, "ch", "hello").Err())
		m, err := sub.ReceiveMessage(ctx)
		must(err)
		if m.Payload != "hello" {
			t.Fatal(m)
		}
		must(sub.Close())
		if v := c.BLPop(ctx, 100*time.Millisecond, "nolist"); v.Err() != goredis.Nil {
			t.Fatal(v)
		}
		big := make([]byte, 20<<20)
		must(c.Set(ctx, "big", big, 0).Err())
		v, err := c.Get(ctx, "big").Bytes()
		must(err)
		if len(v) != len(big) {
			t.Fatal(len(v))
		}
	}
}
