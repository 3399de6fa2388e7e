package runtime

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/pressure"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

// pressed runs f while memory is so short that calls are refused: the limit is far below what any process needs.
func pressed(t *testing.T, g *rig, f func()) {
	t.Helper()
	var log bytes.Buffer
	w := pressure.Open(pressure.Options{Limits: pressure.Fixed(1), Log: slog.New(slog.NewTextHandler(&log, nil))})
	g.r.pressure = w.Gate()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	for end := time.Now().Add(5 * time.Second); !w.Gate().Refuses(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("memory is not short")
		}
	}
	f()
	stop()
	<-done
}

func TestShortOfMemory(t *testing.T) {
	g := open(t, twoGroups())
	refused := func(c *resources.Call) bool {
		t.Helper()
		stop := g.r.Begin(c)
		if stop == nil {
			c.Now = c.Start + 1
			g.r.End(c)
			return false
		}
		if f := stop.Fault; f == nil || f.Code != resources.Limited || stop.Outcome != outcome(resources.Limited) ||
			!strings.HasPrefix(f.Text, "sluice: cache: the agent is short of memory (") || f.Close {
			t.Errorf("refused with %+v", f)
		}
		c.Now = c.Start + 1
		g.r.End(c)
		return true
	}
	count := func() (n float64) {
		g.reg.Gather(func(p *metrics.Point) {
			for _, l := range p.Labels {
				if p.Name == metrics.CallsTotal && l.Key == "outcome" && l.Value == "limited" {
					n += p.Value
				}
			}
		})
		return n
	}
	s := g.session()
	pressed(t, g, func() {
		if !refused(g.call(s, opGet)) {
			t.Error("a call goes on")
		}
		if n := count(); n != 1 {
			t.Errorf("%g calls are counted as limited, want 1", n)
		}
		s.SetPins(resources.PinTxn)
		if refused(g.call(s, opSet)) {
			t.Error("a call inside a transaction is refused")
		}
		s.SetPins(resources.PinPaired)
		if !refused(g.call(s, opSet)) {
			t.Error("a call of a session with a connection of its own goes on")
		}
		c := g.call(s, opGet)
		c.Pinned = true
		if refused(c) {
			t.Error("a pinned call is refused")
		}
		if raceEnabled {
			return
		}
		c = g.call(s, opGet)
		if n := testing.AllocsPerRun(500, func() {
			if g.r.Begin(c) != nil {
				c.Now = c.Start + 1
				g.r.End(c)
			}
		}); n > 0.05 { // a text for each new figure
			t.Errorf("%v allocations for a refused call", n)
		}
	})
	if refused(g.call(s, opGet)) {
		t.Error("a call is refused when memory is not short any more")
	}
	if n := g.r.Status().Open; n != 0 {
		t.Errorf("%d calls are open at rest", n)
	}
}

func TestWatchersComeFirst(t *testing.T) {
	g := hotRig(t, true)
	sn := g.r.snapshot.Load()
	var names []string
	for _, l := range sn.chain[:sn.watchers-1] {
		names = append(names, l.Name)
	}
	if got := strings.Join(names, " "); got != "accesslog metrics tap trace" && got != "accesslog metrics trace" {
		t.Errorf("the filters that only watch are %q", got)
	}
}
