package clients

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/sluice-mesh/sluice/testenv/server"
)

const twoProfiles = `agent:
  admin: {{addr "admin"}}
  log: { level: warn }
resources:
  multiplexed:
    kind: redis
    listen: {{addr "multiplexed"}}
    groups: { all: { endpoints: ["{{.multiplexed}}"] } }
  transparent:
    kind: redis
    listen: {{addr "transparent"}}
    groups: { all: { endpoints: ["{{.transparent}}"] } }
    settings: { profile: transparent }
`

// TestGoRedis runs one program direct and through both profiles, each with a server of its own, and compares what it saw.
func TestGoRedis(t *testing.T) {
	direct := server.Start(t, server.Redis{}).Primary
	vars := map[string]string{}
	for _, profile := range []string{"multiplexed", "transparent"} {
		vars[profile] = server.Start(t, server.Redis{}).Primary.Addr
	}
	agent := server.Start(t, server.Agent{Config: twoProfiles, Vars: vars})
	for _, protocol := range []int{2, 3} {
		want := program(t, direct.Addr, protocol)
		if len(want) < 200 {
			t.Fatalf("the program notes only %d results", len(want))
		}
		for profile := range vars {
			t.Run(fmt.Sprintf("%s/RESP%d", profile, protocol), func(t *testing.T) {
				if diff := cmp.Diff(want, program(t, agent.Addr(profile), protocol)); diff != "" {
					t.Errorf("through the agent (+) it differs from direct (-):\n%s", diff)
				}
			})
		}
	}
}

// journal is what the program saw, a line for each result.
type journal struct {
	t     *testing.T
	lines []string
}

func (j *journal) note(what string, v any, err error) {
	if err != nil {
		v = fmt.Sprintf("error %q", err)
	}
	j.lines = append(j.lines, fmt.Sprintf("%s: %v", what, v))
}

// do notes each command of script, one a line, and its result.
func (j *journal) do(ctx context.Context, c redis.Cmdable, script string) {
	d := c.(interface {
		Do(context.Context, ...any) *redis.Cmd
	})
	for line := range strings.Lines(script) {
		args := []any{}
		for _, word := range strings.Fields(line) {
			args = append(args, word)
		}
		if len(args) > 0 {
			v, err := d.Do(ctx, args...).Result()
			j.note(strings.TrimSpace(line), v, err)
		}
	}
}

// program is an application of Redis. It must see the same each time it is run on an empty server.
func program(t *testing.T, addr string, protocol int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := redis.NewClient(&redis.Options{Addr: addr, Protocol: protocol, ClientName: "shop", PoolSize: 20, MaxRetries: -1, ContextTimeoutEnabled: true})
	defer c.Close()
	j := &journal{t: t}
	if err := c.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	j.do(ctx, c, commands)
	j.note("script", redis.NewScript(`return {KEYS[1], ARGV[1], redis.call("INCR", KEYS[1])}`).Run(ctx, c, []string{"hits"}, "x").Val(), nil)
	j.pipelines(ctx, c)
	j.transactions(ctx, c)
	j.blocking(ctx, c)
	j.subscriptions(ctx, c)
	j.scans(ctx, c)
	j.databases(ctx, addr, protocol)
	j.together(ctx, c)
	return j.lines
}

func (j *journal) pipelines(ctx context.Context, c *redis.Client) {
	cmds, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range 50 {
			p.Set(ctx, fmt.Sprint("pipe", i), i, 0)
			p.Get(ctx, fmt.Sprint("pipe", i))
		}
		p.LPush(ctx, "pipe0", "not a list")
		p.Get(ctx, "missing")
		return nil
	})
	for _, cmd := range cmds {
		j.note("pipeline", cmd, nil)
	}
	j.note("pipeline", nil, err)
	big := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB: passed on in parts
	j.note("big", c.Set(ctx, "big", big, 0).Val(), nil)
	got, err := c.Get(ctx, "big").Result()
	j.note("big is what it was", got == big, err)
}

func (j *journal) transactions(ctx context.Context, c *redis.Client) {
	cmds, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, "tx", 1, 0)
		p.IncrBy(ctx, "tx", 41)
		p.Get(ctx, "tx")
		return nil
	})
	j.note("transaction", cmds, err)
	_, err = c.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, "tx", 2, 0)
		p.Do(ctx, "NOSUCHCOMMAND")
		return nil
	})
	j.note("transaction with a mistake", nil, err)
	increment := func(between func()) error {
		return c.Watch(ctx, func(tx *redis.Tx) error {
			n, err := tx.Get(ctx, "tx").Int()
			if err != nil {
				return err
			}
			between()
			_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error { return p.Set(ctx, "tx", n+1, 0).Err() })
			return err
		}, "tx")
	}
	j.note("watch", nil, increment(func() {}))
	err = increment(func() { c.Set(ctx, "tx", 100, 0) })
	j.note("watch that loses", errors.Is(err, redis.TxFailedErr), nil)
	j.note("tx", c.Get(ctx, "tx").Val(), nil)
}

