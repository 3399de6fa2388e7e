package etcd

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/governance/store/storetest"
	"github.com/sluice-mesh/sluice/testenv/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var prefixes atomic.Int64

// open opens a store on a cluster and closes it with the test.
func open(t *testing.T, c Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), c, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// conform runs the suite against a cluster; each test has a prefix of its own.
func conform(t *testing.T, members int) {
	c := server.Start(t, server.Etcd{Members: members})
	storetest.Run(t, storetest.Back{Shared: true, Fresh: func(t *testing.T) func() (store.Store, error) {
		conf := Config{Endpoints: c.Endpoints(), Prefix: fmt.Sprint("test-", prefixes.Add(1))}
		return func() (store.Store, error) { return Open(context.Background(), conf, nil) }
	}})
}

func TestStore(t *testing.T) { conform(t, 1) }
