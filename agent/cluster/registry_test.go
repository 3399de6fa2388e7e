package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// finder reports what a test sends it.
type finder struct {
	reports chan []resources.Member
	asked   chan string // registry and service, as they are asked for
	watches atomic.Int32
}

func newFinder() *finder {
	return &finder{reports: make(chan []resources.Member), asked: make(chan string, 10)}
}

func (f *finder) Find(ctx context.Context, registry string, s resources.Service, report func([]resources.Member)) error {
	f.watches.Add(1)
	defer f.watches.Add(-1)
	f.asked <- registry + " " + s.String()
	for {
		select {
		case m := <-f.reports:
			if m == nil {
				return errors.New("nothing helps")
			}
			report(m)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const zoo = "zookeeper://127.0.0.1:2181"

// registered returns a rig whose group is in a registry, with static endpoints if there are any.
func registered(t *testing.T, f *finder, s *shelf, endpoints ...string) *rig {
	g := newRig(t, spec(0))
	g.c.finder, g.c.service = f, func(group string) resources.Service {
		return resources.Service{Group: group + "-rpc", Path: "a.B", Protocol: "motan2"}
	}
	if s != nil {
		g.c.shelved = s
	}
	t.Cleanup(g.c.Close)
	g.apply(inRegistry(zoo, endpoints...))
	g.start()
	return g
}

func inRegistry(registry string, endpoints ...string) *resources.Spec {
	s := spec(0)
	group := resources.Group{Registry: registry}
	for _, a := range endpoints {
		group.Endpoints = append(group.Endpoints, resources.EndpointSpec{Address: a})
	}
	s.Groups["g"] = group
	return s
}

func (g *rig) find(f *finder, m ...resources.Member) {
	f.reports <- append([]resources.Member{}, m...)
	synctest.Wait()
}

func TestEndpointsComeFromARegistry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFinder()
		g := registered(t, f, nil, "a:1")
		if got := <-f.asked; got != zoo+" g-rpc/a.B (motan2)" {
			t.Errorf("asked for %s", got)
		}
		g.wantUsed("a:1") // until it has answered
		g.find(f, resources.Member{Address: "m:1", Weight: 7}, resources.Member{Address: "n:1"})
		g.wantUsed("m:1", "n:1")
		if w := g.member("m:1").Endpoint.Weight(); w != 7 {
			t.Errorf("weight %d", w)
		}
		if w := g.member("n:1").Endpoint.Weight(); w != 100 {
			t.Errorf("weight %d where none is said", w)
		}
		g.find(f, resources.Member{Address: "m:1", Weight: 9}, resources.Member{Address: "n:1"})
		if w := g.member("m:1").Endpoint.Weight(); w != 9 {
			t.Errorf("weight %d after a change", w)
		}
		g.find(f) // an emptied registry takes nothing away from servers that answer
		time.Sleep(time.Minute)
		g.wantUsed("m:1", "n:1")
		f.reports <- nil // a watch that fails is begun again
		time.Sleep(10 * time.Second)
		synctest.Wait()
		<-f.asked
		g.wantUsed("m:1", "n:1")
		g.apply(inRegistry("etcd://127.0.0.1:2379"))
		synctest.Wait()
		if got := <-f.asked; !strings.HasPrefix(got, "etcd://") || f.watches.Load() != 1 {
			t.Errorf("asked for %s, with %d watches", got, f.watches.Load())
		}
		g.wantUsed("m:1", "n:1")
		g.apply(inRegistry("", "b:1"))
		synctest.Wait()
		g.wantUsed("b:1")
		if f.watches.Load() != 0 {
			t.Error("it is still watched")
		}
	})
}

func TestARegistrysEndpointsSurviveARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, f := &shelf{pages: map[string]Memory{}}, newFinder()
		g := registered(t, f, s)
		if g.c.Probed() {
			t.Error("ready before the registry had a chance to answer")
		}
		g.find(f, resources.Member{Address: "m:1", Weight: 7})
		if !g.c.Probed() {
			t.Error("not ready although it has answered")
		}
		time.Sleep(5 * time.Second)
		g.c.Close()
		page, _ := json.Marshal(s.pages["g"])
		if string(page) != `{"seeds":["`+zoo+`"],"found":[{"address":"m:1","role":"any","weight":7}]}` {
			t.Errorf("kept: %s", page)
		}
		again := registered(t, newFinder(), s) // whose registry never answers
		again.wantUsed("m:1")
		if w := again.member("m:1").Endpoint.Weight(); w != 7 {
			t.Errorf("weight %d", w)
		}
	})
}

func TestRegistriesThatCannotBe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, spec(1))
		t.Cleanup(g.c.Close)
		if _, err := g.c.Plan(inRegistry(zoo), nil); err == nil || !strings.Contains(err.Error(), "cannot be found in a registry") {
			t.Error(err)
		}
	})
	resources.RegisterRegistry("zookeeper", false)
	resources.RegisterRegistry("etcd", false)
	for _, bad := range []string{"127.0.0.1:2181", "zoo://a:1", "zookeeper://", "zookeeper://a", "zookeeper://u:p@a:1", "zookeeper://a:1,b", "etcd://a:x"} {
		if resources.CheckRegistry(bad) == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	for _, good := range []string{zoo, "zookeeper://a:1,b:2/root", "etcd://[::1]:2379"} {
		if err := resources.CheckRegistry(good); err != nil {
			t.Error(err)
		}
	}
	if got := resources.Registries(); !slices.Equal(got, []string{"etcd", "zookeeper"}) {
		t.Error(got)
	}
}
