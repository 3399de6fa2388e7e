package filter

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-mesh/sluice/resources"
)

// The µs of the stages add up to those of the call, however they are rounded.
func TestStagesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.Int64Range(0, 1e7)
		s := resources.Stages{
			First: at.Draw(t, "first"), Began: at.Draw(t, "began"), Ready: at.Draw(t, "ready"), Written: at.Draw(t, "written"),
			Answered: at.Draw(t, "answered"), Replied: at.Draw(t, "replied"),
		}
		start := at.Draw(t, "start")
		now := rapid.Int64Range(start, 2e7).Draw(t, "now")
		from := start
		if s.First != 0 {
			from = min(from, s.First)
		}
		got := NewStages(&s, start, now)
		if sum := got.Receive + got.Route + got.Send + got.Wait + got.Reply; sum != got.Total {
			t.Fatalf("%+v add up to %d", got, sum)
		}
		if want := (max(now, s.Replied) - from) / 1000; got.Total != want {
			t.Fatalf("%+v, want %d in all", got, want)
		}
		for _, us := range []int64{got.Receive, got.Route, got.Send, got.Wait, got.Reply} {
			if us < 0 {
				t.Fatalf("%+v", got)
			}
		}
	})
}
