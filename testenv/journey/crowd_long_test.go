//go:build long

package journey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// crowd is clients of all kinds of manners, each with a client library or a socket of its own.
type crowd struct {
	counts
	t    *testing.T
	stop chan struct{}
	wg   sync.WaitGroup
}

// maxBig is the largest value.
const maxBig = 4 << 20

func startCrowd(t *testing.T, agent *server.AgentProcess) *crowd {
	redis.SetLogger(silence{}) // what fails is counted
	c := &crowd{counts: counts{n: map[string]int{}}, t: t, stop: make(chan struct{})}
	cache, blobs := agent.Addr("feed-cache"), agent.Addr("feed-blobs")
	for i := range 4 {
		c.join(cache, i, "big", 150*time.Millisecond, c.big)
		c.join(cache, i, "script", 20*time.Millisecond, c.script)
		c.join(cache, i, "block", 10*time.Millisecond, c.block)
		c.join(cache, i, "vanish", 60*time.Millisecond, c.vanish)
		c.join(cache, i, "subscribe", 100*time.Millisecond, c.subscribe)
	}
	for i := range 2 {
		c.join(blobs, i, "slow", 100*time.Millisecond, c.slow)
	}
	return c
}

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// member is one client of a crowd.
type member struct {
	*redis.Client
	addr string
	name string
	rnd  *rand.Rand
}

func (c *crowd) join(addr string, i int, kind string, pace time.Duration, step func(context.Context, *member) error) {
	m := &member{addr: addr, name: fmt.Sprintf("%s:%d", kind, i), rnd: rand.New(rand.NewPCG(uint64(i), 7))}
	m.Client = redis.NewClient(&redis.Options{Addr: addr, ClientName: m.name, MaxRetries: -1, PoolSize: 3,
		DialTimeout: time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second})
	c.wg.Go(func() {
		defer func() { _ = m.Close() }()
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for {
			select {
			case <-c.stop:
				return
			case <-tick.C:
			}
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			err := step(ctx, m)
			cancel()
			switch {
			case err == nil:
				c.add(kind + " ok")
			case errors.Is(err, errWrong):
				c.t.Errorf("%s: %v", m.name, err)
			default:
				c.add(kind + " failed")
			}
		}
	})
}

// end lets everybody leave, and wants each kind to have been served.
func (c *crowd) end() {
	c.t.Helper()
	close(c.stop)
	c.wg.Wait()
	for _, kind := range []string{"big", "script", "block", "vanish", "subscribe", "slow"} {
		if c.n[kind+" ok"] == 0 {
			c.t.Errorf("no client of the kind %q was ever served: %v", kind, c.n)
		}
	}
}

// errWrong is a reply that its call cannot have.
var errWrong = errors.New("wrong reply")

// blob makes a value of size bytes that says whose it is and can be checked.
func blob(owner string, n, size int) []byte {
	head := fmt.Sprintf("%s|%d|%d|", owner, n, size)
	b := append([]byte(head), bytes.Repeat([]byte{byte('a' + n%26)}, max(0, size-len(head)-9))...)
	return fmt.Appendf(b, "|%08x", crc32.ChecksumIEEE(b))
}

func checkBlob(b []byte, owner string) error {
	if len(b) < 9 || !bytes.HasPrefix(b, []byte(owner+"|")) {
		return fmt.Errorf("%w: %d bytes %.60q, want a value of %s", errWrong, len(b), b, owner)
	}
	if sum := fmt.Sprintf("|%08x", crc32.ChecksumIEEE(b[:len(b)-9])); string(b[len(b)-9:]) != sum {
		return fmt.Errorf("%w: %d bytes %.60q are damaged", errWrong, len(b), b)
	}
	return nil
}

// big writes and reads values of up to 4 MiB.
func (c *crowd) big(ctx context.Context, m *member) error {
	size := 1 << (6 + m.rnd.IntN(17))
	size = min(maxBig, size+m.rnd.IntN(size))
	if err := m.Set(ctx, m.name, blob(m.name, m.rnd.IntN(1000), size), 0).Err(); err != nil {
		return err
	}
	p := m.Pipeline()
	one, two := p.Get(ctx, m.name), p.Echo(ctx, m.name)
	if _, err := p.Exec(ctx); err != nil {
		return err
	}
	if two.Val() != m.name {
		return fmt.Errorf("%w: ECHO behind a big GET: %.60q", errWrong, two.Val())
	}
	return checkBlob([]byte(one.Val()), m.name)
}

var ownScript = redis.NewScript(`redis.call("SET", KEYS[1], ARGV[1]); return {redis.call("GET", KEYS[1]), ARGV[1], KEYS[1]}`)

