package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

// bubble runs a test in a bubble of synctest, with a registry whose clock is the bubble's.
func bubble(t *testing.T, f func(t *testing.T, r *Registry)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, open(t, newStore(t))) })
}

// settled waits until what was exported is served: longer than changes are held back.
func settled() {
	time.Sleep(coalesce + time.Millisecond)
	synctest.Wait()
}

func export(t testing.TB, r *Registry, agent, boot string, services ...control.Service) {
	t.Helper()
	if err := r.Export(agent, boot, services); err != nil {
		t.Fatal(err)
	}
}

func wantAddresses(t testing.TB, r *Registry, name, group string, want ...string) {
	t.Helper()
	settled()
	if got := addresses(t, r, name, group); !slices.Equal(got, want) {
		t.Fatalf("%s has %q in %s, want %q", name, got, group, want)
	}
}

func TestExportOfAResourceWithoutDocument(t *testing.T) {
	bubble(t, func(t *testing.T, r *Registry) {
		heavy := svc("feed", "yf", 2)
		heavy.Weight, heavy.Role = 50, "replica"
		export(t, r, "a", "1", svc("feed", "yf", 1), heavy, svc("feed", "tc", 3))
		settled()
		s := spec(t, r, "feed")
		if s.Kind != "motan2" || len(s.Groups) != 2 || s.Groups["tc"].IDC != "tc" {
			t.Errorf("%+v", s)
		}
		if e := s.Groups["yf"].Endpoints[1]; e.Role != "replica" || e.Share() != 50 {
			t.Errorf("%+v", e)
		}
		d, err := r.Get("feed")
		if err != nil || !d.Exported || d.Version != 0 || d.Kind != "motan2" || len(d.Text) != 0 || len(r.List()) != 1 {
			t.Errorf("%+v, %v", d, err)
		}
		if o, ok := r.Outline("feed"); !ok || !o.Exported || len(o.Groups) != 2 {
			t.Errorf("%+v", o)
		}
		if _, err := r.Delete(t.Context(), "feed", "ana", "", nil); !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
		// An endpoint that is added by hand begins a document.
		if _, err := r.AddEndpoint(t.Context(), "feed", "yf", resources.EndpointSpec{Address: "10.9.9.9:80"}, "ana", "", nil); err != nil {
			t.Fatal(err)
		}
		wantAddresses(t, r, "feed", "yf", "10.9.9.9:80", "10.0.0.1:80", "10.0.0.2:80")
		if d, err := r.Get("feed"); err != nil || d.Exported || d.Version != 1 {
			t.Errorf("%+v, %v", d, err)
		}
		_, err = r.RemoveEndpoint(t.Context(), "feed", "yf", resources.EndpointSpec{Address: "10.0.0.1:80"}, "ana", "", nil)
		if err == nil || !strings.Contains(err.Error(), "exported by a") {
			t.Error(err)
		}
		if _, err := r.RemoveEndpoint(t.Context(), "feed", "yf", resources.EndpointSpec{Address: "10.9.9.9:80"}, "ana", "", nil); err != nil {
			t.Error(err)
		}
		wantAddresses(t, r, "feed", "yf", "10.0.0.1:80", "10.0.0.2:80")
	})
}

