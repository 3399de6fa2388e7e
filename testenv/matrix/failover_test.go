package matrix

import (
	"testing"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// sentinels is a primary with two replicas under three sentinels, which is what the agent is told.
func sentinels(p plan) plan {
	p.servers = server.Redis{Replicas: 2, Sentinels: 3}
	p.settings = "topology: sentinel, master: " + server.SentinelName
	p.endpoints = func(l *lab) []string {
		var list []string
		for _, s := range l.redis.Sentinels {
			list = append(list, s.Addr)
		}
		return list
	}
	return p
}

// Row 11: the primary is killed and its sentinels choose another one. Writes go there once it is confirmed; none is
// repeated and none that was acknowledged is missing.
func TestRow11SentinelFailover(t *testing.T) { eachProfile(t, row11SentinelFailover) }

func row11SentinelFailover(t *testing.T, p plan) {
	p = sentinels(p)
	p.allow = []string{"UNAVAILABLE", "UNKNOWN", "TIMEOUT"}
	l := open(t, p)
	l.steady()
	old := l.redis.Primary
	l.inject(old.Kill)
	l.visible("refused calls", l.outcome("unavailable"))
	l.redis.AwaitFailover(t, old)
	l.recovers()
	old.Restart() // it comes back as a replica
	l.unharmed(500 * 1e6)
	l.close()
}
