//go:build !race

package motan

const raceEnabled = false
