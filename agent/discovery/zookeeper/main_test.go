package zookeeper

import (
	"flag"
	"fmt"
	"log/slog"
	"sync/atomic"
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

// subscribers makes the addresses of sources differ, as they do between agents.
var subscribers atomic.Int64

// open opens a source; the caller closes it.
func open(t *testing.T, session time.Duration, servers ...string) *Source {
	t.Helper()
	s, err := Open(Options{Servers: servers, Session: session, Subscriber: fmt.Sprint("127.0.0.1:", 10000+subscribers.Add(1)), Application: "test",
		Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// opened opens a source and closes it with the test.
func opened(t *testing.T, servers ...string) *Source {
	t.Helper()
	s := open(t, 4*time.Second, servers...)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestSource(t *testing.T) {
	z := server.Start(t, server.ZooKeeper{MaxSession: time.Minute})
	discoverytest.Run(t, discoverytest.Back{Open: func(t *testing.T) discovery.Source { return open(t, time.Minute, z.Addr) }})
}
