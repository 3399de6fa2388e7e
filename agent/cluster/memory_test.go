package cluster

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// shelf is a book in memory.
type shelf struct {
	mu    sync.Mutex
	pages map[string]Memory
	kept  int
}

func (s *shelf) Recall(group string) (Memory, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.pages[group]
	return m, ok
}

func (s *shelf) Keep(group string, m Memory) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[group] = m
	s.kept++
}

// restarted returns a new rig whose cluster has the book; say is what its servers answer.
func restarted(t *testing.T, s *shelf, sp *resources.Spec, say string, topology bool) *rig {
	g := newRig(t, sp)
	if topology {
		g.f.reports = make(chan []resources.Member)
	}
	t.Cleanup(g.c.Close)
	g.say(say)
	g.c.shelved = s
	g.c.Start(g.f)
	return g
}

func TestDiscoverySurvivesARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &shelf{pages: map[string]Memory{}}
		g := restarted(t, s, spec(2), "", true)
		g.report(resources.Member{Address: "m:1", Role: resources.RolePrimary}, resources.Member{Address: "n:1", Role: resources.RoleReplica})
		kept := s.kept
		for range 10 { // the same again is no news
			g.report(resources.Member{Address: "m:1", Role: resources.RolePrimary}, resources.Member{Address: "n:1", Role: resources.RoleReplica})
		}
		if s.kept != kept {
			t.Errorf("the same report was kept %d times", s.kept-kept)
		}
		g.c.Close()
		if text, _ := json.Marshal(s.pages["g"]); string(text) != `{"seeds":["a:1","b:1"],"found":[{"address":"m:1","role":"primary"},{"address":"n:1","role":"replica"}]}` {
			t.Errorf("kept: %s", text)
		}

		g = restarted(t, s, spec(2), "", true)
		g.wantUsed("m:1", "n:1") // at once, before any report
		if w := g.writers(); w != "m" {
			t.Errorf("%q are written to", w)
		}
		pass(time.Second)
		if st := g.c.Status()[0]; !st.Stale || !st.Discovered || st.Why != staleWhy || !g.c.Probed() {
			t.Errorf("status %+v", st)
		}
		g.report(members("x:1", "y:1", "z:1")...) // all others: a first report is never held
		g.wantUsed("x:1", "y:1", "z:1")
		if st := g.c.Status()[0]; st.Stale || st.Why != "" {
			t.Errorf("status %+v", st)
		}
	})
}

func TestEmptyFirstReportLeavesThePast(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &shelf{pages: map[string]Memory{"g": {Seeds: []string{"a:1"}, Found: []Found{{"m:1", "primary", 0}, {"n:1", "replica", 0}}}}}
		g := restarted(t, s, spec(1), "", true)
		g.report()
		g.wantUsed("m:1", "n:1")
		close(g.f.reports)
		pass(time.Hour)
		g.wantUsed("m:1", "n:1")
	})
}

// A server of the past is where a topology may be asked, too.
func TestThePastIsASeed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &shelf{pages: map[string]Memory{"g": {Seeds: []string{"a:1"}, Found: []Found{{"a:1", "primary", 0}, {"n:1", "replica", 0}}}}}
		g := restarted(t, s, spec(1), "", true)
		g.c.mu.Lock()
		defer g.c.mu.Unlock()
		if got := g.c.watchSeeds(g.c.groups["g"]); !slices.Equal(got, []string{"a:1", "n:1"}) {
			t.Errorf("seeds %v", got)
		}
		g.c.seedsOnly = true
		if got := g.c.watchSeeds(g.c.groups["g"]); !slices.Equal(got, []string{"a:1"}) {
			t.Errorf("seeds of a topology that servers do not know: %v", got)
		}
	})
}

func TestVoidMemory(t *testing.T) {
	for name, m := range map[string]Memory{
		"other seeds":       {Seeds: []string{"x:1"}, Found: []Found{{"m:1", "primary", 0}}, Writer: "b:1"},
		"nothing was found": {Seeds: []string{"a:1"}},
		"nonsense":          {Seeds: []string{"a:1"}, Found: []Found{{"m:1", "primary", 0}, {"m", "", 0}}},
		"an unknown role":   {Seeds: []string{"a:1"}, Found: []Found{{"m:1", "boss", 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				g := restarted(t, &shelf{pages: map[string]Memory{"g": m}}, spec(2), "", true)
				pass(time.Second)
				g.wantUsed("a:1", "b:1")
				if g.c.Status()[0].Stale || g.c.groups["g"].fence.writer != nil {
					t.Error("it was believed")
				}
			})
		})
	}
}

// A resource that discovers nothing now does not take over what it discovered with another topology.
func TestPastIsForTopologiesOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &shelf{pages: map[string]Memory{"g": {Seeds: []string{"a:1"}, Found: []Found{{"m:1", "primary", 0}}}}}
		g := restarted(t, s, spec(2), "", false)
		g.wantUsed("a:1", "b:1")
	})
}

func TestWriterSurvivesARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &shelf{pages: map[string]Memory{}}
		g := restarted(t, s, spec(3), "P R R", false)
		check := func(what, writers, fenced string) {
			t.Helper()
			pass(spell)
			if w, f := g.writers(), g.fenced(); w != writers || f != fenced {
				t.Errorf("%s: %q are written to and %q fenced, want %q and %q", what, w, f, writers, fenced)
			}
		}
		check("first run", "a", "")
		g.say("X P R")
		check("failover", "b", "a")
		restart := func(say string) {
			g.c.Close()
			g = restarted(t, s, spec(3), say, false)
			if w := g.writers(); w != "b" {
				t.Errorf("before any check %q are written to", w)
			}
		}
		restart("P P R")
		check("both say primary after the restart", "b", "a")
		restart("P X R")
		check("only the deposed one says so after the restart", "b", "a")
		restart("R P R")
		check("it was made a replica", "b", "")
		restart("P X R")
		check("it was promoted again while the agent was away", "a", "")
		g.say("P P R")
		check("the other one comes back", "a", "b")
	})
}

