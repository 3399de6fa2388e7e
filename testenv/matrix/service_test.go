package matrix

import (
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load/counted"
)

// gone is what a call may end with when its server is gone.
var gone = []string{counted.Unavailable, counted.Unknown}

// Row 1: the only server is killed. Calls are refused at once, nothing queues, and a restart is enough.
func TestRow01ServiceKilled(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		p.allow, p.servers, p.direct, p.forgetful = gone, 1, true, true
		m := openService(t, p)
		m.steady()
		m.inject(m.peers[0].Kill)
		m.visible("refused calls", m.outcome("unavailable"))
		m.visible("the endpoint down", func(now scrape) bool { return endpointUp(now) == 0 })
		m.peers[0].Restart()
		m.recovers()
		m.close()
	})
}

// Row 1: one of two servers is killed. Idempotent calls are repeated on the other one, and no client sees an error.
func TestRow01ServiceOneOfTwoKilled(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		p.direct, p.echoes = true, true
		m := openService(t, p)
		m.steady()
		m.inject(m.peers[0].Kill)
		m.visible("the endpoint down or calls repeated", func(now scrape) bool {
			return endpointUp(now) == 1 || now.sum("sluice_retries_total", "outcome", "ok") > m.before.sum("sluice_retries_total", "outcome", "ok")
		})
		m.unharmed(time.Second)
		m.peers[0].Restart()
		m.recovers()
		m.ups(2)
		m.unbroken(m.close())
	})
}

// Row 3: connections are reset in the middle of answers. What is not idempotent is unknown, and never sent again: the servers count it.
func TestRow03ServiceReset(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		p.allow = p.cut(gone...)
		m := openService(t, p)
		m.steady()
		m.inject(func() { m.all(fault.ResetAfter(1000).Down()) })
		m.visible("calls of unknown outcome", m.outcome("unknown"))
		m.lasts(time.Second)
		m.cleared(fault.KindReset)
		m.recovers()
		if r := m.close(); r.ErrorCount(counted.Unknown) == 0 {
			t.Error("no client was told that a call is unknown")
		}
	})
}

// Row 4: a server ends the connection while requests are on their way.
func TestRow04ServiceHalfCloses(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		p.allow, p.servers = p.cut(gone...), 1
		m := openService(t, p)
		m.steady()
		m.inject(func() { m.all(fault.HalfCloseAfter(1000).Down()) })
		m.visible("calls of unknown outcome", m.outcome("unknown"))
		m.lasts(500 * time.Millisecond)
		m.cleared(fault.KindHalfClose)
		m.recovers()
		m.close()
	})
}

// Row 33: a server accepts connections and closes them at once. Idempotent calls go to the other one.
func TestRow33ServiceFlapping(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		p.echoes = true
		m := openService(t, p)
		m.steady()
		m.inject(func() {
			m.proxies[0].Set(fault.CloseAfterAccept())
			m.proxies[0].ResetAll()
		})
		m.visible("the endpoint out of use", func(now scrape) bool { return endpointUp(now) == 1 })
		m.unharmed(time.Second)
		m.proxies[0].MustHaveFired(t, fault.KindCloseAfterAccept)
		m.proxies[0].Clear()
		m.recovers()
		m.ups(2)
		m.close()
	})
}
