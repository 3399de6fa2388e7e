package fleet

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
	sim "github.com/sluice-mesh/sluice/testenv/fleet"
)

func TestFullThenDeltas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.put("cache", "one")
		src.put("db", "one")
		l := newLab(t, src, nil)
		defer l.close()
		a, b := l.agent("a", "cache", "db", "later"), l.agent("b", "db")
		l.start(a)
		l.start(b)
		l.settle()
		l.runs(a)
		l.runs(b)
		if s := a.Seen(); s.Fulls != 1 || s.Updates != 1 || s.Resources != 2 {
			t.Errorf("the first update: %+v", s)
		}
		l.changed(src.put("cache", "two"), "cache")
		l.runs(a)
		if s := a.Seen(); s.Fulls != 1 || s.Updates != 2 || s.Resources != 3 {
			t.Errorf("after a change of one resource: %+v", s)
		}
		if s := b.Seen(); s.Updates != 1 {
			t.Errorf("an agent whom it does not concern got %+v", s)
		}
		l.changed(src.put("later", "one"), "later")
		l.changed(src.remove("db"), "db")
		l.runs(a)
		l.runs(b)
		l.changed(src.put("cache", "two"), "cache") // the same bytes at another revision
		if s := a.Seen(); s.Updates != 4 {
			t.Errorf("what did not differ was sent: %+v", s)
		}
		v := l.f.Applied("cache")
		if v.Agents != 1 || v.Applied != 1 || v.Want != a.Resources()["cache"] {
			t.Errorf("applied: %+v", v)
		}
		if v := l.view("a"); v.Behind || !v.Connected || v.Revision != int64(a.Revision()) {
			t.Errorf("view: %+v", v)
		}
		p := l.f.Propagation()
		if p.Last.Count != 3 || p.Each.Count != 4 || p.Last.Quantile(1) < int64(5*time.Millisecond) || p.Last.Quantile(1) > int64(100*time.Millisecond) {
			t.Errorf("%d commits of 3, %d answers of 4, the slowest after %v", p.Last.Count, p.Each.Count, time.Duration(p.Last.Quantile(1)))
		}
	})
}

func TestARolloutGivesAgentsDifferentSpecs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.put("cache", "one")
		l := newLab(t, src, nil)
		defer l.close()
		a, b := l.agent("a", "cache"), l.agent("b", "cache")
		l.start(a)
		l.start(b)
		l.changed(src.putFor("a", "cache", "canary"), "cache")
		l.runs(a)
		l.runs(b)
		if v := l.f.Applied("cache"); v.Applied != 2 || v.Want == a.Resources()["cache"] {
			t.Errorf("applied: %+v", v)
		}
		if b.Seen().Updates != 1 {
			t.Error("the agent outside the rollout was sent something")
		}
	})
}

func TestCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.put("cache", "one")
		l := newLab(t, src, nil)
		defer l.close()
		a := l.agent("a", "cache")
		a.Hello.Owns = []control.Owned{{Name: "file", Hash: "x", Spec: []byte(`{"name":"file"}`)}}
		l.start(a)
		l.changed(src.order("g-1", "", "drain"), "cache", "file")
		l.runs(a)
		if len(a.Commands()) != 2 {
			t.Errorf("commands of what comes from the centre and of what the file defines: %v", a.Commands())
		}
		if v := l.f.Ordered("g-1"); v.Agents != 1 || v.Applied != 1 {
			t.Errorf("ordered: %+v", v)
		}
		l.f.Changed(nil, src.order("g-1", "file", "drain")) // it holds for one of the two from now on
		l.settle()
		l.runs(a)
		l.f.Changed(nil, src.order("g-1", "file", "drain more"))
		l.settle()
		l.runs(a)
		l.f.Changed(nil, src.order("g-1", "", ""))
		l.settle()
		l.runs(a)
		if v := l.view("a"); v.Behind || len(l.f.entry("a").item("file").orders) != 0 {
			t.Errorf("after the end of the command: %+v", v)
		}
		if spec, ok := l.f.Owned("a", "file"); !ok || string(spec) != `{"name":"file"}` {
			t.Errorf("the file's resource: %s, %v", spec, ok)
		}
	})
}

func TestRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.put("cache", "good")
		src.put("db", "good")
		l := newLab(t, src, nil)
		defer l.close()
		a, b := l.agent("a", "cache", "db"), l.agent("b", "cache", "db")
		a.Refuse = func(r *control.Resource) (string, string) {
			if string(r.Spec) == `{"name":"cache","text":"bad"}` {
				return "groups.yf.endpoints[0]", "no port"
			}
			return "", ""
		}
		stop := l.start(a)
		l.start(b)
		before := a.Resources()["cache"]
		src.put("db", "new")
		l.changed(src.put("cache", "bad"), "cache", "db")
		if a.Resources()["cache"] != before || a.Resources()["db"] != b.Resources()["db"] {
			t.Errorf("a refused one of two and runs %v", a.Resources())
		}
		v := l.f.Applied("cache")
		if v.Agents != 2 || v.Applied != 1 || len(v.Refused) != 1 || len(v.Behind) != 0 ||
			v.Refused[0] != (Line{Agent: "a", Resource: "cache", Path: "groups.yf.endpoints[0]", Message: "no port"}) {
			t.Errorf("applied: %+v", v)
		}
		if w := l.view("a"); !w.Behind || len(w.Refused) != 1 {
			t.Errorf("view: %+v", w)
		}
		n := a.Seen().Updates
		l.changed(src.Revision(), "cache")
		_ = stop()
		stop = l.start(a) // the same process: it has said no
		l.settle()
		if s := a.Seen(); s.Updates != n+1 || s.Resources != 4 || len(l.f.Applied("cache").Refused) != 1 {
			t.Errorf("what was refused is sent again: %+v", s)
		}
		_ = stop()
		a.Hello.Boot, a.Refuse = "another", nil // another version of the program may take it
		l.start(a)
		l.settle()
		l.runs(a)
		if v := l.f.Applied("cache"); v.Applied != 2 || len(v.Refused) != 0 {
			t.Errorf("applied: %+v", v)
		}
	})
}

func TestAProcessReplacesAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.put("cache", "one")
		l := newLab(t, src, nil)
		defer l.close()
		old := l.agent("a", "cache")
		old.Hello.Started = 1000
		stopOld := l.start(old)

		again := l.agent("a", "cache") // the same process connects anew: its first link is dead and does not know
		again.Hello.Started = 1000
		stopAgain := l.start(again)
		if err := stopOld(); err == nil {
			t.Error("two links of one process")
		}
		if len(l.went()) != 0 {
			t.Errorf("gone: %v", l.went())
		}

		newer := l.agent("a", "cache")
		newer.Hello.Boot, newer.Hello.Started = "b-newer", 2000
		l.start(newer)
		var bye *sim.ByeError
		if err := stopAgain(); !errors.As(err, &bye) || bye.Fatal || bye.Retry == 0 {
			t.Errorf("the older process was told %v", err)
		}
		if len(l.went()) != 1 || l.went()[0] != "a/b-a" {
			t.Errorf("gone: %v", l.went())
		}
		stopOlder := l.start(old) // it tries again
		if err := stopOlder(); !errors.As(err, &bye) || bye.Retry == 0 {
			t.Errorf("the older process was told %v", err)
		}
		l.changed(src.put("cache", "two"), "cache")
		l.runs(newer)
		if v := l.view("a"); v.Boot != "b-newer" || !v.Connected || len(l.went()) != 1 {
			t.Errorf("view: %+v, gone: %v", v, l.went())
		}
	})
}

func TestWhoIsTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, newSource(), func(o *Options) { o.Admit = 1 })
		defer l.close()
		for name, change := range map[string]func(h *control.Hello){
			"version":                   func(h *control.Hello) { h.Protocol = 2 },
			"certificate":               func(h *control.Hello) { h.Name = "b" },
			"boot has":                  func(h *control.Hello) { h.Boot = string(make([]byte, 300)) },
			"a resource without a name": func(h *control.Hello) { h.Wants = []string{""} },
			"at most 10000":             func(h *control.Hello) { h.Wants = make([]string, maxNames+1) },
		} {
			a := l.agent("a")
			change(&a.Hello)
			err := l.start(a)()
			var bye *sim.ByeError
			if !errors.As(err, &bye) || !bye.Fatal {
				t.Errorf("%s: %v", name, err)
			}
			contains(t, err, name)
		}
		l.f.starting.Add(1) // somebody is being served
		var bye *sim.ByeError
		if err := l.start(l.agent("a"))(); !errors.As(err, &bye) || bye.Fatal || bye.Retry < int64(time.Second) || bye.Retry > int64(3*time.Second) {
			t.Errorf("overloaded: %v", err)
		}
		l.f.starting.Add(-1)
		a := l.agent("a")
		l.start(a)
		l.settle()
		if a.Seen().Updates != 1 || l.f.starting.Load() != 0 {
			t.Errorf("%d links are counted as starting", l.f.starting.Load())
		}
	})
}

func TestAnAgentThatFallsSilentIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, newSource(), nil)
		defer l.close()
		conn := l.pipe("a")
		defer conn.Close()
		go func() {
			_, _ = conn.Write(frameOf(control.TypeHello, control.Hello{Protocol: 1, Name: "a", Boot: "x"}))
			_, _ = conn.Write(frameOf(control.TypeExport, control.Export{Services: make([]control.Service, 2)}))
			buf := make([]byte, 4096)
			for {
				if _, err := conn.Read(buf); err != nil {
					return
				}
			}
		}()
		time.Sleep(14 * time.Second)
		synctest.Wait()
		if !l.view("a").Connected || l.exports() != 2 {
			t.Error("cut before three heartbeats were missed")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		v := l.view("a")
		if v.Connected || len(l.went()) != 1 || l.exports() != 0 {
			t.Errorf("after three heartbeats: %+v, gone: %v", v, l.went())
		}
		contains(t, l.end1(), "nothing was heard for 15s")
		time.Sleep(23 * time.Hour)
		if len(l.f.Agents()) != 1 {
			t.Error("forgotten too soon")
		}
		time.Sleep(time.Hour + time.Minute)
		synctest.Wait()
		if len(l.f.Agents()) != 0 {
			t.Error("listed for more than a day")
		}
	})
}

func TestAnAgentThatDoesNotReadIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.put("cache", "one")
		l := newLab(t, src, nil)
		defer l.close()
		conn := l.pipe("deaf")
		defer conn.Close()
		_, _ = conn.Write(frameOf(control.TypeHello, control.Hello{Protocol: 1, Name: "deaf", Boot: "x", Wants: []string{"cache"}}))
		synctest.Wait() // the welcome waits for a reader
		others := []*sim.Agent{l.agent("a", "cache"), l.agent("b", "cache")}
		for _, a := range others {
			l.start(a)
		}
		began := time.Now()
		l.changed(src.put("cache", "two"), "cache")
		for _, a := range others {
			l.runs(a)
		}
		for l.view("deaf").Connected {
			_, _ = conn.Write(frameOf(control.TypePing, nil)) // it is alive
			time.Sleep(time.Second)
		}
		if d := time.Since(began); d > 12*time.Second {
			t.Errorf("cut after %v", d)
		}
		synctest.Wait()
		contains(t, l.end1(), "did not read for 10s")
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, newSource(), nil)
		a := l.agent("a")
		stop := l.start(a)
		silent := l.pipe("b") // has not said hello
		defer silent.Close()
		l.close2(t)
		var bye *sim.ByeError
		if err := stop(); !errors.As(err, &bye) || bye.Retry == 0 || bye.Fatal {
			t.Errorf("the agent was told %v", err)
		}
		stop = l.start(l.agent("c"))
		if err := stop(); !errors.As(err, &bye) {
			t.Errorf("a closed centre told %v", err)
		}
		l.end()
		l.run.Wait()
	})
}

// close2 closes the fleet while agents are connected.
func (l *lab) close2(t *testing.T) {
	if err := l.f.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.f.Close(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
}

func TestTune(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reports atomic.Int32
		l := newLab(t, newSource(), func(o *Options) {
			o.OnReport = func(a *Agent, payload []byte, at time.Time) {
				if a.Name != "a" || string(payload) != "figures" || at.IsZero() {
					t.Errorf("report %q of %s at %v", payload, a.Name, at)
				}
				reports.Add(1)
			}
		})
		defer l.close()
		a := l.agent("a")
		a.Report = func() []byte { return []byte("figures") }
		l.start(a)
		l.f.Tune(2*time.Second, 30*time.Second)
		l.f.Tune(time.Second, 30*time.Second)
		synctest.Wait()
		if d := a.Seen().Report; d != time.Second {
			t.Errorf("the agent reports every %v", d)
		}
		b := l.agent("b")
		l.start(b)
		if d := b.Seen().Report; d != time.Second {
			t.Errorf("an agent that comes meanwhile reports every %v", d)
		}
		time.Sleep(20 * time.Second)
		l.f.Tune(time.Second, 30*time.Second)
		time.Sleep(29 * time.Second)
		synctest.Wait()
		if d := a.Seen().Report; d != time.Second || reports.Load() < 48 {
			t.Errorf("the agent reports every %v, and %d times in 49 s", d, reports.Load())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if d := a.Seen().Report; d != 10*time.Second {
			t.Errorf("in the end the agent reports every %v", d)
		}
	})
}
