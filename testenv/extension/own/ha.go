package own

import (
	"github.com/sluice-mesh/sluice/agent/ha"
	"github.com/sluice-mesh/sluice/resources"
)

// failFast leaves it to the application to try again.
type failFast struct{}

func newFailFast(*resources.Policy) (ha.Strategy, error) { return failFast{}, nil }

// Again implements ha.Strategy.
func (failFast) Again(*resources.Call) bool { return false }

// BackUp implements ha.Strategy.
func (failFast) BackUp(*resources.Call, int64) int64 { return 0 }
