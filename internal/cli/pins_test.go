package cli

import "testing"

func TestPinsSayWhy(t *testing.T) {
	for want, s := range map[string]Session{
		"":    {},
		"txn": {Pins: []string{"txn"}},
		"state,cursor: a temporary table, CREATE 0123456789abcdef": {
			Pins: []string{"state", "cursor"}, Why: "a temporary table, CREATE 0123456789abcdef",
		},
	} {
		if got := pinsOf(s); got != want {
			t.Errorf("pinsOf(%+v) is %q, want %q", s, got, want)
		}
	}
}
