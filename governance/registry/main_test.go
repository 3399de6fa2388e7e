package registry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/governance/store/bolt"
	"github.com/sluice-mesh/sluice/governance/store/storetest"
	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cache and service stand for kinds: one with settings, one without.
type cache struct{ resources.Driver }

type cacheSettings struct {
	Password resources.Secret `yaml:"password,omitempty" doc:"of the servers"`
	DB       int              `yaml:"db,omitempty" doc:"database" default:"0" bounds:"0 to 15"`
}

func (cache) Kind() string { return "redis" }
func (cache) Settings(raw func(any) error) (resources.Settings, error) {
	s := &cacheSettings{}
	return s, raw(s)
}

type service struct{ resources.Driver }

func (service) Kind() string                                         { return "motan2" }
func (service) Settings(func(any) error) (resources.Settings, error) { return named{}, nil }

// named are settings that no document has, of a kind that registries of services know.
type named struct{}

func (named) RegisteredAs(resource, group string) resources.Service {
	return resources.Service{Protocol: "motan2", Group: group, Path: resource}
}

// picky needs settings that no default stands for.
type picky struct{ resources.Driver }

func (picky) Kind() string { return "mysql" }
func (picky) Settings(raw func(any) error) (resources.Settings, error) {
	var s struct {
		Users []string `yaml:"users" doc:"who may log in" required:"true"`
	}
	return &s, raw(&s)
}

func init() {
	resources.Register(cache{})
	resources.Register(service{})
	resources.Register(picky{})
}

// newStore opens an empty store that ends with the test.
func newStore(t testing.TB) *storetest.Shaky {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "store")
	if err != nil {
		t.Fatal(err)
	}
	b, err := bolt.Open(dir, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &storetest.Shaky{Store: b}
	t.Cleanup(func() {
		s.BreakWatches()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// open opens a registry that ends with the test. Its registry is complete at once unless opt says otherwise.
func open(t testing.TB, s store.Store, change ...func(*Options)) *Registry {
	t.Helper()
	opt := Options{Store: s, Log: quiet}
	for _, f := range change {
		f(&opt)
	}
	r, err := Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

const feed = `# the cache of the feed
kind: redis # as it is
labels: {team: feed}
groups:
  yf: # the old one
    weight: 100
    endpoints:
      - 10.0.0.1:6379 # first
      # before the second
      - { address: "10.0.0.2:6379", weight: 50 }
  tc: { weight: 0, endpoints: ["10.1.0.1:6379"] }
policy:
  timeout: 250ms # short
`

func put(t testing.TB, r *Registry, name, text string) Doc {
	t.Helper()
	d, err := r.Put(context.Background(), Edit{Name: name, Data: []byte(text), Author: "ana", Why: "test"})
	if err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
	return d
}

// spec parses what agents would get, by the rules that agents have.
func spec(t testing.TB, r *Registry, name string) *resources.Spec {
	t.Helper()
	js, hash, _, ok := r.Effective(name)
	if !ok {
		t.Fatalf("%s is not served", name)
	}
	if hash != control.Hash(js) {
		t.Fatalf("hash %s is not that of the spec", hash)
	}
	parsed, err := config.Options{ListenOptional: true}.ParseResource(name, js)
	if err != nil {
		t.Fatalf("an agent would refuse %s: %v\n%s", name, err, js)
	}
	return parsed.Spec
}

// addresses lists the endpoints of a group as agents get them; nil if the resource or the group is not served.
func addresses(t testing.TB, r *Registry, name, group string) []string {
	t.Helper()
	if _, _, _, ok := r.Effective(name); !ok {
		return nil
	}
	var out []string
	for _, e := range spec(t, r, name).Groups[group].Endpoints {
		out = append(out, e.Address)
	}
	return out
}

func svc(resource, group string, n int) control.Service {
	return control.Service{Resource: resource, Kind: "motan2", Group: group, IDC: group, Address: fmt.Sprintf("10.0.0.%d:80", n), Up: true}
}

func svcs(resource, group string, from, to int) (out []control.Service) {
	for n := from; n <= to; n++ {
		out = append(out, svc(resource, group, n))
	}
	return out
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
