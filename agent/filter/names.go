package filter

import (
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/resources"
)

// OpNames returns the names of the operations by OpID, as they are now. Filters take them when they are built, so
// that a call finds the name of its operation by an index; see [OpName].
func (e *Env) OpNames() []string {
	names := make([]string, e.Ops.Len())
	for i := range names {
		names[i] = e.Ops.Info(resources.OpID(i)).Name
	}
	return names
}

// OpName returns the name at id, that of the catch-all for an operation that was learnt since names was made.
func OpName(names []string, id resources.OpID) string {
	if int(id) < len(names) {
		return names[id]
	}
	return names[resources.OpOther]
}

// Wall converts a time of a call (Start, Now) to wall-clock time. It asks no clock.
func Wall(ns int64) time.Time { return clock.Wall(ns) }
