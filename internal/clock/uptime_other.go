//go:build !linux

package clock

import "time"

// uptime is known on Linux alone.
func uptime() (boot string, up time.Duration) { return "", 0 }
