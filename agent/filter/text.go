package filter

import (
	"math/rand/v2"
	"strings"
	"unicode"

	"github.com/sluice-mesh/sluice/resources"
)

// By names a command the way texts of faults do: "command c-7f3a (ana: KEYS is too slow)".
func By(c *resources.Command) string {
	s := "command " + c.ID
	switch {
	case c.Author != "" && c.Why != "":
		s += " (" + c.Author + ": " + c.Why + ")"
	case c.Author != "" || c.Why != "":
		s += " (" + c.Author + c.Why + ")"
	}
	return OneLine(s)
}

// OneLine replaces control characters, which have no place in a reply or a log line, by spaces.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// Coin is a share of calls, chosen at random.
type Coin uint64

// NewCoin returns the coin of a percentage.
func NewCoin(p resources.Percent) Coin { return Coin(p.Threshold()) }

// Hit throws the coin. It takes no lock: every thread has its own generator.
func (c Coin) Hit() bool {
	return c >= 1<<32 || uint64(rand.Uint32()) < uint64(c)
}
