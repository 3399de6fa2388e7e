//go:build race

package conformance

// The race detector allocates on its own.
const raceEnabled = true
