package redis

import (
	"testing"

	"github.com/sluice-mesh/sluice/resources"
)

// A key of a hashed pool must always lead to the same server.
func TestHashedNeedsBalanceHash(t *testing.T) {
	p := resources.DefaultPolicy()
	s := &Settings{Topology: topologyHashed}
	if err := s.CheckPolicy(&p); err == nil {
		t.Errorf("balance %s is accepted", p.Balance)
	}
	p.Balance = "hash"
	if err := s.CheckPolicy(&p); err != nil {
		t.Error(err)
	}
	if err := (&Settings{Topology: topologyReplicated}).CheckPolicy(&resources.Policy{Balance: "p2c"}); err != nil {
		t.Error(err)
	}
}
