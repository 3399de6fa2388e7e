//go:build race

package serial

// raceEnabled relaxes what the race detector's own work would break: it allocates.
const raceEnabled = true
