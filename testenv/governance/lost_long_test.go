//go:build long

package governance

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/fault"
)

// A network that swallows everything between agent and centre: nothing is reset, nothing is answered. Both sides find out by
// missing heartbeats and say so; the application notices nothing, a command ends at its time, and 5 s after the network is
// whole again a change made meanwhile is in force.
func TestLongCenterBlackholed(t *testing.T) {
	t.Parallel()
	yf, tc := cacheAt(t, "yf"), cacheAt(t, "tc")
	l := newLab(t)
	p := fault.Start(t, fault.Options{Target: l.center.Address, Seed: 1})
	l.urls = []string{"http://" + p.Addr}
	l.put("feed-cache", redisSpec(yf, tc))
	agent := l.agent("web-1", "yf", "", "feed-cache")
	l.settled("web-1")
	app := call(t, agent, "feed-cache")
	given := time.Now()
	const lasts = 5 * time.Second
	l.command(fmt.Sprintf(`{"type": "switch", "select": {"name": "feed-cache"}, "weights": {"tc": 100}, "why": "test", "for": %q}`, lasts))
	l.await(3*time.Second, "the command", func() error { return app.answeredBy("tc") })

	cut := time.Now()
	p.Set(fault.Blackhole())
	l.await(lasts+time.Second, "the command to end by itself", func() error { return app.answeredBy("yf") })
	if took := time.Since(given); took < lasts {
		t.Errorf("a command for %v was in force for %v", lasts, took)
	}
	l.put("feed-cache", redisSpec(tc, yf))
	l.await(25*time.Second, "the agent to say that it is alone", func() error { return alone(agent) })
	l.await(25*time.Second, "the centre to say that the agent is away", func() error {
		if a := l.agents()["web-1"]; a.Connected || !a.Behind {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	t.Logf("both sides knew %v after the cut", time.Since(cut).Round(time.Millisecond))
	if err := app.answeredBy("yf"); err != nil {
		t.Errorf("a change reached an agent that cannot be reached: %v", err)
	}
	app.unharmed(t, "while the centre cannot be reached")
	p.MustHaveFired(t, fault.KindBlackhole)

	p.Clear()
	whole := time.Now()
	l.await(5*time.Second, "the change made meanwhile", func() error { return app.answeredBy("tc") })
	l.await(5*time.Second, "the agent to be linked", func() error { return linked(agent) })
	t.Logf("recovered within %v", time.Since(whole).Round(time.Millisecond))
	l.settled("web-1")
	app.unharmed(t, "after the centre was reached again")
}
