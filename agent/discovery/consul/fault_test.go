package consul

import (
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/agent/discovery/discoverytest"
	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/server"
)

func TestFaults(t *testing.T) {
	discoverytest.RunFaults(t, func(t *testing.T) discoverytest.Registry {
		c := server.Start(t, server.Consul{})
		p := fault.Start(t, fault.Options{Target: c.Addr})
		var now fault.Kind
		return discoverytest.Registry{
			Addr: c.Addr, Proxied: p.Addr, Services: services,
			Open: func(t *testing.T, addr string, session time.Duration) discovery.Source {
				return open(t, max(session, 3*time.Second), addr) // all checks must be prolonged in a third of it, on a busy machine
			},
			Kill:     c.Kill,
			Restart:  c.Restart,
			Reset:    func() { p.ResetAll() },
			Cut:      func() { now = fault.KindRefuse; p.Set(fault.Refuse()); p.ResetAll() },
			Swallow:  func() { now = fault.KindBlackhole; p.Set(fault.Blackhole()) },
			Mend:     p.Clear,
			Happened: func() { t.Helper(); p.MustHaveFired(t, now) },
		}
	})
}
