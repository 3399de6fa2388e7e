package clock

import (
	"context"
	"time"
)

// Sleep waits for d, or less when ctx ends, and reports whether ctx still stands. It does not wait when d is not positive.
func Sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
