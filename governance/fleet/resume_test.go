package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-mesh/sluice/protocols/control"
	sim "github.com/sluice-mesh/sluice/testenv/fleet"
)

func TestResumeSendsWhatDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.put("cache", "one")
		src.put("db", "one")
		src.order("g-1", "cache", "drain")
		l := newLab(t, src, nil)
		defer l.close()
		a := l.agent("a", "cache", "db")
		stop := l.start(a)
		_ = stop()
		src.order("g-1", "", "")
		l.changed(src.put("cache", "two"), "cache")
		stop = l.start(a)
		l.settle()
		l.runs(a)
		if s := a.Seen(); s.Fulls != 1 || s.Updates != 2 || s.Resources != 3 {
			t.Errorf("one of two changed meanwhile: %+v", s)
		}
		_ = stop()
		stop = l.start(a)
		l.settle()
		if s := a.Seen(); s.Updates != 3 || s.Resources != 3 {
			t.Errorf("nothing changed meanwhile: %+v", s)
		}
		_ = stop()
		a.Hello.Wants, a.Hello.Owns = []string{"db", "queue"}, []control.Owned{{Name: "cache"}} // its file changed
		src.put("queue", "one")
		l.f.Changed(nil, src.Revision())
		l.start(a)
		l.settle()
		if s := a.Seen(); s.Fulls != 1 || s.Resources != 4 || a.Resources()["queue"] == "" {
			t.Errorf("it wants one more: %+v", s)
		}
		if l.view("a").Connections != 4 {
			t.Errorf("view: %+v", l.view("a"))
		}
	})
}

// An update that was not answered may have arrived or not.
func TestResumeSendsAgainWhatWasNotAnswered(t *testing.T) {
	for _, arrived := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			src := newSource()
			src.put("cache", "one")
			src.order("g-1", "cache", "drain")
			l := newLab(t, src, nil)
			defer l.close()
			a := l.agent("a", "cache")
			a.Hello.Boot = "b"
			stop := l.start(a)
			hung := make(chan struct{})
			a.Hold = func(*control.Update) { <-hung }
			src.order("g-1", "", "")
			src.order("g-2", "cache", "limit")
			l.changed(src.put("cache", "two"), "cache")
			if !l.view("a").Behind {
				t.Error("an agent that has not answered is not behind")
			}
			before := a.Revision()
			l.f.entry("a").link.cut(context.Canceled)
			synctest.Wait()
			close(hung)
			_ = stop()
			if a.Hold = nil; !arrived { // it died before it kept what it got
				a.Hello.Have.Revision = before
			}
			l.start(a)
			l.settle()
			l.runs(a)
			if s := a.Seen(); s.Fulls != 1 {
				t.Errorf("arrived %v: %+v", arrived, s)
			}
			if p := l.f.Propagation(); p.Last.Count != 0 {
				t.Errorf("a commit whose last answer never came took %v", time.Duration(p.Last.Max))
			}
		})
	}
}

func TestResumeAtAnotherCentre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.put("cache", "one")
		src.put("db", "one")
		src.order("g-1", "cache", "drain")
		first, second := newLab(t, src, nil), newLab(t, src, nil)
		defer second.close()
		a, b := first.agent("a", "cache"), first.agent("b", "db")
		stopA, stopB := first.start(a), first.start(b)
		_, _ = stopA(), stopB()
		first.close()
		second.f.Changed([]string{"db"}, src.put("db", "two"))
		second.settle()
		for _, x := range []*sim.Agent{a, b} {
			x.Dial = second.dial(x.Hello.Name)
			second.start(x)
			second.settle()
			second.runs(x)
		}
		if s := a.Seen(); s.Fulls != 1 || s.Resources != 1 || s.Updates != 2 {
			t.Errorf("nothing that concerns it changed: %+v", s)
		}
		if s := b.Seen(); s.Fulls != 2 {
			t.Errorf("something changed that a delta cannot tell: %+v", s)
		}
		if v := second.f.Applied("cache"); v.Applied != 1 {
			t.Errorf("applied: %+v", v)
		}
	})
}

