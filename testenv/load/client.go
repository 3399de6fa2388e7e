package load

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/testenv/load/resp"
)

// client is one connection with the keys that it owns. All of it belongs to one goroutine at a time.
type client struct {
	r      *Runner
	number int
	rnd    *rand.Rand
	timer  *time.Timer

	conn   net.Conn // nil: not connected
	reader *resp.Reader
	pause  time.Duration // before the next try to connect

	strings []*slot
	counter *slot
	log     *slot
	retired []*slot // replaced, waiting for a last check
	checked []*slot // had their last check, to be deleted
	gen     int     // of the newest key
	wheel   []opKind
	echoes  uint64

	batch []op
	out   []byte
	value []byte
	reply resp.Value // here and not on the stack, because messages about it make it escape

	ok, dials, verified, unverified int64
	found                           [numFindings]int64
	errors                          map[string]int64
	timeline                        []Count
	hist                            Histogram
}

func newClient(r *Runner, number int) *client {
	c := &client{r: r, number: number, errors: map[string]int64{}, batch: make([]op, 0, r.conf.Pipeline)}
	c.rnd = rand.New(rand.NewPCG(r.conf.Seed, uint64(number)))
	c.timer = time.NewTimer(time.Hour)
	c.timer.Stop()
	for range r.conf.Keys {
		c.strings = append(c.strings, c.newSlot(stringSlot))
	}
	c.counter, c.log = c.newSlot(counterSlot), c.newSlot(logSlot)
	m := r.conf.Mix
	for kind, weight := range [...]int{opGet: m.Get, opSet: m.Set, opDel: m.Del, opIncr: m.Incr, opAppend: m.Append, opEcho: m.Echo,
		opMGet: m.MGet} {
		for range weight {
			c.wheel = append(c.wheel, opKind(kind))
		}
	}
	return c
}

// prepare writes every string key once, for as long as a batch may take.
func (c *client) prepare() {
	deadline := time.Now().Add(c.r.conf.Timeout)
	for i := 0; i < len(c.strings) && c.r.ctx.Err() == nil && time.Now().Before(deadline); {
		if !c.connect() {
			continue
		}
		for len(c.batch) < c.r.conf.batchLimit() && i < len(c.strings) {
			c.add(op{kind: opSet, slot: c.strings[i]}, time.Now())
			i++
		}
		c.exchange(false)
	}
}

// run is the load of one client.
func (c *client) run() {
	defer c.disconnect()
	conf := &c.r.conf
	var end time.Time
	if conf.Duration > 0 {
		end = c.r.begin.Add(conf.Duration)
	}
	interval := time.Duration(0)
	next := c.r.begin
	if conf.Rate > 0 {
		interval = time.Duration(float64(conf.Clients) / conf.Rate * float64(time.Second))
		next = next.Add(interval * time.Duration(c.number) / time.Duration(conf.Clients)) // clients spread evenly
	}
	for c.r.ctx.Err() == nil {
		now := time.Now()
		if !end.IsZero() && c.over(now, next, end, interval > 0) {
			return
		}
		if interval > 0 && now.Before(next) {
			c.sleep(next.Sub(now))
			continue
		}
		if !c.connect() {
			continue
		}
		n := conf.batchLimit()
		if interval > 0 {
			due := now
			if !end.IsZero() && due.After(end) {
				due = end.Add(-1)
			}
			n = min(n, int(due.Sub(next)/interval)+1)
		}
		if n = c.r.claim(n); n == 0 {
			return
		}
		for range n {
			start := now
			if interval > 0 {
				start, next = next, next.Add(interval)
			}
			c.add(c.choose(), start)
		}
		c.exchange(true)
	}
}

// over reports whether the load has ended. An open loop also sends what was due before its end and is late, as long as
// there is hope.
func (c *client) over(now, next, end time.Time, open bool) bool {
	if open {
		return !next.Before(end) || now.After(end.Add(c.r.conf.Timeout))
	}
	return !now.Before(end)
}

