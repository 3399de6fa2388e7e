package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-mesh/sluice/protocols/control"
	sim "github.com/sluice-mesh/sluice/testenv/fleet"
)

// teller tells one fleet of another's agents, as package peers does.
type teller struct {
	t        *testing.T
	from, to *lab
	names    *Follower
	stamps   map[string]uint64
	sync     uint64
}

func tells(t *testing.T, from, to *lab) *teller {
	return &teller{t: t, from: from, to: to, names: from.f.Follow(), stamps: map[string]uint64{}, sync: to.f.Sync()}
}

// tell passes on what changed, and returns how often it said who an agent is.
func (z *teller) tell() (hellos int) {
	z.t.Helper()
	for {
		names := z.names.Take(2)
		if len(names) == 0 {
			break
		}
		for _, name := range names {
			r, stamp := z.from.f.Record(name, z.stamps[name])
			z.stamps[name] = stamp
			text, err := json.Marshal(r)
			if err != nil {
				z.t.Fatal(err)
			}
			if r.Hello != nil {
				hellos++
			}
			var came Record
			if err := json.Unmarshal(text, &came); err != nil {
				z.t.Fatal(err)
			}
			if err := z.to.f.Tell(z.from.f.o.Name, z.sync, &came); err != nil {
				z.t.Fatal(err)
			}
		}
	}
	return hellos
}

// same fails unless two fleets say the same of everything.
func same(t *testing.T, a, b *lab, resources, commands []string) {
	t.Helper()
	if diff := cmp.Diff(a.f.Agents(), b.f.Agents(), cmp.Comparer(func(a, b Owned) bool { return a == b }), cmpopts.IgnoreFields(AgentView{}, "LastSeen"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("agents:\n%s", diff)
	}
	for _, v := range a.f.Agents() {
		if diff := cmp.Diff(a.f.AgentStates(v.Name), b.f.AgentStates(v.Name), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("states of %s:\n%s", v.Name, diff)
		}
	}
	for _, n := range resources {
		if diff := cmp.Diff(a.f.Applied(n), b.f.Applied(n)); diff != "" {
			t.Errorf("who runs %s:\n%s", n, diff)
		}
		if diff := cmp.Diff(a.f.States(n), b.f.States(n), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("states of %s:\n%s", n, diff)
		}
	}
	for _, id := range commands {
		if diff := cmp.Diff(a.f.Ordered(id), b.f.Ordered(id)); diff != "" {
			t.Errorf("who has %s:\n%s", id, diff)
		}
	}
}

func pairOf(t *testing.T, src *source) (c1, c2 *lab) {
	return newLab(t, src, nil), newLab(t, src, func(o *Options) { o.Name = "c2" })
}

// A fleet that is told of agents says the same of them as the one that they are linked to, whatever happens to them.
func TestToldAsLinked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.put("cache", "one")
		src.put("db", "one")
		c1, c2 := pairOf(t, src)
		defer c1.close()
		defer c2.close()
		resources, commands := []string{"cache", "db", "own", "none"}, []string{"g-1", "g-2"}
		z := tells(t, c1, c2)
		defer z.names.Stop()
		check := func(what string) int {
			t.Helper()
			c1.settle()
			n := z.tell()
			same(t, c1, c2, resources, commands)
			if t.Failed() {
				t.Fatal(what)
			}
			return n
		}
		a := c1.agent("a", "cache", "db")
		a.Hello.Owns = []control.Owned{{Name: "own", Hash: "h", Spec: json.RawMessage(`{"kind":"redis"}`)}}
		a.Hello.Labels, a.Hello.Started = map[string]string{"team": "feed"}, time.Now().UnixMilli()
		sees := map[string]string{}
		a.State = func(have map[string]string) *control.State {
			s := &control.State{Full: true, Ready: true, Detail: sees["detail"]}
			for _, n := range slices.Sorted(maps.Keys(have)) {
				s.Resources = append(s.Resources, control.ResourceState{Name: n, Kind: "redis", Source: "center", Hash: have[n], Sessions: 3, Pinned: 1,
					Groups: []control.GroupState{{Name: "yf", Weight: 100}}, Endpoints: []control.EndpointState{{Group: "yf", Address: "x:1", State: "up", Lag: 5}}})
			}
			return s
		}
		a.Refuse = func(r *control.Resource) (string, string) {
			if r.Name == "db" && strings.Contains(string(r.Spec), "bad") {
				return "groups", "no"
			}
			return "", ""
		}
		stop := c1.start(a)
		b := c1.agent("b", "cache")
		c1.start(b)
		if n := check("linked"); n != 2 {
			t.Errorf("%d of 2 agents said who they are", n)
		}
		c1.changed(src.put("db", "bad"), "db")
		if n := check("refused"); n != 0 {
			t.Errorf("%d agents said again who they are", n)
		}
		c1.changed(src.order("g-1", "", "{}"))
		check("ordered")
		c1.changed(src.order("g-2", "cache", "{}"), "cache")
		check("ordered on one")
		c1.changed(src.remove("db"), "db")
		check("removed")
		if v := c2.view("a"); v.Center != "c1" || !v.Connected || !v.Ready || len(v.Labels) != 1 {
			t.Errorf("%+v", v)
		}
		if spec, ok := c2.f.Owned("a", "own"); !ok || string(spec) != `{"kind":"redis"}` {
			t.Errorf("%s %v", spec, ok)
		}
		stop()
		check("gone")
		if v := c2.view("a"); v.Connected {
			t.Errorf("%+v", v)
		}
		time.Sleep(25 * time.Hour)
		if check("forgotten"); len(c2.f.Agents()) != 1 {
			t.Errorf("%+v", c2.f.Agents())
		}
	})
}

