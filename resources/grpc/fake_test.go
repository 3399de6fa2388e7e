package grpc

import (
	"testing"

	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/resources/servicetest"
)

// world is an address with the services behind it.
type world struct{ *servicetest.World }

func newWorld(t testing.TB) *world { return &world{servicetest.NewWorld(t, &Driver{})} }

// open opens services of the runtimes and lets the door lead to them.
func (w *world) open(set map[*servicetest.Runtime]*Settings) {
	w.T.Helper()
	all := make(map[*servicetest.Runtime]resources.Settings)
	for f, s := range set {
		if err := s.fill(); err != nil {
			w.T.Fatal(err)
		}
		all[f] = s
	}
	w.Open(all)
}

// service opens the only service of a world, named "svc", with these servers, after change, if not nil, changed its runtime.
func (w *world) service(s *Settings, change func(*servicetest.Runtime), addrs ...string) *servicetest.Runtime {
	f := w.Runtime("svc", addrs...)
	if change != nil {
		change(f)
	}
	w.open(map[*servicetest.Runtime]*Settings{f: s})
	return f
}