// connect makes sure that there is a connection; false means that it waited after a failure.
func (c *client) connect() bool {
	if c.conn != nil {
		return true
	}
	ctx, cancel := context.WithTimeout(c.r.ctx, c.r.conf.Timeout)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		if c.r.ctx.Err() == nil {
			c.countError(Connect, time.Now())
			c.pause = min(max(2*c.pause, 5*time.Millisecond), 100*time.Millisecond)
			c.sleep(c.pause/2 + time.Duration(c.rnd.Int64N(int64(c.pause/2))))
		}
		return false
	}
	c.pause = 0
	c.dials++
	c.conn = conn
	if c.reader == nil {
		c.reader = resp.NewReader(conn)
	} else {
		c.reader.Reset(conn)
	}
	return true
}

func (c *client) dial(ctx context.Context) (net.Conn, error) {
	conf := &c.r.conf
	conn, err := resp.Dial(ctx, conf.Address, conf.TLS)
	if err != nil {
		return nil, err
	}
	if err := resp.NewConn(conn, conf.Timeout).Login(conf.User, conf.Password); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (c *client) disconnect() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// exchange sends the batch, reads its replies and empties it. measured says whether good replies count.
func (c *client) exchange(measured bool) {
	batch := c.batch
	defer func() {
		c.batch, c.out = c.batch[:0], c.out[:0]
	}()
	// Failing to write does not end the batch: replies may have come before the connection broke, and reading tells
	// why it did.
	_ = c.conn.SetDeadline(time.Now().Add(c.r.conf.Timeout))
	_, _ = c.conn.Write(c.out)
	var now time.Time
	good := int64(0)
	for i := range batch {
		fresh := c.reader.Buffered() == 0
		v := &c.reply
		var err error
		if *v, err = c.reader.Next(); err != nil {
			c.fail(batch[i:], wordOf(err))
			break
		}
		if fresh || now.IsZero() {
			now = time.Now()
		}
		if v.IsError() {
			c.refuse(&batch[i], v, now)
			continue
		}
		if f := c.check(&batch[i], v); f > fine {
			c.found[f]++
			if f == wrong || f == reordered { // nothing on this connection can be trusted any more
				c.fail(batch[i+1:], Closed)
				break
			}
			continue
		}
		if measured {
			good++
			c.hist.Add(now.Sub(batch[i].start))
			c.step(now).OK++
		}
	}
	c.ok += good
	c.r.ok.Add(good)
}

// refuse takes an error reply.
func (c *client) refuse(o *op, v *resp.Value, now time.Time) {
	word := v.ErrorWord()
	if refused[word] {
		c.undo(o)
	} else {
		c.unsure(o)
	}
	c.countError(word, now)
}

// fail gives up the connection and the requests that are still unanswered on it.
func (c *client) fail(rest []op, word string) {
	c.disconnect()
	now := time.Now()
	for i := range rest {
		c.unsure(&rest[i])
		c.countError(word, now)
	}
}

func wordOf(err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return NoReply
	}
	return Closed
}

func (c *client) countError(word string, now time.Time) {
	if n, ok := c.errors[word]; ok {
		c.errors[word] = n + 1
	} else {
		c.errors[strings.Clone(word)] = 1
	}
	c.r.errs.Add(1)
	c.step(now).Errors++
}

// step returns the place of a moment in the timeline. What comes before the load's begin belongs to the first step.
func (c *client) step(now time.Time) *Count {
	i := 0
	if !c.r.begin.IsZero() {
		i = int(max(0, now.Sub(c.r.begin)) / Step)
	}
	for len(c.timeline) <= i {
		c.timeline = append(c.timeline, Count{})
	}
	return &c.timeline[i]
}

// sleep waits, or less if the load is stopped.
func (c *client) sleep(d time.Duration) {
	c.timer.Reset(d)
	select {
	case <-c.timer.C:
	case <-c.r.ctx.Done():
		c.timer.Stop()
	}
}
