package clock

import "time"

var base = time.Now()

// Now returns nanoseconds since the process started, at least 1. Inside a testing/synctest bubble it follows the bubble's
// clock, which starts in the year 2000, and is negative.
func Now() int64 { return int64(time.Since(base)) + 1 }

// Wall converts a reading of Now to wall-clock time.
func Wall(ns int64) time.Time { return base.Add(time.Duration(ns - 1)) }
