package governance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// agentAt is agent with a clock that is ahead of the centre's, or behind it.
func (l *lab) agentAt(name string, ahead time.Duration, resources ...string) *server.AgentProcess {
	l.Helper()
	a := server.Start(l, server.Agent{Config: l.configOf(name, "yf", "", resources), Env: []string{"SLUICE_JOIN=" + l.joinToken(1)}, Clock: &ahead, NoWait: true})
	l.await(10*time.Second, name+" to be linked", func() error { return linked(a) })
	return a
}

// Agents whose clocks are an hour ahead, a day behind, and right until they are set while they run: all are linked, the centre
// says how far each is off, and a command holds for its time everywhere: no less, no more, without a centre too, and over
// a restart without one.
func TestClocksOff(t *testing.T) {
	t.Parallel()
	yf, tc := cacheAt(t, "yf"), cacheAt(t, "tc")
	l := newLab(t)
	l.put("feed-cache", redisSpec(yf, tc))
	names := []string{"ahead", "behind", "moved"}
	off := map[string]time.Duration{"ahead": time.Hour, "behind": -24 * time.Hour, "moved": 0}
	agents, callers := map[string]*server.AgentProcess{}, map[string]*caller{}
	for _, n := range names {
		agents[n] = l.agentAt(n, off[n], "feed-cache")
	}
	l.settled(names...)
	for _, n := range names {
		callers[n] = call(t, agents[n], "feed-cache")
	}
	at := func(where string) func() error {
		return func() error {
			for _, n := range names {
				if err := callers[n].answeredBy(where); err != nil {
					return fmt.Errorf("%s: %w", n, err)
				}
			}
			return nil
		}
	}
	told := func() {
		t.Helper()
		l.await(10*time.Second, "the centre to say how far clocks are off", func() error {
			for n, a := range l.agents() {
				ahead, err := time.ParseDuration(a.Clock)
				if err != nil || (ahead-off[n]).Abs() > 2*time.Second || a.ClockOff != (off[n] != 0) {
					return fmt.Errorf("%s is said to be %q ahead (off: %v), and is %v", n, a.Clock, a.ClockOff, off[n])
				}
			}
			return nil
		})
		l.await(5*time.Second, "the overview to say which clocks are off", func() error {
			var overview struct{ Problems []struct{ What string } }
			l.get("GET", "/v1/overview", "", &overview)
			all := fmt.Sprint(overview.Problems)
			for n, d := range off {
				if strings.Contains(all, "the clock of agent "+n+" is ") != (d != 0) {
					return fmt.Errorf("%s is %v ahead, and it says %s", n, d, all)
				}
			}
			return nil
		})
		for _, n := range names {
			got, err := gauge(agents[n], "sluice_center_clock_seconds")
			if err != nil || time.Duration((got-off[n].Seconds())*1e9).Abs() > 2*time.Second {
				t.Errorf("%s says of itself that it is %v s ahead (%v), and is %v", n, got, err, off[n])
			}
		}
	}
	// holds gives a command and checks that it is in force for its time.
	holds := func(when string, lasts time.Duration, meanwhile func()) {
		t.Helper()
		given := time.Now()
		l.command(fmt.Sprintf(`{"type": "switch", "select": {"name": "feed-cache"}, "weights": {"tc": 100}, "why": "test", "for": %q}`, lasts))
		l.await(3*time.Second, when+": the command at all agents", at("tc"))
		meanwhile()
		for time.Since(given) < lasts-300*time.Millisecond {
			if err := at("tc")(); err != nil {
				t.Fatalf("%s: a command for %v, after %v: %v", when, lasts, time.Since(given), err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		l.await(5*time.Second, when+": the command to end", at("yf"))
		if took := time.Since(given); took > lasts+time.Second {
			t.Errorf("%s: a command for %v was in force for %v", when, lasts, took)
		}
	}
	told()
	holds("with clocks that are off", 3*time.Second, func() {})
	holds("while a clock is set", 4*time.Second, func() {
		off["moved"] = 2 * time.Hour
		agents["moved"].SetClock(off["moved"])
	})
	told()
	off["moved"] = -24 * time.Hour
	agents["moved"].SetClock(off["moved"])
	told()

	holds("without a centre, after a restart", 9*time.Second, func() {
		l.center.Kill()
		off["moved"] = 3 * time.Hour // since its state was written
		agents["moved"].SetClock(off["moved"])
		for _, n := range names {
			agents[n].Restart()
		}
		l.await(5*time.Second, "the command at all agents that started without a centre", at("tc"))
	})
	l.center.Restart()
	for _, n := range names {
		l.await(10*time.Second, n+" to be linked again", func() error { return linked(agents[n]) })
	}
	told()
}
