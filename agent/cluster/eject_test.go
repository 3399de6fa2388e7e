package cluster

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
	"pgregory.net/rapid"
)

func TestConsecutiveFailuresEject(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, spec(3)).start()
		defer g.c.Close()
		a := g.member("a:1")
		g.calls(a, failure, 4)
		g.calls(a, resources.OutcomeError, 1) // the upstream answered: it works
		g.calls(a, failure, 4)
		g.wantUsed("a:1", "b:1", "c:1")
		g.calls(a, resources.OutcomeCanceled, 1) // says nothing
		g.calls(a, failure, 1)
		g.wantUsed("b:1", "c:1")
		if st := g.c.Status()[0]; st.State != "ejected" || st.Ejections != 1 || st.ReturnInNs != 5e9 || st.Why == "" {
			t.Errorf("status %+v", st)
		}
		if e := g.series(metrics.EndpointEjections); e["g a:1 any"] != 1 {
			t.Errorf("series %v", e)
		}
		if up := g.series(metrics.EndpointUp); up["g a:1 any"] != 0 {
			t.Errorf("series %v", up)
		}
		time.Sleep(5*time.Second - 1)
		synctest.Wait()
		g.wantUsed("b:1", "c:1")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		g.wantUsed("a:1", "b:1", "c:1")
		if share := a.Share(g.c.now()); share > 0.2 {
			t.Errorf("it came back with a share of %v", share)
		}
	})
}

func TestErrorRatioEjects(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(3)
		s.Policy.Eject.Consecutive = -1
		g := newRig(t, s).start()
		defer g.c.Close()
		a := g.member("a:1")
		g.calls(a, failure, 9)
		g.wantUsed("a:1", "b:1", "c:1") // fewer than ten calls say nothing
		time.Sleep(11 * time.Second)    // they leave the window
		g.calls(a, resources.OutcomeOK, 11)
		g.calls(a, failure, 10)
		g.wantUsed("a:1", "b:1", "c:1")
		g.calls(a, failure, 1)
		g.wantUsed("b:1", "c:1")
	})
}

func TestEjectionsGrowAndShrink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(3)
		s.Policy.Eject.Max = resources.Duration(30 * time.Second)
		g := newRig(t, s).start()
		defer g.c.Close()
		a := g.member("a:1")
		eject := func(want time.Duration) {
			t.Helper()
			g.calls(a, failure, 5)
			if got := time.Duration(g.c.Status()[0].ReturnInNs); got != want {
				t.Errorf("ejected for %s, want %s", got, want)
			}
			time.Sleep(want)
			synctest.Wait()
			g.wantUsed("a:1", "b:1", "c:1")
		}
		for _, d := range []time.Duration{5, 10, 20, 30, 30} {
			eject(d * time.Second)
		}
		time.Sleep(time.Hour)
		eject(5 * time.Second)
	})
}

func TestEndOfAnOutageEndsTheEjection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(3)
		s.Policy.Eject.Base = resources.Duration(time.Minute)
		g := newRig(t, s).start()
		defer g.c.Close()
		g.f.set("a:1", resources.Health{})
		g.calls(g.member("a:1"), failure, 5)
		g.wantUsed("b:1", "c:1")
		time.Sleep(10 * time.Second)
		g.f.set("a:1", resources.Health{Ready: true})
		time.Sleep(3 * time.Second)
		synctest.Wait()
		g.wantUsed("a:1", "b:1", "c:1")
		if st := g.c.Status()[0]; st.State != "up" || st.Share > 0.5 {
			t.Errorf("status %+v", st)
		}
		g.calls(g.member("b:1"), failure, 5) // its probes are good: nothing shortens it
		time.Sleep(30 * time.Second)
		synctest.Wait()
		g.wantUsed("a:1", "c:1")
	})
}

func TestNeverTheLastOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(3)
		s.Policy.Eject.AtMost = 100
		g := newRig(t, s).start()
		defer g.c.Close()
		for _, a := range []string{"a:1", "b:1", "c:1"} {
			g.calls(g.member(a), failure, 50)
		}
		if used := g.used("g", resources.RoleAny); len(used) == 0 {
			t.Fatal("nothing is left")
		}
		if n := g.ejected(); n != 2 {
			t.Errorf("%d are ejected, want 2", n)
		}
		if st := g.c.Status()[2]; st.State != "up" || st.Why == "" {
			t.Errorf("the last one: %+v", st)
		}
	})
}