func TestExportIntoADocument(t *testing.T) {
	bubble(t, func(t *testing.T, r *Registry) {
		put(t, r, "feed", "kind: motan2\npolicy: { timeout: 3s }\ngroups: { yf: { endpoints: [\"10.0.0.1:80\"] }, tc: {} }\n")
		wantAddresses(t, r, "feed", "yf", "10.0.0.1:80")
		if s := spec(t, r, "feed"); len(s.Groups) != 1 {
			t.Errorf("an empty group is served: %+v", s.Groups)
		}
		own := svc("feed", "yf", 1)
		own.Weight = 7 // the document's word counts
		export(t, r, "a", "1", own, svc("feed", "yf", 2), svc("feed", "tc", 3))
		wantAddresses(t, r, "feed", "yf", "10.0.0.1:80", "10.0.0.2:80")
		s := spec(t, r, "feed")
		if s.Policy.Timeout != resources.Duration(3*time.Second) || s.Groups["yf"].Endpoints[0].Share() != 100 || len(s.Groups["tc"].Endpoints) != 1 {
			t.Errorf("%+v", s)
		}
		got, err := r.Endpoints("feed")
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, e := range got {
			lines = append(lines, fmt.Sprintf("%s %s %s %v", e.Group, e.Spec.Address, e.Origin, e.Up))
		}
		if want := []string{"tc 10.0.0.3:80 agent a true", "yf 10.0.0.1:80 operator true", "yf 10.0.0.2:80 agent a true"}; !slices.Equal(lines, want) {
			t.Errorf("%q", lines)
		}
		// Without its document it goes on as what is exported, its own endpoint included.
		if _, err := r.Delete(t.Context(), "feed", "ana", "", nil); err != nil {
			t.Fatal(err)
		}
		wantAddresses(t, r, "feed", "yf", "10.0.0.1:80", "10.0.0.2:80")
	})
}

