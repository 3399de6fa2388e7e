package resources

import (
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
)

// Now returns the time that calls are measured in: monotonic nanoseconds since the process started. A driver reads it when bytes of
// requests came (Call.Start) and when their attempts ended (Call.Now), once for all requests of a batch.
func Now() int64 { return clock.Now() }

// Wall returns the time of day at a reading of Now, for deadlines of connections and for people.
func Wall(ns int64) time.Time { return clock.Wall(ns) }