func (j *journal) blocking(ctx context.Context, c *redis.Client) {
	type popped struct {
		v   []string
		err error
	}
	got := make(chan popped)
	go func() {
		v, err := c.BLPop(ctx, 10*time.Second, "jobs").Result()
		got <- popped{v, err}
	}()
	server.Wait(j.t, 10*time.Second, "a client to wait in BLPOP", func() error {
		if n := infoField(c.Info(ctx, "clients").Val(), "blocked_clients"); n != "1" {
			return fmt.Errorf("%s clients are blocked", n)
		}
		return nil
	})
	c.RPush(ctx, "jobs", "job")
	p := <-got
	j.note("BLPOP", p.v, p.err)
	j.do(ctx, c, "BLPOP jobs 0.1")
	left, leave := context.WithTimeout(ctx, 50*time.Millisecond)
	defer leave()
	j.note("BLPOP that the client leaves", c.BLPop(left, 10*time.Second, "jobs").Err() != nil, nil)
	j.note("XREAD", c.XRead(ctx, &redis.XReadArgs{Streams: []string{"log", "1-1"}, Block: time.Second}).Val(), nil)
}

func infoField(info, name string) string {
	_, rest, _ := strings.Cut(info, name+":")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

func (j *journal) subscriptions(ctx context.Context, c *redis.Client) {
	sub := c.Subscribe(ctx, "news")
	defer sub.Close()
	receive := func() {
		switch m, err := sub.ReceiveTimeout(ctx, 10*time.Second); m := m.(type) {
		case *redis.Pong:
			j.note("subscriber", m.Payload, err)
		default:
			j.note("subscriber", m, err)
		}
	}
	receive()
	j.note("PSUBSCRIBE", nil, sub.PSubscribe(ctx, "n*"))
	receive()
	for i := range 5 {
		j.note("PUBLISH", c.Publish(ctx, "news", i).Val(), nil)
		receive()
		receive()
	}
	j.note("PING", nil, sub.Ping(ctx, "there?"))
	receive()
	j.note("NUMSUB", c.PubSubNumSub(ctx, "news").Val(), nil)
	j.note("UNSUBSCRIBE", nil, sub.Unsubscribe(ctx, "news"))
	receive()
	shard := c.SSubscribe(ctx, "local")
	defer shard.Close()
	v, err := shard.ReceiveTimeout(ctx, 10*time.Second)
	j.note("SSUBSCRIBE", v, err)
	j.note("SPUBLISH", c.SPublish(ctx, "local", "x").Val(), nil)
	v, err = shard.ReceiveTimeout(ctx, 10*time.Second)
	j.note("shard subscriber", v, err)
}

func (j *journal) scans(ctx context.Context, c *redis.Client) {
	n := 0
	it := c.Scan(ctx, 0, "pipe*", 7).Iterator()
	for it.Next(ctx) {
		n++
	}
	j.note("SCAN", n, it.Err())
	n = 0
	it = c.HScan(ctx, "user", 0, "", 1).Iterator()
	for it.Next(ctx) {
		n++
	}
	j.note("HSCAN", n, it.Err())
}

// databases sees that SELECT holds for one client and not for its neighbours.
func (j *journal) databases(ctx context.Context, addr string, protocol int) {
	for db := range 3 {
		c := redis.NewClient(&redis.Options{Addr: addr, Protocol: protocol, DB: db})
		j.note(fmt.Sprint("database ", db), c.SetNX(ctx, "only here", db, 0).Val(), nil)
		j.note(fmt.Sprint("database ", db), c.Get(ctx, "only here").Val(), nil)
		c.Close()
	}
	conn := redis.NewClient(&redis.Options{Addr: addr, Protocol: protocol}).Conn()
	j.do(ctx, conn, "SELECT 1\nGET where\nSET where 1\nCLIENT SETNAME other\nCLIENT GETNAME\nSELECT 0\nGET where\nSELECT 99")
	j.note("Conn", nil, conn.Close())
}

// together sees that many goroutines get the replies to their own requests.
func (j *journal) together(ctx context.Context, c *redis.Client) {
	var wg sync.WaitGroup
	wrong := make(chan string, 1)
	for w := range 16 {
		wg.Go(func() {
			key := fmt.Sprint("mine", w)
			for i := range 50 {
				want := fmt.Sprint(w, ":", i)
				if err := c.Set(ctx, key, want, 0).Err(); err != nil {
					want = err.Error()
				}
				if got, err := c.Get(ctx, key).Result(); got != want {
					select {
					case wrong <- fmt.Sprintf("GET %s gives %q %v, want %q", key, got, err, want):
					default:
					}
				}
			}
		})
	}
	wg.Wait()
	close(wrong)
	j.note("together", <-wrong, nil)
}

// commands are those whose answers do not depend on time or on the order inside a set or hash of more than one entry.
const commands = `
PING
PING hello
ECHO hello
CLIENT GETNAME
SET k v
GET k
GET missing
SET k w NX
SET k w XX GET
SETRANGE k 1 xyz
GETRANGE k 0 2
STRLEN k
APPEND k tail
GETDEL k
SET n 10
INCR n
DECRBY n 4
INCRBYFLOAT n 0.5
INCR n
MSET a 1 b 2 c 3
MGET a b missing c
MSETNX a 9 z 9
EXISTS a b c z
DEL a b z
UNLINK c
TYPE n
SETEX t 100 v
TTL t
PERSIST t
TTL t
TTL missing
EXPIRE t 100 GT
RENAME t t2
RENAME missing x
COPY t2 t3
OBJECT ENCODING n
SETBIT bits 7 1
GETBIT bits 7
BITCOUNT bits
BITFIELD bits INCRBY u8 0 5
BITPOS bits 1
HSET user name ann
HSET user name ann
HGET user name
HGETALL user
HMGET user name age
HINCRBY user age 30
HEXISTS user age
HLEN user
HDEL user age
HSTRLEN user name
HRANDFIELD user 1 WITHVALUES
HGETALL missing
RPUSH list a b c d
LPUSH list z
LRANGE list 0 -1
LINDEX list 1
LINSERT list BEFORE b x
LPOS list x
LREM list 1 x
LSET list 0 y
LTRIM list 0 2
LPOP list
RPOP list 2
LPOP list 2
LMOVE missing list LEFT RIGHT
LMPOP 1 missing LEFT
SADD set one
SISMEMBER set one
SMISMEMBER set one two
SMEMBERS set
SCARD set
SINTERCARD 2 set set
SUNIONSTORE set2 set missing
SPOP set2
SMOVE set missing one
SREM set none
SDIFF missing set
ZADD z 1 a 2 b 3.5 c
ZADD z NX CH 9 a 4 d
ZSCORE z c
ZMSCORE z a missing
ZRANGE z 0 -1 WITHSCORES
ZRANGEBYSCORE z (1 +inf LIMIT 0 2
ZRANGESTORE z2 z 0 1
ZREVRANK z a
ZRANK z missing
ZINCRBY z 1.5 a
ZINCRBY z inf d
ZSCORE z d
ZCOUNT z -inf 3
ZPOPMIN z
ZPOPMAX z 1
ZUNION 2 z z2 WITHSCORES
ZRANDMEMBER missing
ZLEXCOUNT z - +
ZMPOP 1 z MIN
PFADD hll a b c
PFCOUNT hll
GEOADD geo 13.361389 38.115556 Palermo
GEOPOS geo Palermo missing
GEOSEARCH geo FROMLONLAT 13 38 BYRADIUS 100 km ASC
GEOHASH geo Palermo
XADD log 1-1 f v
XADD log 2-1 f w
XADD log 1-1 f v
XLEN log
XRANGE log - +
XREVRANGE log + - COUNT 1
XREAD STREAMS log 1-1
XGROUP CREATE log readers 0
XGROUP CREATE log readers 0
XREADGROUP GROUP readers me COUNT 1 STREAMS log >
XPENDING log readers
XACK log readers 1-1
XTRIM log MAXLEN 1
XDEL log 9-9
EVAL return{1,'two',false,redis.status_reply('FINE')} 0
EVAL return{redis.call('GET',KEYS[1])} 1 n
EVAL return{double=3.5} 0
EVAL return(redis.error_reply('MINE')) 0
EVALSHA ffffffffffffffffffffffffffffffffffffffff 0
SCRIPT EXISTS ffffffffffffffffffffffffffffffffffffffff
SORT list ALPHA
SORT_RO list ALPHA DESC
DUMP missing
RESTORE r 0 garbage
DBSIZE
RANDOMKEY x
CONFIG GET maxmemory-policy
COMMAND COUNT
COMMAND GETKEYS MSET a 1 b 2
PUBSUB CHANNELS
MEMORY USAGE missing
ACL WHOAMI
ACL CAT scripting nonsense
CLIENT NO-EVICT on
CLIENT REPLY nonsense
CLIENT NOSUCH
NOSUCH command
GET
GET a b
LPUSH n x
INCR list
HSET user odd
SET k v EX abc
EXPIRE k notanumber
OBJECT FREQ n
WAIT 0 1
EXEC
DISCARD
UNWATCH
MULTI
SET inside 1
INCR inside
EXEC
RESET
`