func TestGrace(t *testing.T) {
	bubble(t, func(t *testing.T, r *Registry) {
		export(t, r, "a", "1", svc("feed", "yf", 1))
		export(t, r, "b", "1", svcs("feed", "yf", 2, 5)...)
		settled()
		time.Sleep(2 * time.Minute)
		r.Gone("a", "0") // an earlier process of that name
		time.Sleep(time.Minute)
		wantAddresses(t, r, "feed", "yf", "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80")
		r.Gone("a", "1")
		time.Sleep(defaultGrace - time.Second)
		if l, _ := r.Endpoints("feed"); !strings.Contains(l[0].Detail, "its link is gone") || !l[0].Up {
			t.Errorf("%+v", l[0])
		}
		export(t, r, "a", "2", svc("feed", "yf", 1)) // it is back in time
		time.Sleep(time.Minute)
		wantAddresses(t, r, "feed", "yf", "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80")
		r.Gone("a", "2")
		time.Sleep(defaultGrace - time.Millisecond)
		synctest.Wait()
		if n := len(addresses(t, r, "feed", "yf")); n != 5 {
			t.Fatalf("%d endpoints before the end of the time of grace", n)
		}
		time.Sleep(time.Millisecond)
		wantAddresses(t, r, "feed", "yf", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80")
		if held := r.Protected(""); len(held) != 0 {
			t.Errorf("%+v", held)
		}
	})
}

func TestProcessThatComesBackWithLess(t *testing.T) {
	bubble(t, func(t *testing.T, r *Registry) {
		export(t, r, "a", "1", svcs("feed", "yf", 1, 5)...)
		time.Sleep(2 * time.Minute)
		export(t, r, "a", "2") // its services are not up yet; the old link's end is not noticed yet
		wantAddresses(t, r, "feed", "yf", "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80")
		export(t, r, "a", "2", svcs("feed", "yf", 1, 4)...)
		time.Sleep(defaultGrace)
		wantAddresses(t, r, "feed", "yf", "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80")
		export(t, r, "a", "2", svcs("feed", "yf", 1, 3)...) // withdrawn by the same process: at once
		wantAddresses(t, r, "feed", "yf", "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
	})
}

func TestProtection(t *testing.T) {
	bubble(t, func(t *testing.T, r *Registry) {
		export(t, r, "a", "1", svcs("feed", "yf", 1, 10)...)
		time.Sleep(2 * time.Minute)
		down := svcs("feed", "yf", 1, 10)
		for i := range 7 {
			down[i].Up, down[i].Detail = false, "refused"
		}
		export(t, r, "a", "1", down...)
		// Four of ten may leave; the other three are held.
		wantAddresses(t, r, "feed", "yf", "10.0.0.10:80", "10.0.0.5:80", "10.0.0.6:80", "10.0.0.7:80", "10.0.0.8:80", "10.0.0.9:80")
		held := r.Protected("feed")
		if len(held) != 3 || held[0].Spec.Address != "10.0.0.5:80" || !slices.Equal(held[0].Agents, []string{"a"}) ||
			!strings.Contains(held[0].Why, "more than 40% of the group's 10 endpoints would leave within 1m0s (4 did)") || held[0].Since.IsZero() {
			t.Errorf("%+v", held)
		}
		if o, _ := r.Outline("feed"); o.Held != 3 {
			t.Errorf("%+v", o)
		}
		states := make(map[string]int)
		list, _ := r.Endpoints("feed")
		for _, e := range list {
			states[fmt.Sprintf("%v %v %v", e.Up, e.Protected, e.Detail != "")]++
		}
		if states["true false false"] != 3 || states["false false true"] != 4 || states["false true true"] != 3 {
			t.Errorf("%v", states)
		}
		// The window passes: what is held stays held.
		time.Sleep(10 * time.Minute)
		wantAddresses(t, r, "feed", "yf", "10.0.0.10:80", "10.0.0.5:80", "10.0.0.6:80", "10.0.0.7:80", "10.0.0.8:80", "10.0.0.9:80")
		// One comes back, one is let go, one goes on.
		down[4].Up, down[4].Detail = true, ""
		export(t, r, "a", "1", down...)
		if n, err := r.Release("feed", "yf", "10.0.0.6:80"); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		wantAddresses(t, r, "feed", "yf", "10.0.0.10:80", "10.0.0.5:80", "10.0.0.7:80", "10.0.0.8:80", "10.0.0.9:80")
		if held := r.Protected("feed"); len(held) != 1 || held[0].Spec.Address != "10.0.0.7:80" {
			t.Errorf("%+v", held)
		}
		if _, err := r.Release("feed", "yf", "10.0.0.6:80"); !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
	})
}

func TestAllAgentsGone(t *testing.T) {
	bubble(t, func(t *testing.T, r *Registry) {
		put(t, r, "documented", "kind: motan2\n")
		for n := 1; n <= 5; n++ {
			export(t, r, fmt.Sprint("a", n), "1", svc("feed", "yf", n), svc("documented", "yf", n))
		}
		for n := 1; n <= 5; n++ {
			r.Gone(fmt.Sprint("a", n), "1") // the network of the centre is cut, within the first minute even
		}
		time.Sleep(time.Hour)
		for _, name := range []string{"feed", "documented"} {
			wantAddresses(t, r, name, "yf", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80")
		}
		list, _ := r.Endpoints("feed")
		if len(list) != 3 || list[0].Origin != "agent" || !list[0].Protected {
			t.Errorf("%+v", list)
		}
		for _, name := range []string{"feed", "documented"} {
			if n, err := r.Release(name, "yf", ""); n != 3 || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
		}
		settled()
		if _, _, _, ok := r.Effective("feed"); ok || len(r.List()) != 1 {
			t.Error("what nobody exports any more is still there")
		}
		// A document's resource keeps its last good spec: an agent cannot run one without endpoints.
		if _, _, _, ok := r.Effective("documented"); !ok {
			t.Error("the spec was given up")
		}
		if o, _ := r.Outline("documented"); !strings.Contains(o.Problem, "no group has an endpoint") {
			t.Errorf("%+v", o)
		}
	})
}

func TestSmallGroupsAndRestarts(t *testing.T) {
	bubble(t, func(t *testing.T, r *Registry) {
		// One of two is half of them: it is held until it comes back, and then it may be down again.
		export(t, r, "a", "1", svc("feed", "yf", 1))
		export(t, r, "b", "1", svc("feed", "yf", 2))
		time.Sleep(time.Hour)
		for range 3 {
			export(t, r, "a", "1")
			wantAddresses(t, r, "feed", "yf", "10.0.0.1:80", "10.0.0.2:80")
			if len(r.Protected("feed")) != 1 {
				t.Fatal("it is not held")
			}
			export(t, r, "a", "1", svc("feed", "yf", 1))
			settled()
			if len(r.Protected("feed")) != 0 {
				t.Fatal("it is held, and came back")
			}
		}
	})
}

func TestTwoAgentsOneEndpoint(t *testing.T) {
	bubble(t, func(t *testing.T, r *Registry) {
		export(t, r, "c", "1", svcs("feed", "yf", 2, 9)...)
		one, other := svc("feed", "yf", 1), svc("feed", "yf", 1)
		one.Weight, other.Weight = 10, 20
		export(t, r, "b", "1", other)
		export(t, r, "a", "1", one)
		settled()
		if w := spec(t, r, "feed").Groups["yf"].Endpoints[0].Share(); w != 10 {
			t.Errorf("weight %d is not that of the first agent by name", w)
		}
		export(t, r, "a", "1")
		settled()
		if w := spec(t, r, "feed").Groups["yf"].Endpoints[0].Share(); w != 20 {
			t.Errorf("weight %d", w)
		}
		export(t, r, "b", "1")
		wantAddresses(t, r, "feed", "yf", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80", "10.0.0.6:80", "10.0.0.7:80", "10.0.0.8:80", "10.0.0.9:80")
	})
}

func TestServicesThatAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *Registry) {
		put(t, r, "cache", feed)
		for _, c := range []struct {
			change func(*control.Service)
			want   string
			shown  bool
		}{
			{func(s *control.Service) { s.Resource = "a/b" }, `is no name for a resource`, false},
			{func(s *control.Service) { s.Group = "" }, `is no name for a group`, false},
			{func(s *control.Service) { s.Address = "10.0.0.1" }, "is not an address", true},
			{func(s *control.Service) { s.Address = "10.0.0.300:80" }, "neither an IP address nor", true},
			{func(s *control.Service) { s.Role = "boss" }, `"boss"`, true},
			{func(s *control.Service) { s.Weight = 10001 }, "10001", true},
			{func(s *control.Service) { s.Kind = "redis9" }, `"redis9" is not a kind`, true},
			{func(s *control.Service) { s.IDC = "a b" }, "has spaces", true},
		} {
			bad := svc("feed", "yf", 1)
			c.change(&bad)
			err := r.Export("a", "1", []control.Service{bad, svc("other", "yf", 2)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			settled()
			if _, _, _, ok := r.Effective("feed"); ok {
				t.Errorf("%s: it is served", c.want)
			}
			if addresses(t, r, "other", "yf") == nil {
				t.Errorf("%s: a good service went with a bad one", c.want)
			}
			list, err := r.Endpoints("feed")
			if c.shown != (err == nil && len(list) == 1 && !list[0].Up && strings.Contains(list[0].Detail, "refused: ")) {
				t.Errorf("%s: %+v, %v", c.want, list, err)
			}
		}
		// Another kind than the document's is shown, and not served.
		export(t, r, "a", "1", svc("cache", "yf", 9))
		settled()
		list, _ := r.Endpoints("cache")
		if last := list[len(list)-1]; last.Up || !strings.Contains(last.Detail, "it is motan2, and the resource is redis") {
			t.Errorf("%+v", last)
		}
		if n := len(addresses(t, r, "cache", "yf")); n != 2 {
			t.Errorf("%d endpoints", n)
		}
		twice := r.Export("a", "1", []control.Service{svc("feed", "yf", 1), svc("feed", "yf", 1)})
		if twice == nil || !strings.Contains(twice.Error(), "exported twice") {
			t.Error(twice)
		}
		if err := r.Export("a", "1", make([]control.Service, maxServices+1)); err == nil {
			t.Error("too many services were taken")
		}
		// A kind whose settings have no defaults needs a document.
		db := svc("db", "yf", 1)
		db.Kind = "mysql"
		export(t, r, "a", "1", db)
		settled()
		if _, _, _, ok := r.Effective("db"); ok {
			t.Error("a spec was made that no agent can run")
		}
		put(t, r, "db", "kind: mysql\nsettings: { users: [app] }\n")
		wantAddresses(t, r, "db", "yf", "10.0.0.1:80")
	})
}

func TestGroupsOfWeightNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *Registry) {
		put(t, r, "feed", "kind: motan2\ngroups: { yf: { weight: 100 }, tc: { weight: 0, endpoints: [\"10.1.0.1:80\"] } }\n")
		settled()
		if _, _, _, ok := r.Effective("feed"); ok {
			t.Error("agents would refuse what is served")
		}
		export(t, r, "a", "1", svc("feed", "yf", 1))
		wantAddresses(t, r, "feed", "yf", "10.0.0.1:80")
	})
}

