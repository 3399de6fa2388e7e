package matrix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/counted"
	"github.com/sluice-mesh/sluice/testenv/load/resp"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// Row 1: the only server of the own data centre is killed, and checks are too rare to notice it. Another group has a server: it serves every
// call that was not under way, whether it is idempotent or not. When the server is back, calls come home.
func TestRow01OwnDataCentreKilled(t *testing.T) {
	eachService(t, ownDataCentreKilled)
	for _, profile := range profiles {
		t.Run("redis "+profile, func(t *testing.T) {
			t.Parallel()
			ownDataCentreKilled(t, servicePlan{of: redisThatCounts(profile)})
		})
	}
}

func ownDataCentreKilled(t *testing.T, p servicePlan) {
	const clients, each = 4, 4
	kills := int64(1)
	if p.of.kind == "http" { // what one that comes and goes is like is not a matter of kinds
		kills = 2
	}
	p.of.settings, _, _ = strings.Cut(p.of.settings, ", idempotent: ")
	p.apart, p.direct, p.forgetful = true, true, true
	p.more, p.checks = "reads: nearest, ", "every: 10m, fall: 100"
	p.allow = p.cut(counted.Unknown)
	if p.of.kind == "redis" { // a client that has a part of an answer is cut, as with HTTP
		p.allow = append(p.allow, load.Closed)
	}
	m := openService(t, p)
	m.steady()
	m.home(p)
	for range kills {
		m.inject(m.peers[0].Kill)
		m.visible("the endpoint down", func(now scrape) bool { return endpointUp(now) == 1 })
		m.unharmed(2 * time.Second)
		m.peers[0].Restart()
		m.home(p)
		m.unharmed(500 * time.Millisecond)
	}
	r := m.close()
	if n := r.ErrorCount(p.allow...); n > kills*clients*each {
		t.Errorf("%d calls failed of %d that can have been under way at the kills", n, kills*clients*each)
	}
	if now := m.scrape(); now.sum("sluice_retries_total", "resource", "cache", "outcome", "no_budget") > 0 {
		t.Error("a call was not sent elsewhere for want of budget")
	}
}

// Row 1: two servers of three are killed in the same instant, and checks are too rare to notice it. A call may find them both gone, and on
// several connections: it goes on to the third one, and whatever was not under way is served.
func TestRow01TwoOfThreeKilledAtOnce(t *testing.T) {
	eachService(t, twoOfThreeKilledAtOnce)
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		twoOfThreeKilledAtOnce(t, servicePlan{of: redisThatCounts("multiplexed"), apart: true})
	})
}

func twoOfThreeKilledAtOnce(t *testing.T, p servicePlan) {
	const kills, clients, each = 3, 4, 4
	p.of.settings, _, _ = strings.Cut(p.of.settings, ", idempotent: ")
	p.servers, p.direct, p.forgetful = 3, true, true
	p.checks = "every: 10m, fall: 100"
	if p.of.kind != "redis" {
		p.more = "balance: round-robin, "
	}
	p.allow = p.cut(counted.Unknown)
	if p.of.kind == "redis" {
		p.allow = append(p.allow, load.Closed)
	}
	m := openService(t, p)
	m.steady()
	for range kills {
		m.ups(3)
		m.inject(func() {
			var both sync.WaitGroup
			both.Go(m.peers[0].Kill)
			both.Go(m.peers[1].Kill)
			both.Wait()
		})
		m.visible("both endpoints down", func(now scrape) bool { return endpointUp(now) == 1 })
		m.unharmed(500 * time.Millisecond)
		m.peers[0].Restart()
		m.peers[1].Restart()
		m.recovers()
	}
	m.ups(3)
	if n := m.close().ErrorCount(p.allow...); n > kills*clients*each {
		t.Errorf("%d calls failed of %d that can have been under way at the kills", n, kills*clients*each)
	}
}

// glued reports whether clients keep the connection to a server that they were given for as long as it holds, as in profile transparent.
func (p *servicePlan) glued() bool { return strings.Contains(p.of.settings, "transparent") }

// home waits until the own data centre has the calls: all of them, or with kinds that have a primary in each group, whose writes go by weights,
// its share; or, where clients keep to their server, until new ones could go there.
func (m *serviceLab) home(p servicePlan) {
	m.Helper()
	m.ups(2)
	if p.glued() {
		return
	}
	to := func(s scrape, group string) float64 {
		return s.sum("sluice_calls_total", "resource", "cache", "group", group)
	}
	at := m.scrape()
	m.await(recoverWithin, "calls to come home", func() error {
		now := m.scrape()
		own, other := to(now, "g0")-to(at, "g0"), to(now, "g1")-to(at, "g1")
		switch {
		case other > 0 && p.of.kind != "redis":
			at = now
		case own >= 60:
			return nil
		}
		return fmt.Errorf("%.0f go there, and %.0f elsewhere\n%s", own, other, m.endpoints())
	})
}

// redisThatCounts is Redis as a service: an echo is an ECHO and a count an INCR.
func redisThatCounts(profile string) service {
	return service{
		kind: "redis", group: "main", settings: "profile: " + profile, dial: dialRedis,
		serve: func(t *testing.T) peer {
			n := server.Start(t, server.Redis{}).Primary
			return peer{n.Process, n.Addr}
		},
	}
}

// redisCaller is a client with connections for callers that come at once.
type redisCaller struct {
	address string
	timeout time.Duration
	mu      sync.Mutex
	free    []*resp.Conn
}

func dialRedis(_ context.Context, address string, timeout time.Duration, _ func(string, ...any)) (counted.Caller, error) {
	return &redisCaller{address: address, timeout: timeout}, nil
}

// do makes a call. What it fails with are the words of package counted.
func (r *redisCaller) do(args ...string) (resp.Value, error) {
	r.mu.Lock()
	var c *resp.Conn
	if n := len(r.free); n > 0 {
		c, r.free = r.free[n-1], r.free[:n-1]
	}
	r.mu.Unlock()
	if c == nil {
		ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
		defer cancel()
		nc, err := resp.Dial(ctx, r.address, nil)
		if err != nil {
			return resp.Value{}, counted.Failure(load.Connect)
		}
		c = resp.NewConn(nc, r.timeout)
	}
	v, err := c.Do(args...)
	if err != nil {
		c.Close()
		return v, counted.Failure(load.Closed)
	}
	v.Str = bytes.Clone(v.Str) // it is the connection's, which others use next
	r.mu.Lock()
	r.free = append(r.free, c)
	r.mu.Unlock()
	words := []string{counted.Unavailable, counted.Unknown, counted.Timeout, counted.Limited, counted.Draining}
	if w := strings.ToLower(word(v)); slices.Contains(words, w) {
		return v, counted.Failure(w)
	} else if w != "" {
		return v, errors.New(w)
	}
	return v, nil
}

func (r *redisCaller) Echo(text string) (string, error) {
	v, err := r.do("ECHO", text)
	return string(v.Str), err
}

func (r *redisCaller) Count(id string) (int64, error) {
	v, err := r.do("INCR", id)
	return v.Int, err
}

func (r *redisCaller) Counted(id string) (int64, error) {
	v, err := r.do("GET", id)
	if err != nil || v.Null {
		return 0, err
	}
	var n int64
	_, err = fmt.Sscan(string(v.Str), &n)
	return n, err
}

func (r *redisCaller) Over() bool { return false }

func (r *redisCaller) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.free {
		c.Close()
	}
	r.free = nil
}
