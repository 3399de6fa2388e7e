package clock

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		if !Sleep(t.Context(), time.Minute) || time.Since(begun) != time.Minute {
			t.Errorf("a minute took %v", time.Since(begun))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun = time.Now()
		if Sleep(ctx, time.Minute) || time.Since(begun) != time.Second {
			t.Errorf("it ended %v after it began, not with its context, after 1s", time.Since(begun))
		}
		if Sleep(ctx, 0) || !Sleep(t.Context(), -time.Second) || time.Since(begun) != time.Second {
			t.Error("without a time to wait for it tells whether the context stands, at once")
		}
	})
}
