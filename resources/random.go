package resources

import "math/rand/v2"

// Random is a source of numbers for one event loop, for calls that name no key: they are balanced call by call (xorshift64*, Vigna, "An
// experimental exploration of Marsaglia's xorshift generators, scrambled", 2016). NewRandom makes it.
type Random uint64

// NewRandom returns a source that begins anywhere.
func NewRandom() Random { return Random(rand.Uint64() | 1) }

// Next returns the next number.
func (r *Random) Next() uint64 {
	x := *r
	x ^= x >> 12
	x ^= x << 25
	x ^= x >> 27
	*r = x
	return uint64(x) * 0x2545f4914f6cdd1d
}
