package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// waitFor is how long a worker waits for the replicas after a write.
const waitFor = 25 * time.Millisecond

// waited is the answer to a WAIT: how many replicas have what was written before it.
type waited func() (int64, error)

// wait asks for the replicas' acknowledgement of what c wrote before.
func (a *app) wait(ctx context.Context, c interface {
	Wait(context.Context, int, time.Duration) *redis.IntCmd
}) waited {
	return c.Wait(ctx, a.replicas, waitFor).Result
}

// waitIn is wait inside of a pipeline.
func (a *app) waitIn(ctx context.Context, p redis.Pipeliner) waited {
	return p.Do(ctx, "wait", a.replicas, waitFor.Milliseconds()).Int64
}

// settle notes the outcome of a write, from its own error and the answer to the WAIT that followed it.
func (a *app) settle(l *ledger, seq int, word string, wait waited) {
	is := outcomeOf(word)
	if is == acked {
		n, err := wait()
		if a.journal.call("WAIT", err) == "" && n >= int64(a.replicas) {
			is = durable
		}
	}
	l.end(seq, is)
}

// strings writes and reads a few keys that belong to it alone.
func (a *app) strings(client string) {
	const keys = 8
	var regs [keys]*ledger
	for i := range regs {
		regs[i] = a.register(fmt.Sprintf("reg:%s:%d", client, i), client)
	}
	n := 0
	a.loop(1, func(ctx context.Context) {
		l := regs[n/2%keys]
		if n++; n%2 == 0 {
			seq, value := l.next()
			c := a.rdb.Conn() // WAIT speaks of the writes of its own connection
			defer func() { _ = c.Close() }()
			word, wait := a.journal.call("SET", c.Set(ctx, l.key, value, 0).Err()), waited(nil)
			if word == "" {
				wait = a.wait(ctx, c)
			}
			a.settle(l, seq, word, wait)
			return
		}
		before, w := l.last()
		value, err := a.rdb.Get(ctx, l.key).Result()
		if a.journal.call("GET", err) == "" {
			a.read(l, value, errors.Is(err, redis.Nil), before, w)
		}
	})
}

// read checks what a read returned; before is the latest write that was acknowledged when the read began.
func (a *app) read(l *ledger, value string, none bool, before int, w write) {
	if none {
		if before >= 0 {
			a.journal.find(Finding{Kind: "stale", From: w.at, To: now(), Durable: w.is == durable}, "%s has no value, %d was acknowledged", l.key, before)
		}
		return
	}
	seq, err := decode(value, l.key, l.client)
	if err != nil {
		a.journal.wrong("GET %s: %v", l.key, err)
		return
	}
	switch got, ok := l.get(seq); {
	case !ok:
		a.journal.wrong("GET %s: write %d was never sent", l.key, seq)
	case got.is == refused:
		a.journal.find(Finding{Kind: "refused", From: got.at, To: now()}, "GET %s: write %d was refused", l.key, seq)
	case seq < before && got.is != unknown: // Redis knows no order between connections: an unknown write may come late
		a.journal.find(Finding{Kind: "stale", From: w.at, To: now(), Durable: w.is == durable}, "%s is at %d, %d was acknowledged", l.key, seq, before)
	}
}

// register makes the ledger of a key that holds its latest write.
func (a *app) register(key, client string) *ledger {
	l := a.journal.ledger(key, client)
	a.atEnd(func(ctx context.Context, servers []*redis.Client) { a.checkRegister(ctx, servers, l) })
	return l
}

// tokens makes the ledger of a list to which every write adds its value.
func (a *app) tokens(key, client string) *ledger {
	l := a.journal.ledger(key, client)
	a.atEnd(func(ctx context.Context, servers []*redis.Client) { a.checkTokens(ctx, servers, l) })
	return l
}

// counter makes the ledger of a key that every write of any client raises by one.
func (a *app) counter(key string) *ledger {
	l := a.journal.ledger(key, "")
	a.atEnd(func(ctx context.Context, servers []*redis.Client) { a.checkCounter(ctx, servers, l) })
	return l
}

