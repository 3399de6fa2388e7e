//go:build race

package conformance_test

const raceOn = true
