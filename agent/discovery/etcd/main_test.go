package etcd

import (
	"cmp"
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

// lease is short: what a source finds out about its keys it does in a third of it.
const lease = 6 * time.Second

// open opens a source; the caller closes it.
func open(t *testing.T, o Options) *Source {
	t.Helper()
	o.Lease = cmp.Or(o.Lease, lease)
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// opened opens a source and closes it with the test.
func opened(t *testing.T, endpoints ...string) *Source {
	t.Helper()
	s := open(t, Options{Endpoints: endpoints})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestSource(t *testing.T) {
	e := server.Start(t, server.Etcd{})
	discoverytest.Run(t, discoverytest.Back{Open: func(t *testing.T) discovery.Source {
		return open(t, Options{Endpoints: e.Endpoints()})
	}})
}
