//go:build race

package standard_test

// The race detector allocates on its own.
const raceEnabled = true