// pipelines sends requests of several kinds at once; their replies must not change places.
func (a *app) pipelines(client string) {
	reg, list, count := a.register("preg:"+client, client), a.tokens("plist:"+client, client), a.counter("pcount:"+client)
	a.loop(3, func(ctx context.Context) {
		r, rv := reg.next()
		t, tv := list.next()
		c, _ := count.next()
		before, w := reg.last()
		p := a.rdb.Pipeline()
		get1 := p.Get(ctx, reg.key)
		echo := p.Echo(ctx, tv)
		set := p.Set(ctx, reg.key, rv, 0)
		incr := p.Incr(ctx, count.key)
		push := p.RPush(ctx, list.key, tv)
		get2 := p.Get(ctx, reg.key)
		wait := a.waitIn(ctx, p)
		_, _ = p.Exec(ctx) // each command has its own error

		if value, err := get1.Result(); a.journal.call("GET", err) == "" {
			a.read(reg, value, errors.Is(err, redis.Nil), before, w)
		}
		if said, err := echo.Result(); a.journal.call("ECHO", err) == "" && said != tv {
			a.journal.wrong("ECHO %s was answered %.80q", tv, said)
		}
		a.settle(list, t, a.journal.call("RPUSH", push.Err()), wait)
		a.settle(count, c, a.journal.call("INCR", incr.Err()), wait)
		word := a.journal.call("SET", set.Err())
		a.settle(reg, r, word, wait)
		if word == "" {
			before, w = r, write{acked, now()}
		}
		if value, err := get2.Result(); a.journal.call("GET", err) == "" {
			a.read(reg, value, errors.Is(err, redis.Nil), before, w)
		}
	})
}

// counters count, one client for each.
func (a *app) counters(client string) {
	l := a.counter("count:" + client)
	a.loop(2, func(ctx context.Context) {
		seq, _ := l.next()
		p := a.rdb.Pipeline()
		incr, wait := p.Incr(ctx, l.key), a.waitIn(ctx, p)
		_, _ = p.Exec(ctx)
		if n, err := incr.Result(); err == nil && (n < 1 || n > int64(seq)+1) {
			a.journal.wrong("INCR %s was answered %d after %d calls", l.key, n, seq+1)
		}
		a.settle(l, seq, a.journal.call("INCR", incr.Err()), wait)
	})
}

// transactions write a pair of keys and a list together, and read the pair together.
func (a *app) transactions(client string) {
	one, two := a.register("{tx:"+client+"}:1", client), a.register("{tx:"+client+"}:2", client)
	list := a.tokens("{tx:"+client+"}:list", client)
	a.loop(4, func(ctx context.Context) {
		s1, v1 := one.next()
		s2, v2 := two.next()
		s3, v3 := list.next()
		c := a.rdb.Conn()
		defer func() { _ = c.Close() }()
		p := c.TxPipeline()
		p.Set(ctx, one.key, v1, 0)
		p.Set(ctx, two.key, v2, 0)
		p.RPush(ctx, list.key, v3)
		_, err := p.Exec(ctx)
		word, wait := a.journal.call("EXEC", err), waited(nil)
		switch {
		case errors.Is(err, redis.TxFailedErr): // an UNWATCH that failed left a watch to this connection
			word = "EXECABORT"
		case word == "":
			wait = a.wait(ctx, c)
		}
		a.settle(one, s1, word, wait)
		a.settle(two, s2, word, wait)
		a.settle(list, s3, word, wait)

		p = c.TxPipeline()
		g1, g2 := p.Get(ctx, one.key), p.Get(ctx, two.key)
		if _, err = p.Exec(ctx); a.journal.call("EXEC", err) != "" {
			return
		}
		n1, err1 := decode(g1.Val(), one.key, client)
		n2, err2 := decode(g2.Val(), two.key, client)
		switch {
		case g1.Val() == "" && g2.Val() == "":
		case err1 != nil || err2 != nil || n1 != n2:
			a.journal.wrong("a transaction read %.60q and %.60q, which are written together", g1.Val(), g2.Val())
		}
	})
}

