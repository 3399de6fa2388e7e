package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// storm is a load through the agent, whose every reply is checked, while connections on both of its sides are slow, cut
// up, stalled and reset, and rude clients come and leave in the middle of everything.
//
// The agent sees two endpoints. Both are the same server, so that what is sent elsewhere finds the same data, and what is
// executed twice shows.
type storm struct {
	profile   string
	valueSize int
	pipeline  int
	backups   bool  // reads are sent a second time almost at once
	floor     int64 // good replies before the end
	cutAfter  int64 // bytes, for resets and stalls
}

func (s storm) run(t *testing.T) {
	n := server.Start(t, server.Redis{}).Primary
	n.Do("SET", "large", big(300_000, 4))
	ups := []*fault.Proxy{
		fault.Start(t, fault.Options{Target: n.Addr, Seed: 1}), fault.Start(t, fault.Options{Target: n.Addr, Seed: 2}),
	}
	f := newFake(t, ups[0].Addr, ups[1].Addr)
	f.policy.Timeout = resources.Duration(150 * time.Millisecond)
	f.routes = func(c *resources.Call) *resources.Endpoint {
		if s.backups && c.Class == resources.ClassRead {
			c.Backup = 1
		}
		return f.Endpoints()[(c.Session.ID+uint64(c.Attempt))%2]
	}
	f.backup = func(c *resources.Call) *resources.Endpoint { return f.Endpoints()[1-c.Endpoint.ID] }
	a := startAgent(t, f, &Settings{Profile: s.profile})
	front := fault.Start(t, fault.Options{Target: a.addr, Seed: 3})
	// Set chooses anew which connections it hits, and lets go on what was stalled: late replies come after all.
	weather := func() {
		for _, p := range ups {
			p.Set(fault.ResetAfter(s.cutAfter).Down().Chance(0.3), fault.StallAfter(s.cutAfter/2).Down().Chance(0.3),
				fault.Latency(0, 2*time.Millisecond).Chance(0.3), fault.Slice(1000, 0).Chance(0.3))
		}
		front.Set(fault.ResetAfter(s.cutAfter/10).Down().Chance(0.3), fault.StallAfter(s.cutAfter/20).Up().Chance(0.1),
			fault.HalfCloseAfter(s.cutAfter/10).Up().Chance(0.1), fault.Slice(100, 0).Chance(0.3))
	}
	weather()

	ctx, stop := context.WithCancel(t.Context())
	var rude sync.WaitGroup
	for i := range 3 {
		rude.Go(func() { beRude(ctx, a.addr, uint64(i)) })
	}
	l, err := load.Start(t.Context(), load.Config{Address: front.Addr, VerifyAddress: n.Addr, Clients: 8, Pipeline: s.pipeline,
		Duration: 5 * time.Minute, Timeout: time.Second, ValueSize: s.valueSize, Seed: 5,
		Mix: load.Mix{Get: 5, Set: 3, Del: 1, Incr: 2, Append: 2, Echo: 1, MGet: 1}})
	if err != nil {
		t.Fatal(err)
	}
	enough := func() error {
		if ok := l.Counts().OK; ok < s.floor {
			return fmt.Errorf("%d good replies, want %d", ok, s.floor)
		}
		if f.outcome("GET unknown")+f.outcome("SET unknown") == 0 || f.outcome("GET timeout")+f.outcome("SET timeout") == 0 {
			return errors.New("the faults did not reach the agent")
		}
		for _, p := range []*fault.Proxy{ups[0], ups[1], front} {
			for _, k := range []fault.Kind{fault.KindReset, fault.KindStall, fault.KindSlice} {
				if p.Fired(k) < 2 {
					return fmt.Errorf("fault %v of %s fired %d times, want 2", k, p.Addr, p.Fired(k))
				}
			}
		}
		return nil
	}
	change := time.NewTicker(250 * time.Millisecond) // longer than the timeout, shorter than what ends a silent connection
	defer change.Stop()
	end := time.After(4 * time.Minute)
	for err := enough(); err != nil; err = enough() {
		select {
		case <-change.C:
			weather()
		case <-end:
			t.Fatal(err)
		}
	}
	r := l.Stop()
	stop()
	rude.Wait()
	r.Check(t, 5, load.Closed, load.NoReply, load.Connect, "UNKNOWN", "TIMEOUT", "UNAVAILABLE")
	t.Logf("%d retries, %d upstream connections dialed; resets, stalls: %d, %d behind and %d, %d in front of the agent", f.retried.Load(), f.dials.Load(),
		ups[0].Fired(fault.KindReset)+ups[1].Fired(fault.KindReset), ups[0].Fired(fault.KindStall)+ups[1].Fired(fault.KindStall),
		front.Fired(fault.KindReset), front.Fired(fault.KindStall))
}

// beRude connects again and again, begins something, and leaves before its end.
func beRude(ctx context.Context, addr string, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	large := resp.AppendCommand(nil, "SET", "rude", big(200_000, 6))
	acts := [][]byte{
		[]byte(strings.Repeat(string(resp.AppendCommand(nil, "GET", "large")), 20)), // and take little of the answers
		large[:len(large)/2],
		large[:40],
		[]byte("*3\r\n$3\r\nSE"),
		encode([][]string{{"MULTI"}, {"GET", "large"}}),
		encode([][]string{{"WATCH", "large"}, {"GET", "large"}}),
		encode([][]string{{"SUBSCRIBE", "ch"}}),
		encode([][]string{{"BLPOP", "nothing", "0"}}),
		encode([][]string{{"CLIENT", "INFO"}, {"CLIENT", "INFO"}}),
		encode([][]string{{"MULTI"}, {"GET", "large"}, {"EXEC"}}),
		encode([][]string{{"SELECT", "3"}, {"GET", "large"}}),
	}
	for ctx.Err() == nil {
		nc, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
		if err != nil {
			continue
		}
		_ = nc.SetDeadline(time.Now().Add(time.Duration(1+rng.IntN(20)) * time.Millisecond))
		_, _ = nc.Write(acts[rng.IntN(len(acts))])
		_, _ = nc.Read(make([]byte, 1+rng.IntN(100_000)))
		if rng.IntN(2) == 0 {
			_ = nc.(*net.TCPConn).SetLinger(0)
		}
		_ = nc.Close()
	}
}

var storms = map[string]storm{
	"multiplexed":       {profile: profileMultiplexed, valueSize: 200, pipeline: 8, floor: 3000, cutAfter: 20_000},
	"transparent":       {profile: profileTransparent, valueSize: 200, pipeline: 8, floor: 5000, cutAfter: 20_000},
	"large values":      {profile: profileMultiplexed, valueSize: 70_000, pipeline: 2, floor: 500, cutAfter: 600_000},
	"backup requests":   {profile: profileMultiplexed, valueSize: 200, pipeline: 1, floor: 1000, cutAfter: 20_000, backups: true},
	"backups and large": {profile: profileMultiplexed, valueSize: 40_000, pipeline: 1, floor: 500, cutAfter: 400_000, backups: true},
}

// Every value says which key, client and sequence it belongs to: no wrong reply, no acknowledged write lost, no write
// executed twice.
func TestIntegrityUnderFaults(t *testing.T) {
	for name, s := range storms {
		t.Run(name, s.run)
	}
}