func TestWhenResumingIsNotPossible(t *testing.T) {
	for name, change := range map[string]func(h *control.Have){
		"another cluster":        func(h *control.Have) { h.Cluster = "other" },
		"a revision of later":    func(h *control.Have) { h.Revision += 1000 },
		"before what is known":   func(h *control.Have) { h.Revision = 1 },
		"an older copy of state": func(h *control.Have) { h.Revision-- },
	} {
		synctest.Test(t, func(t *testing.T) {
			src := newSource()
			l := newLab(t, src, nil)
			defer l.close()
			a := l.agent("a", "cache")
			stop := l.start(a)
			l.changed(src.put("cache", "one"), "cache")
			_ = stop()
			change(&a.Hello.Have)
			l.start(a)
			l.settle()
			l.runs(a)
			if s := a.Seen(); s.Fulls != 2 {
				t.Errorf("%s: %+v", name, s)
			}
		})
	}
}

// What an agent says that it runs is compared with what it was sent.
func TestAStateThatDiffersIsMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.put("cache", "one")
		src.put("db", "one")
		l := newLab(t, src, nil)
		defer l.close()
		a := l.agent("a", "cache", "db")
		lost := true
		a.State = func(resources map[string]string) *control.State {
			s := &control.State{Full: true, Ready: true, Resources: []control.ResourceState{
				{Name: "cache", Kind: "redis", Source: "center", Hash: resources["cache"]},
				{Name: "stray", Source: "center", Hash: "old"},
				{Name: "mine", Source: "file", Hash: "own"},
			}}
			if !lost {
				s.Resources[1] = control.ResourceState{Name: "db", Source: "center", Hash: resources["db"]}
			}
			lost = false
			return s
		}
		l.start(a)
		l.settle()
		if s := a.Seen(); s.Updates != 2 || s.Resources != 3 {
			t.Errorf("db was missing in its state: %+v", s)
		}
		if v := l.view("a"); v.Behind || !v.Ready {
			t.Errorf("view: %+v", v)
		}
		states := l.f.States("cache")
		if len(states) != 1 || states[0].Agent != "a" || states[0].Kind != "redis" || states[0].Hash != a.Resources()["cache"] {
			t.Errorf("states: %+v", states)
		}
		lost = true // it never runs it, whatever it answers: it is sent once more and no further
		a.State = func(resources map[string]string) *control.State { return &control.State{Full: true} }
		l.changed(src.put("cache", "two"), "cache")
		if n := a.Seen().Updates; n != 4 {
			t.Errorf("%d updates", n)
		}
	})
}

func TestAnAgentThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.put("cache", "0")
		l := newLab(t, src, nil)
		defer l.close()
		a, b := l.agent("a", "cache"), l.agent("b", "cache")
		hung := make(chan struct{})
		var arrived atomic.Int32
		a.Hold = func(*control.Update) { arrived.Add(1); <-hung }
		l.start(a)
		l.start(b)
		for i := range 100 {
			l.f.Changed([]string{"cache"}, src.put("cache", fmt.Sprint(i)))
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		l.settle()
		l.runs(b)
		if n := len(l.f.entry("a").flights); n != 1 {
			t.Errorf("%d updates are on their way to an agent that hangs", n)
		}
		if n := b.Seen().Updates; n < 50 || n > 101 {
			t.Errorf("the other one got %d updates for 100 changes", n)
		}
		close(hung)
		l.settle()
		l.runs(a)
		if n := a.Seen().Updates; n != 2 {
			t.Errorf("it got %d updates", n)
		}
	})
}

func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		l := newLab(t, src, nil)
		defer l.close()
		conn := l.pipe("a")
		defer conn.Close()
		var updates []uint64
		ended := make(chan struct{})
		go func() { // reads, pings, and answers no update
			defer close(ended)
			_, _ = conn.Write(frameOf(control.TypeHello, control.Hello{Protocol: 1, Name: "a", Boot: "x", Wants: []string{"cache"}}))
			r := control.NewReader(conn, control.MaxToAgent)
			for {
				kind, payload, err := r.Next()
				if err != nil {
					return
				}
				if kind == control.TypeUpdate {
					var u control.Update
					_ = json.Unmarshal(payload, &u)
					updates = append(updates, u.Revision)
					go conn.Write(frameOf(control.TypePing, nil))
				}
			}
		}()
		for i := 0; l.end1() == nil && i < 600; i++ {
			l.f.Changed([]string{"cache"}, src.put("cache", fmt.Sprint(i)))
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		contains(t, l.end1(), "16 updates were not answered")
		<-ended
		if len(updates) != maxFlights || !slices.IsSorted(updates) {
			t.Errorf("updates: %v", updates)
		}
	})
}

func TestAStormOfReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const agents = 1000
		src := newSource()
		var names []string
		for i := range 20 {
			names = append(names, fmt.Sprintf("r%d", i))
			src.put(names[i], "one")
		}
		src.order("g-1", "r7", "drain")
		l := newLab(t, src, nil)
		defer l.close()
		fleet := make([]*sim.Agent, agents)
		for i := range fleet {
			fleet[i] = l.agent(fmt.Sprintf("a%d", i), names...)
			a := fleet[i]
			l.run.Go(func() { _ = a.Keep(l.ctx) })
		}
		l.settle()
		for range 2 {
			for _, e := range l.f.linked() {
				e.link.cut(context.Canceled)
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
		}
		var sum sim.Seen
		for _, a := range fleet {
			s := a.Seen()
			sum.Links, sum.Fulls, sum.Resources, sum.Updates = sum.Links+s.Links, sum.Fulls+s.Fulls, sum.Resources+s.Resources, sum.Updates+s.Updates
		}
		if sum.Links != 3*agents || sum.Fulls != agents || sum.Resources != 20*agents || sum.Updates != 3*agents {
			t.Errorf("%+v", sum)
		}
		l.changed(src.put("r3", "two"), "r3")
		if v := l.f.Applied("r3"); v.Agents != agents || v.Applied != agents {
			t.Errorf("applied by %d of %d", v.Applied, v.Agents)
		}
	})
}

// step is one event of TestAgentsConverge.
type step struct {
	Do            string
	Name, ID      string
	Text          string
	Agent, Centre int
	Wait          time.Duration
}

func steps() *rapid.Generator[[]step] {
	return rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
		return step{
			Do:     rapid.SampledFrom([]string{"put", "put", "remove", "order", "order", "undo", "wait", "connect", "connect", "cut", "restart"}).Draw(rt, "do"),
			Name:   rapid.SampledFrom([]string{"r0", "r1", "r2", "r3"}).Draw(rt, "name"),
			ID:     rapid.SampledFrom([]string{"g-1", "g-2"}).Draw(rt, "id"),
			Text:   rapid.SampledFrom([]string{"one", "two"}).Draw(rt, "text"),
			Agent:  rapid.IntRange(0, 2).Draw(rt, "agent"),
			Centre: rapid.IntRange(0, 1).Draw(rt, "centre"),
			Wait:   rapid.SampledFrom([]time.Duration{0, 1, 3e6, 6e6, 2e7, 3e8}).Draw(rt, "wait"),
		}
	}), 0, 40)
}

// Whatever happens, in the end each agent has what it should have: two centres on one store, agents that go from one to the
// other and start anew, changes at any moment.
func TestAgentsConverge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		program := steps().Draw(rt, "steps")
		ok := true
		synctest.Test(t, func(t *testing.T) {
			converge(t, program)
			ok = !t.Failed()
		})
		if !ok {
			rt.Fatal("agents did not converge")
		}
	})
}

func converge(t *testing.T, program []step) {
	src := newSource()
	labs := []*lab{newLab(t, src, nil), newLab(t, src, nil)}
	agents := []*sim.Agent{labs[0].agent("a0", "r0", "r1", "r2"), labs[0].agent("a1", "r2", "r3"), labs[0].agent("a2", "r0")}
	agents[1].Hello.Owns = []control.Owned{{Name: "r0"}}
	stops := make([]func() error, len(agents))
	stop := func(i int) {
		if stops[i] != nil {
			_ = stops[i]()
			stops[i] = nil
		}
	}
	connect := func(i, at int) {
		stop(i)
		agents[i].Dial = labs[at].dial(agents[i].Hello.Name)
		stops[i] = labs[at].start(agents[i])
	}
	tell := func(revision int64, names ...string) {
		for _, l := range labs {
			l.f.Changed(names, revision)
		}
	}
	for _, s := range program {
		switch s.Do {
		case "put":
			tell(src.put(s.Name, s.Text), s.Name)
		case "remove":
			tell(src.remove(s.Name), s.Name)
		case "order":
			tell(src.order(s.ID, s.Name, s.Text))
		case "undo":
			tell(src.order(s.ID, "", ""))
		case "connect":
			connect(s.Agent, s.Centre)
		case "cut":
			stop(s.Agent)
		case "restart":
			stop(s.Agent)
			agents[s.Agent].Hello.Boot += "'"
		}
		time.Sleep(s.Wait)
	}
	for i := range agents {
		if stops[i] == nil {
			connect(i, i%2)
		}
	}
	labs[0].settle()
	for i, a := range agents {
		labs[0].runs(a)
		stop(i)
	}
	for _, l := range labs {
		l.close()
	}
}