// An agent goes from one centre to the other and back. Each of the two lists it once, at the one that it is linked to, before and after
// the link that it left breaks.
func TestToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.put("cache", "one")
		c1, c2 := pairOf(t, src)
		defer c1.close()
		defer c2.close()
		there, back := tells(t, c1, c2), tells(t, c2, c1)
		defer there.names.Stop()
		defer back.names.Stop()
		at := func(want string, connected bool) {
			t.Helper()
			time.Sleep(300 * time.Millisecond)
			synctest.Wait()
			there.tell()
			back.tell()
			for _, l := range []*lab{c1, c2} {
				all := l.f.Agents()
				if len(all) != 1 || all[0].Center != want || all[0].Connected != connected || l.f.Applied("cache").Agents+len(l.f.Applied("cache").Away) != 1 {
					t.Fatalf("%s says %+v, %+v", l.f.o.Name, all, l.f.Applied("cache"))
				}
			}
		}
		hello := control.Hello{Name: "a", Boot: "one", Wants: []string{"cache"}, Started: time.Now().UnixMilli()}
		first := c1.start(&sim.Agent{Hello: hello, Dial: c1.dial("a")})
		at("c1", true)
		second := c2.start(&sim.Agent{Hello: hello, Dial: c2.dial("a")}) // the first link hangs
		at("c2", true)
		first()
		at("c2", true)
		third := c1.start(&sim.Agent{Hello: hello, Dial: c1.dial("a")})
		at("c1", true)
		second()
		at("c1", true)

		// What c1 had is told by nobody any more: a centre that comes later hears it from c2.
		c3 := newLab(t, src, func(o *Options) { o.Name = "c3" })
		defer c3.close()
		if changed := c2.f.CenterGone("c1", c2.f.Sync()); len(changed) != 1 {
			t.Errorf("%v changed", changed)
		}
		late := tells(t, c2, c3)
		defer late.names.Stop()
		late.tell()
		for _, l := range []*lab{c2, c3} {
			if all := l.f.Agents(); len(all) != 1 || all[0].Connected {
				t.Fatalf("%s says %+v", l.f.o.Name, all)
			}
		}
		// It was not gone after all: c1 tells everything anew.
		there.names.Stop()
		there = tells(t, c1, c2)
		there.tell()
		if v := c2.view("a"); !v.Connected || v.Center != "c1" {
			t.Errorf("%+v", v)
		}
		// What was found out before that does not count any more.
		if changed := c2.f.CenterGone("c1", there.sync); len(changed) != 0 {
			t.Errorf("%v changed", changed)
		}
		third()
		time.Sleep(25 * time.Hour)
		there.tell()
		late.tell()
		synctest.Wait()
		for _, l := range []*lab{c2, c3} {
			if all := l.f.Agents(); len(all) != 0 {
				t.Errorf("%s still says %+v", l.f.o.Name, all)
			}
		}
	})
}

// A Record that builds on one that did not come is refused, and so is what no agent may be.
func TestToldWrongly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c1, c2 := pairOf(t, newSource())
		defer c1.close()
		defer c2.close()
		hello := &control.Hello{Protocol: control.Version, Name: "a", Boot: "one"}
		if err := c2.f.Tell("c1", 1, &Record{Name: "a"}); !errors.Is(err, errUnknown) {
			t.Error(err)
		}
		contains(t, c2.f.Tell("c1", 1, &Record{Name: "b", Hello: hello, State: control.State{Full: true}}), "its certificate is for")
		contains(t, c2.f.Tell("c2", 1, &Record{Name: "a", Hello: hello, State: control.State{Full: true}}), "no other centre")
		contains(t, c2.f.Tell("", 1, &Record{Name: "a", Hello: hello, State: control.State{Full: true}}), "no other centre")
		if all := c2.f.Agents(); len(all) != 0 {
			t.Errorf("%+v", all)
		}
	})
}

func FuzzTell(f *testing.F) {
	f.Add([]byte(`{"name":"a","hello":{"protocol":1,"name":"a","boot":"b","wants":["x"]},"connected":true,"items":{"x":{"applied":"h"}},"orders":[{"id":"g","resource":"x"}],"state":{"full":true,"resources":[{"name":"x"}]}}`),
		[]byte(`{"name":"a","since":-9223372036854775808,"state":{"removed":["x"],"stale":-1}}`))
	f.Add([]byte(`{"name":"a","forgotten":true}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		fleet, err := New(Options{Source: newSource(), Name: "c1", Cluster: "cluster"})
		if err != nil {
			t.Fatal(err)
		}
		defer fleet.Close(t.Context())
		for i, text := range [][]byte{one, two, one} {
			var r Record
			if json.Unmarshal(text, &r) == nil {
				_ = fleet.Tell(fmt.Sprintf("c%d", 2+i%2), 1, &r)
			}
		}
		for _, v := range fleet.Agents() {
			fleet.AgentStates(v.Name)
			for _, n := range v.Wants {
				fleet.Applied(n)
				fleet.States(n)
			}
		}
		fleet.Ordered("g")
		fleet.CenterGone("c2", 5)
		fleet.CenterGone("c3", 5)
		for _, v := range fleet.Agents() {
			if v.Connected {
				t.Errorf("%+v", v)
			}
		}
		if len(fleet.told) == 0 && len(fleet.toldIndex) > 0 {
			t.Errorf("%v is left", fleet.toldIndex)
		}
	})
}
