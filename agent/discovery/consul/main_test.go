package consul

import (
	"flag"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/agent/discovery/discoverytest"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// TestMain lets four tests run at once where the machine has fewer processors: what they do is wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if p := flag.Lookup("test.parallel"); p.Value.String() == p.DefValue {
		if err := p.Value.Set("4"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// ttl is short: what a source finds out about its services it does in a third of it.
const ttl = 3 * time.Second

// services is how many one agent has: each costs Consul several files and a commit, and each change of one an answer with all of
// the group.
const services = 80

// open opens a source; the caller closes it.
func open(t *testing.T, ttl time.Duration, agents ...string) *Source {
	t.Helper()
	s, err := Open(Options{Agents: agents, TTL: ttl, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// opened opens a source and closes it with the test.
func opened(t *testing.T, agents ...string) *Source {
	t.Helper()
	s := open(t, ttl, agents...)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestSource(t *testing.T) {
	c := server.Start(t, server.Consul{})
	discoverytest.Run(t, discoverytest.Back{Services: services, Open: func(t *testing.T) discovery.Source { return open(t, 6*time.Second, c.Addr) }})
}