// Taking a deposed endpoint out and putting it back is an operator's word, also for the next process.
func TestOperatorForgivesTheDeposed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &shelf{pages: map[string]Memory{"g": {Seeds: []string{"a:1", "b:1"}, Writer: "b:1", Deposed: []string{"a:1"}}}}
		g := restarted(t, s, spec(2), "P X", false)
		pass(spell)
		if w, f := g.writers(), g.fenced(); w != "b" || f != "a" {
			t.Fatalf("%q are written to and %q fenced", w, f)
		}
		without := spec(2)
		group := without.Groups["g"]
		group.Endpoints = group.Endpoints[1:]
		without.Groups["g"] = group
		g.apply(without)
		if d := s.pages["g"].Deposed; len(d) != 0 {
			t.Errorf("%v are remembered as deposed", d)
		}
		g.apply(spec(2))
		pass(spell)
		if w, f := g.writers(), g.fenced(); w != "a" || f != "" {
			t.Errorf("%q are written to and %q fenced", w, f)
		}
		if m := s.pages["g"]; m.Writer != "a:1" || !slices.Equal(m.Deposed, []string{"b:1"}) {
			t.Errorf("remembered: %+v", m)
		}
	})
}

// A group that comes back with a change of the spec is remembered as well.
func TestNewGroupIsRecalled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &shelf{pages: map[string]Memory{"h": {Seeds: []string{"a:1", "b:1"}, Writer: "b:1", Deposed: []string{"a:1"}}}}
		g := restarted(t, s, spec(1), "P P", false)
		pass(spell)
		sp := spec(1)
		sp.Groups["h"] = spec(2).Groups["g"]
		g.apply(sp)
		if w := g.used("h", resources.RolePrimary); !slices.Equal(w, []string{"b:1"}) {
			t.Errorf("before any check %v are written to", w)
		}
		pass(spell)
		if w := g.used("h", resources.RolePrimary); !slices.Equal(w, []string{"b:1"}) {
			t.Errorf("%v are written to", w)
		}
		g.apply(spec(1)) // and is forgotten when it is taken away
		if m := s.pages["h"]; m.Writer != "" || len(m.Seeds) != 0 {
			t.Errorf("it is remembered as %+v", m)
		}
	})
}

// A remembered writer whose server tells no role any more is no writer.
func TestRememberedWriterWithoutARole(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &shelf{pages: map[string]Memory{"g": {Seeds: []string{"a:1"}, Writer: "b:1"}}}
		g := restarted(t, s, spec(3), "A A R", false)
		if w := g.writers(); w != "b" {
			t.Errorf("before any check %q are written to", w)
		}
		pass(spell)
		if w := g.writers(); w != "ab" {
			t.Errorf("%q are written to", w)
		}
	})
}

// Of servers that an earlier run found, those that say now that they are primaries are fenced as configured ones are.
func TestPastIsFenced(t *testing.T) {
	for say, want := range map[string]string{"P P": "a b", "X P": "b ", "R P": "b ", "P R": "a ", "R R": " "} {
		t.Run(say, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := &shelf{pages: map[string]Memory{"g": {Seeds: []string{"s:1"}, Found: []Found{{"a:1", "primary", 0}, {"b:1", "replica", 0}}}}}
				sp := spec(1)
				sp.Groups["g"].Endpoints[0].Address = "s:1"
				g := restarted(t, s, sp, say, true)
				pass(spell)
				if got := g.writers() + " " + g.fenced(); got != want {
					t.Errorf("written to and fenced: %q, want %q", got, want)
				}
			})
		})
	}
}

// A driver may find out that a group has no topology after all.
func TestPastEndsWithoutATopology(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &shelf{pages: map[string]Memory{"g": {Seeds: []string{"a:1"}, Found: []Found{{"m:1", "primary", 0}}}}}
		g := newRig(t, spec(2))
		defer g.c.Close()
		g.f.reports, g.f.none = make(chan []resources.Member), true
		g.c.shelved = s
		g.c.Start(g.f)
		g.wantUsed("m:1")
		close(g.f.reports)
		synctest.Wait()
		g.wantUsed("a:1", "b:1")
		if len(s.pages["g"].Found) != 0 {
			t.Error("the past is kept")
		}
	})
}

func FuzzMemory(f *testing.F) {
	f.Add([]byte(`{"seeds":["a:1"],"found":[{"address":"m:1","role":"primary"}],"writer":"m:1","deposed":["n:1"]}`))
	f.Add([]byte(`{"seeds":["a:1"],"found":[{"address":"unix:","role":"boss"}]}`))
	f.Add([]byte(`{"found":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m Memory
		if json.Unmarshal(data, &m) != nil {
			return
		}
		list, ok := m.members()
		if ok != (len(list) > 0) {
			t.Fatalf("%v, %t", list, ok)
		}
		for _, x := range list {
			if checkAddress(x.Address) != nil {
				t.Fatalf("%q is no address", x.Address)
			}
		}
	})
}
