package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
)

var redisKind = kind{
	name:     "redis",
	resource: "feed-cache",
	port:     6380,
	dsn:      func(addr string) string { return "redis://" + addr },
	start:    startRedis,
	web:      callRedis,
	batch:    readRedis,
	try: func(r string) []hint {
		return []hint{
			{"sluice", "switch " + r + " tc=100 --for 1m --why 'only web-1 moves'", "all calls of this agent move to tc, and back after a minute"},
			{"sluice", "switch " + r + " yf=70 tc=30 --for 1m --dry-run", "says what would move, and does nothing"},
			{"sluice", "degrade " + r + " --match op=KEYS --for 1m --why 'KEYS is too slow'", "KEYS is answered by the agent, the rest goes on"},
			{"sluice", "fault " + r + " --delay 20ms --percent 10 --for 1m", "one call in ten takes 20 ms longer: look at p99"},
			{"sluice", "limit " + r + " 100/s --match op=SET --for 1m", "more than 100 SETs a second are refused"},
			{"sluice", "observe " + r + " --match op=KEYS", "single calls as they happen"},
		}
	},
}

const groupKey = "demo:group"

// redisServer is a miniredis.
type redisServer struct {
	m *miniredis.Miniredis

	mu sync.Mutex // guards up
	up bool
}

func startRedis(_ *stage, group string) (embedded, error) {
	s := &redisServer{m: miniredis.NewMiniRedis(), up: true}
	if err := s.m.Start(); err != nil {
		return nil, fmt.Errorf("embedded redis of %s: %w", group, err)
	}
	if err := s.m.Set(groupKey, group); err != nil {
		return nil, err
	}
	for i := range users {
		if err := s.m.Set(userKey(i), fmt.Sprintf("user %d in %s", i, group)); err != nil {
			return nil, err
		}
	}
	return s, s.addRole()
}

// addRole adds the one command that the agent's health check asks and miniredis lacks.
func (s *redisServer) addRole() error {
	return s.m.Server().Register("ROLE", func(c *server.Peer, _ string, _ []string) {
		c.WriteLen(3)
		c.WriteBulk("master")
		c.WriteInt(0)
		c.WriteLen(0)
	})
}

func (s *redisServer) Addr() string { return s.m.Addr() }

func (s *redisServer) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up {
		s.m.Close()
		s.up = false
	}
}

func (s *redisServer) Up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up {
		return nil
	}
	if err := s.m.Restart(); err != nil {
		return err
	}
	s.up = true
	return s.addRole()
}

func (s *redisServer) Close() { s.Down() }

const users = 200

func userKey(i int) string { return fmt.Sprintf("user:%d", i) }

// callRedis is an ordinary application with an ordinary client library: it only knows the agent's address.
func callRedis(ctx context.Context, _ *stage, addr, application string, s *stats) {
	const workers = 4
	c := redisClient(addr, application, workers)
	defer c.Close()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			pace := time.NewTicker(8 * time.Millisecond)
			defer pace.Stop()
			for n := 0; ; n++ {
				select {
				case <-ctx.Done():
					return
				case <-pace.C:
					redisRound(ctx, c, s, n)
				}
			}
		})
	}
	wg.Wait()
}

func redisClient(addr, application string, connections int) *redis.Client {
	quietRedis()
	return redis.NewClient(&redis.Options{
		Addr: addr, PoolSize: connections, ClientName: application,
		MaxRetries:  -1, // so that every refusal is seen
		ReadTimeout: 3 * time.Second, DialTimeout: time.Second,
	})
}

// readRedis is an application that goes through the users, one after the other.
func readRedis(ctx context.Context, _ *stage, addr, application string, s *stats) {
	c := redisClient(addr, application, 1)
	defer c.Close()
	inTurns(ctx, func(n int) {
		s.call("GET", func() error {
			group, err := c.Get(ctx, groupKey).Result()
			if err == nil {
				s.answered(group)
			}
			return err
		})
		s.call("GET", func() error { return c.Get(ctx, userKey(n%users)).Err() })
	})
}

// quietRedis keeps the client library from writing into the table: what fails is recorded with its call.
var quietRedis = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// redisRound does what a request of a user would: look him up, count, store, and now and then something that one should
// not do.
func redisRound(ctx context.Context, c *redis.Client, s *stats, n int) {
	user := userKey(rand.IntN(users))
	s.call("GET", func() error {
		group, err := c.Get(ctx, groupKey).Result()
		if err == nil {
			s.answered(group)
		}
		return err
	})
	s.call("GET", func() error { return c.Get(ctx, user).Err() })
	if n%2 == 0 {
		s.call("SET", func() error { return c.Set(ctx, "session:"+user, n, time.Minute).Err() })
	}
	if n%4 == 0 {
		s.call("INCR", func() error { return c.Incr(ctx, "visits").Err() })
	}
	if n%50 == 0 {
		s.call("KEYS", func() error { return c.Keys(ctx, "user:1*").Err() })
	}
}