// script runs EVALSHA, and EVAL where the script is not known.
func (c *crowd) script(ctx context.Context, m *member) error {
	want := fmt.Sprintf("%s|%d", m.name, m.rnd.Int())
	got, err := ownScript.Run(ctx, m, []string{m.name}, want).StringSlice()
	if err != nil {
		return err
	}
	if len(got) != 3 || got[0] != want || got[1] != want || got[2] != m.name {
		return fmt.Errorf("%w: a script was answered %.200q, want %q", errWrong, got, want)
	}
	return nil
}

// block waits for what another client of its own pushes, and gives up now and then.
func (c *crowd) block(ctx context.Context, m *member) error {
	want := strconv.Itoa(m.rnd.Int())
	if m.rnd.IntN(3) > 0 {
		if err := m.LPush(ctx, m.name, want).Err(); err != nil {
			return err
		}
	}
	got, err := m.BRPop(ctx, 100*time.Millisecond, m.name).Result()
	if errors.Is(err, redis.Nil) {
		return nil
	}
	if err == nil && (len(got) != 2 || got[0] != m.name) {
		return fmt.Errorf("%w: BRPOP %s was answered %.100q", errWrong, m.name, got)
	}
	return err
}

// subscribe comes, gets a message, and leaves, sometimes without saying so.
func (c *crowd) subscribe(ctx context.Context, m *member) error {
	sub := m.Subscribe(ctx, m.name)
	defer func() { _ = sub.Close() }()
	if _, err := sub.Receive(ctx); err != nil {
		return err
	}
	want := strconv.Itoa(m.rnd.Int())
	if err := m.Publish(ctx, m.name, want).Err(); err != nil {
		return err
	}
	got, err := sub.ReceiveTimeout(ctx, 2*time.Second)
	if err != nil {
		return err
	}
	if msg, ok := got.(*redis.Message); ok && (msg.Channel != m.name || msg.Payload != want) {
		return fmt.Errorf("%w: a message %v, want %s on %s", errWrong, msg, want, m.name)
	}
	if m.rnd.IntN(2) == 0 {
		return sub.Unsubscribe(ctx, m.name)
	}
	return nil
}

// dial opens a socket of its own, for some time.
func (m *member) dial(ctx context.Context, last time.Duration) (*net.TCPConn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", m.addr)
	if err != nil {
		return nil, err
	}
	if err := nc.SetDeadline(time.Now().Add(last)); err != nil {
		return nil, err
	}
	return nc.(*net.TCPConn), nil
}

// vanish leaves in the middle of everything: a request, a transaction, a subscription, a reply.
func (c *crowd) vanish(ctx context.Context, m *member) error {
	nc, err := m.dial(ctx, time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = nc.Close() }()
	last := []string{
		"*3\r\n$3\r\nSET\r\n$1\r\nv\r\n$100\r\nhalf of",
		"MULTI\r\nSET vanish 1\r\n",
		"WATCH vanish\r\nGET vanish\r\n",
		"SUBSCRIBE vanish\r\n",
		"BLPOP vanish-never 0\r\n",
		"*3\r\n$3\r\nSET\r\n$6\r\nvanish\r\n$2000000\r\n" + strings.Repeat("x", 300_000),
		"GET big:0\r\n",
		strings.Repeat("INCR vanish\r\n", 100),
		"MONITOR\r\n",
	}[m.rnd.IntN(9)]
	if _, err := io.WriteString(nc, "PING\r\n"); err != nil {
		return err
	}
	b := make([]byte, 7)
	if _, err := io.ReadFull(nc, b); err != nil || string(b) != "+PONG\r\n" {
		return fmt.Errorf("PING: %q %w", b, errors.Join(err, io.ErrUnexpectedEOF))
	}
	if _, err := io.WriteString(nc, last); err != nil {
		return err
	}
	if m.rnd.IntN(2) == 0 {
		_, _ = nc.Read(b) // the beginning of a reply, if one comes: sometimes it does not, and the deadline is short
	}
	if m.rnd.IntN(2) == 0 {
		return nc.SetLinger(0) // a reset
	}
	return nil
}

// slow asks for much and reads little.
func (c *crowd) slow(ctx context.Context, m *member) error {
	if err := m.Set(ctx, m.name, blob(m.name, 1, maxBig), 0).Err(); err != nil {
		return err
	}
	nc, err := m.dial(ctx, 20*time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetReadBuffer(16 << 10) // a wish
	if _, err := io.WriteString(nc, strings.Repeat("GET "+m.name+"\r\n", 3)); err != nil {
		return err
	}
	b := make([]byte, 64<<10)
	for range 20 {
		n, err := nc.Read(b)
		if err != nil {
			return err
		}
		if i := bytes.IndexByte(b[:n], '|'); n > 100 && i > 0 && !bytes.Contains(b[:n], []byte(m.name)) && b[0] == '$' {
			return fmt.Errorf("%w: %.60q", errWrong, b[:n])
		}
		select {
		case <-c.stop:
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
