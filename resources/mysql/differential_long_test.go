//go:build long

package mysql

import "testing"

func TestLongDifferential(t *testing.T) {
	t.Run("pool of one", func(t *testing.T) { newGame(t, 1).explore(firstSeed(t, 20000), 80, 300) })
	t.Run("pool of two", func(t *testing.T) { newGame(t, 2).explore(firstSeed(t, 30000), 200, 80) })
}