func (g *rig) ejected() (n int) {
	for _, st := range g.c.Status() {
		if st.State == "ejected" {
			n++
		}
	}
	return n
}

func TestNeverTheLastPrimary(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(3)
		for i, r := range []string{"primary", "replica", "replica"} {
			s.Groups["g"].Endpoints[i].Role = r
		}
		g := newRig(t, s).start()
		defer g.c.Close()
		g.calls(g.member("a:1"), failure, 50)
		g.wantUsed("a:1", "b:1", "c:1")
		g.calls(g.member("b:1"), failure, 50)
		g.wantUsed("a:1", "c:1")
	})
}

func TestAtMostIsCountedWithTheNewOne(t *testing.T) {
	for n, want := range map[int]int{1: 0, 2: 1, 3: 1, 4: 2, 5: 2, 10: 5} {
		bubble(t, func(t *testing.T) {
			g := newRig(t, spec(n)).start()
			defer g.c.Close()
			for i := range n {
				g.calls(g.member(string(rune('a'+i))+":1"), failure, 20)
			}
			if got := g.ejected(); got != want {
				t.Errorf("%d of %d are ejected, want %d", got, n, want)
			}
		})
	}
}

func TestPanicUsesAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, spec(4)).start()
		defer g.c.Close()
		down := func(addresses ...string) {
			for _, a := range addresses {
				g.f.set(a, resources.Health{})
			}
			time.Sleep(6 * time.Second)
			synctest.Wait()
		}
		down("a:1", "b:1")
		g.wantUsed("c:1", "d:1") // half is not more than half
		down("c:1")
		g.wantUsed("a:1", "b:1", "c:1", "d:1")
		p := g.c.View().Pools[0]
		if l := p.List(resources.RoleAny); !l.Panics() || l.Sound != 1 || l.Of != 4 {
			t.Errorf("list %+v", l)
		}
		g.f.set("b:1", resources.Health{Ready: true})
		time.Sleep(3 * time.Second)
		synctest.Wait()
		g.wantUsed("b:1", "d:1")
	})
}

// noDeadline hides the deadline of a test, which cannot be asked for inside a bubble.
type noDeadline struct{ rapid.TB }

// What may be ejected never breaks the three promises, whatever the group looks like, in whatever order its members
// fail.
func TestMayEjectKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "members")
		atMost := resources.Percent(rapid.SampledFrom([]float64{0, 10, 33, 34, 50, 67, 90, 100}).Draw(t, "at most"))
		var group []*Member
		for range n {
			m := &Member{}
			m.Endpoint = &resources.Endpoint{}
			m.Endpoint.SetWeight(int32(rapid.SampledFrom([]int{0, 1, 100}).Draw(t, "weight")))
			m.Endpoint.SetRole(resources.Role(rapid.IntRange(0, 2).Draw(t, "role")))
			m.down = rapid.IntRange(0, 4).Draw(t, "down") == 0
			m.drained = rapid.IntRange(0, 6).Draw(t, "drained") == 0
			group = append(group, m)
		}
		sound := func() (all, primaries, ejected, of int) {
			for _, m := range group {
				if m.drained || m.Endpoint.Weight() == 0 {
					continue
				}
				of++
				if m.until != 0 {
					ejected++
				} else if !m.down {
					all++
					if fits(m.Endpoint.Role(), resources.RolePrimary) {
						primaries++
					}
				}
			}
			return
		}
		t.Repeat(map[string]func(*rapid.T){
			"fail": func(t *rapid.T) {
				m := rapid.SampledFrom(group).Draw(t, "member")
				if m.until != 0 || m.drained {
					return
				}
				_, primariesBefore, _, _ := sound()
				wasUp := !m.down
				if !mayEject(group, m, atMost) {
					return
				}
				m.until = 1
				all, primaries, ejected, of := sound()
				if all == 0 {
					t.Fatal("the last sound member was ejected")
				}
				if wasUp && primariesBefore > 0 && primaries == 0 {
					t.Fatal("the last sound primary was ejected")
				}
				if float64(ejected) > math.Floor(atMost.Fraction()*float64(of)+1e-9) {
					t.Fatalf("%d of %d are ejected, at most %s may be", ejected, of, atMost)
				}
			},
			"return": func(t *rapid.T) { rapid.SampledFrom(group).Draw(t, "member").until = 0 },
			"":       func(t *rapid.T) {},
		})
	})
}

