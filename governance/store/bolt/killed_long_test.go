//go:build long

package bolt

import (
	"math/rand/v2"
	"testing"
)

// Killed many times, at any moment of its work, on data that grow.
func TestLongKilledDuringCommits(t *testing.T) {
	dir := t.TempDir()
	for i := range 40 {
		names := killed(t, dir, 1+rand.IntN(200))
		checkKilledOnce(t, dir, names)
		if t.Failed() {
			t.Fatalf("in round %d", i+1)
		}
	}
}