// optimists count together, each with WATCH: whoever was too late tries again.
func (a *app) optimists(client string, workers int) {
	l := a.counter("watched:" + client)
	for range workers {
		a.loop(4, func(ctx context.Context) {
			seq, _ := l.next()
			done, word, wait := false, "", waited(nil)
			err := a.rdb.Watch(ctx, func(tx *redis.Tx) error {
				n, err := tx.Get(ctx, l.key).Int64()
				if err != nil && !errors.Is(err, redis.Nil) {
					return err
				}
				_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
					p.Set(ctx, l.key, strconv.FormatInt(n+1, 10), 0)
					return nil
				})
				if word, done = a.journal.call("WATCH", err), true; err == nil {
					wait = a.wait(ctx, tx)
				}
				return err
			}, l.key)
			switch {
			case errors.Is(err, redis.TxFailedErr):
				l.end(seq, refused)
			case !done: // before anything was written
				a.journal.call("WATCH", err)
				l.end(seq, refused)
			default:
				a.settle(l, seq, word, wait)
			}
		})
	}
}

// queue passes tokens from a producer to readers that block.
func (a *app) queue(client string) {
	l := a.journal.ledger("queue:"+client, client)
	q := &taken{seen: map[int]int64{}}
	a.atEnd(func(ctx context.Context, servers []*redis.Client) { a.checkQueue(ctx, servers, l, q) })
	a.loop(6, func(ctx context.Context) {
		seq, value := l.next()
		word := a.journal.call("RPUSH", a.rdb.RPush(ctx, l.key, value).Err())
		l.end(seq, outcomeOf(word)) // WAIT would say nothing of use: it is taken out at once
	})
	for range 2 {
		a.loop(1, func(ctx context.Context) {
			kv, err := a.rdb.BLPop(ctx, time.Second, l.key).Result()
			word := a.journal.call("BLPOP", err)
			switch {
			case word != "":
				q.failed(outcomeOf(word))
			case err != nil: // nothing came in time
			case len(kv) != 2 || kv[0] != l.key:
				a.journal.wrong("BLPOP %s was answered %.80q", l.key, kv)
			default:
				a.take(l, q, kv[1])
			}
		})
	}
}

// taken is what was taken out of a queue.
type taken struct {
	mu      sync.Mutex    // guards all
	seen    map[int]int64 // when, by sequence
	unknown int           // calls that may have taken one more
}

func (q *taken) failed(is outcome) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if is == unknown {
		q.unknown++
	}
}

func (a *app) take(l *ledger, q *taken, value string) {
	seq, err := decode(value, l.key, l.client)
	if err != nil {
		a.journal.wrong("BLPOP %s: %v", l.key, err)
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if at, twice := q.seen[seq]; twice {
		a.journal.find(Finding{Kind: "repeated", From: at, To: now()}, "BLPOP %s: token %d came twice", l.key, seq)
		return
	}
	q.seen[seq] = now()
}

// messages publishes, and reads what was published. Messages may be lost, but not change.
func (a *app) messages(client string) {
	channel := "news:" + client
	sub := a.rdb.Subscribe(context.Background(), channel)
	a.wg.Go(func() {
		<-a.stop
		_ = sub.Close() // nothing is open in it
	})
	a.wg.Go(func() {
		seen := map[int]bool{}
		for m := range sub.Channel() {
			seq, err := decode(m.Payload, channel, client)
			switch {
			case err != nil:
				a.journal.wrong("message: %v", err)
			case seen[seq]: // one of unknown outcome may come late, but none comes twice
				a.journal.find(Finding{Kind: "repeated", To: now()}, "message %d came twice", seq)
			default:
				seen[seq] = true
				a.journal.call("message", nil)
			}
		}
	})
	n := 0
	a.loop(5, func(ctx context.Context) {
		a.journal.call("PUBLISH", a.rdb.Publish(ctx, channel, encode(channel, client, n)).Err())
		n++
	})
}

// surveys makes calls that an operator may not like.
func (a *app) surveys(client string) {
	key := "survey:" + client
	a.loop(12, func(ctx context.Context) {
		found, err := a.rdb.Keys(ctx, "survey:*").Result()
		if a.journal.call("KEYS", err) == "" && (len(found) > 1 || len(found) == 1 && found[0] != key) {
			a.journal.wrong("KEYS survey:* was answered %.80q", found)
		}
		a.journal.call("STRLEN", a.rdb.StrLen(ctx, key).Err())
		a.journal.call("SETNX", a.rdb.SetNX(ctx, key, "here", 0).Err())
	})
}