// The same promises hold for a whole cluster that fails, recovers and is changed in any order: nothing usable is ever
// refused, and what is listed is what the state says.
func TestClusterModel(t *testing.T) {
	bubble(t, func(bt *testing.T) {
		rapid.Check(noDeadline{bt}, func(t *rapid.T) {
			n := rapid.IntRange(1, 8).Draw(t, "members")
			s := spec(n)
			s.Policy.Eject.AtMost = resources.Percent(rapid.SampledFrom([]float64{20, 50, 100}).Draw(t, "at most"))
			g := newRig(bt, s).start()
			defer g.c.Close()
			drained := map[string]bool{}
			some := func(t *rapid.T) *Member {
				return g.member(string(rune('a'+rapid.IntRange(0, n-1).Draw(t, "member"))) + ":1")
			}
			t.Repeat(map[string]func(*rapid.T){
				"fail":    func(t *rapid.T) { g.calls(some(t), failure, rapid.IntRange(1, 12).Draw(t, "calls")) },
				"succeed": func(t *rapid.T) { g.calls(some(t), resources.OutcomeOK, rapid.IntRange(1, 12).Draw(t, "calls")) },
				"wait": func(t *rapid.T) {
					time.Sleep(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second)
					synctest.Wait()
				},
				"probe": func(t *rapid.T) {
					g.f.set(some(t).Endpoint.Address, resources.Health{Ready: rapid.Bool().Draw(t, "ready")})
				},
				"drain": func(t *rapid.T) {
					a := some(t).Endpoint.Address
					drained[a] = !drained[a]
					var list []string
					for a, on := range drained {
						if on {
							list = append(list, a)
						}
					}
					g.apply(s, list...)
				},
				"": func(t *rapid.T) {
					of, ejected := 0, 0
					var sound, all []string
					for _, st := range g.c.Status() {
						if st.State == "drained" {
							continue
						}
						of++
						all = append(all, st.Address)
						switch st.State {
						case "ejected":
							ejected++
						case "up", "unknown":
							sound = append(sound, st.Address)
						}
					}
					want := sound
					if 2*len(sound) < of {
						want = all
					}
					used := g.used("g", resources.RoleAny)
					if slices.Sort(want); !slices.Equal(used, want) {
						t.Fatalf("in use %v, want %v of %v", used, want, all)
					}
					if of > 0 && len(used) == 0 {
						t.Fatal("nothing is in use")
					}
					if ejected == of && of > 0 && len(drained) == 0 {
						t.Fatal("all are ejected")
					}
				},
			})
		})
	})
}

func TestWindowForgets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		bucket := rapid.Int64Range(1e6, 1e9).Draw(t, "bucket")
		now := rapid.Int64Range(0, 1e15).Draw(t, "now")
		type event struct {
			turn    int64
			failure bool
		}
		var events []event
		for range rapid.IntRange(0, 200).Draw(t, "events") {
			now += rapid.Int64Range(0, 3*bucket).Draw(t, "gap")
			f := rapid.Bool().Draw(t, "failure")
			w.add(now, bucket, f)
			events = append(events, event{now / bucket, f})
		}
		var calls, failures uint64
		for _, e := range events {
			if now/bucket-e.turn < windowBuckets {
				calls++
				if e.failure {
					failures++
				}
			}
		}
		if c, f := w.sum(now, bucket); c != calls || f != failures {
			t.Fatalf("window says %d of %d, want %d of %d", f, c, failures, calls)
		}
	})
}

func TestDoneAllocatesNothing(t *testing.T) {
	if raceEnabled {
		return // the detector's own bookkeeping is counted
	}
	g := newRig(t, spec(2))
	defer g.c.Close()
	m, now := g.member("a:1"), g.c.now()
	if n := testing.AllocsPerRun(1000, func() {
		now += 1e6
		m.Done(resources.OutcomeOK, resources.ClassRead, 1e5, now)
		m.Done(failure, resources.ClassRead, 1e5, now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDone(b *testing.B) {
	g := newRig(b, spec(2))
	defer g.c.Close()
	m, now := g.member("a:1"), g.c.now()
	b.ReportAllocs()
	for range b.N {
		now += 10_000
		m.Done(resources.OutcomeOK, resources.ClassRead, 1e5, now)
	}
}