func TestComplete(t *testing.T) {
	bubble(t, func(t *testing.T, r *Registry) {
		time.Sleep(defaultGrace - time.Nanosecond)
		synctest.Wait()
		select {
		case <-r.Complete():
			t.Error("complete too early")
		default:
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		select {
		case <-r.Complete():
		default:
			t.Error("not complete after the time of grace")
		}
	})
}

func TestOnChange(t *testing.T) {
	bubble(t, func(t *testing.T, r *Registry) {
		type event struct {
			at    time.Duration
			names string
		}
		var mu sync.Mutex
		var got []event
		start := time.Now()
		cancel := r.OnChange(func(names []string, revision int64) {
			r.Protected("") // takes the lock: it must not be held
			mu.Lock()
			defer mu.Unlock()
			if revision != r.Revision() {
				t.Errorf("revision %d", revision)
			}
			got = append(got, event{time.Since(start), strings.Join(names, ",")})
		})
		put(t, r, "b", feed)
		synctest.Wait()
		for n := 1; n <= 50; n++ { // a storm: told once
			export(t, r, "a", "1", svcs("a", "yf", 1, n)...)
			export(t, r, "c", "1", svcs("c", "yf", 1, n)...)
		}
		settled()
		export(t, r, "a", "1", svcs("a", "yf", 1, 50)...) // nothing new
		put(t, r, "b", "# another comment\n"+feed)        // nothing that an agent would notice
		settled()
		cancel()
		put(t, r, "b", strings.Replace(feed, "250ms", "1s", 1))
		settled()
		want := []event{{0, "b"}, {coalesce, "a,c"}}
		if !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

// The bytes of a spec are made once and shared.
func TestEffectiveIsShared(t *testing.T) {
	r := open(t, newStore(t))
	put(t, r, "feed-cache", feed)
	a, _, _, _ := r.Effective("feed-cache")
	b, _, _, _ := r.Effective("feed-cache")
	if &a[0] != &b[0] {
		t.Error("two callers got two copies")
	}
	if n := testing.AllocsPerRun(100, func() { r.Effective("feed-cache") }); n != 0 {
		t.Errorf("%v allocations for one reading", n)
	}
}

// Exports, edits and readers at once; run with -race.
func TestEverythingAtOnce(t *testing.T) {
	r := open(t, newStore(t), func(o *Options) { o.Grace = 20 * time.Millisecond })
	stop := make(chan struct{})
	var all sync.WaitGroup
	work := func(f func(i int)) {
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					f(i)
				}
			}
		})
	}
	for a := range 3 {
		name := fmt.Sprint("agent", a)
		work(func(i int) {
			boot := fmt.Sprint(i / 5)
			if err := r.Export(name, boot, svcs("feed", "yf", a*10+1, a*10+1+i%9)); err != nil {
				t.Error(err)
			}
			if i%5 == 4 {
				r.Gone(name, boot)
			}
			time.Sleep(time.Millisecond)
		})
	}
	work(func(i int) {
		if _, err := r.Put(context.Background(), Edit{Name: "feed", Author: "ana", Data: fmt.Appendf(nil, "kind: motan2\n# %d\n", i)}); err != nil {
			t.Error(err)
		}
		if i%4 == 3 {
			if _, err := r.Delete(context.Background(), "feed", "ana", "", nil); err != nil {
				t.Error(err)
			}
		}
	})
	work(func(int) {
		r.List()
		r.Outlines()
		r.Endpoints("feed")
		if js, hash, _, ok := r.Effective("feed"); ok && hash != control.Hash(js) {
			t.Error("hash and bytes are not of one spec")
		}
	})
	work(func(int) {
		for _, h := range r.Protected("feed") {
			r.Release(h.Resource, h.Group, h.Spec.Address)
		}
		time.Sleep(5 * time.Millisecond)
	})
	time.Sleep(500 * time.Millisecond)
	close(stop)
	all.Wait()
}
