package command

import (
	"context"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/governance/store/bolt"
	"github.com/sluice-mesh/sluice/governance/store/storetest"
	"github.com/sluice-mesh/sluice/resources"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

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

var (
	feedCache = ResourceInfo{Name: "feed-cache", Kind: "redis", Labels: map[string]string{"team": "feed", "tier": "cache"}, IDCs: []string{"tc", "yf"}, Groups: []string{"tc", "yf"}}
	feedDB    = ResourceInfo{Name: "feed-db", Kind: "mysql", Labels: map[string]string{"team": "feed"}, IDCs: []string{"yf"}, Groups: []string{"yf", "gz"}}
	userCache = ResourceInfo{Name: "user-cache", Kind: "redis", IDCs: []string{"tc"}, Groups: []string{"tc"}}

	web = AgentInfo{Name: "web-1", IDC: "yf", Application: "web"}
)

func known() []ResourceInfo { return []ResourceInfo{feedCache, feedDB, userCache} }

// open opens commands that end with the test.
func open(t testing.TB, s store.Store, change ...func(*Options)) *Commands {
	t.Helper()
	opt := Options{Store: s, Resources: known, Log: quiet}
	for _, f := range change {
		f(&opt)
	}
	c, err := Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// order makes a command; it is Ana's.
func order(c resources.Command, more ...func(*Command)) Command {
	out := Command{Command: c}
	out.Author = "ana"
	for _, f := range more {
		f(&out)
	}
	return out
}

func toTC(resource string) resources.Command {
	return resources.Command{Type: resources.CommandSwitch, Resource: resource, Weights: map[string]int{"tc": 100}}
}

func degrade(resource string) resources.Command {
	return resources.Command{Type: resources.CommandDegrade, Resource: resource}
}

func selecting(s Selector) func(*Command) {
	return func(c *Command) { c.Resource, c.Select = "", &s }
}

func until(d time.Duration) func(*Command) {
	return func(c *Command) {
		at := time.Now().Add(d).Round(0)
		c.Expires = &at
	}
}

func add(t testing.TB, s *Commands, c Command) Command {
	t.Helper()
	out, err := s.Add(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ids lists the commands for a resource at an agent.
func ids(s *Commands, r ResourceInfo, a AgentInfo) []string {
	var out []string
	for _, c := range s.For(r, a) {
		out = append(out, c.ID)
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
