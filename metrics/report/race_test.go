//go:build race

package report

// raceEnabled relaxes what the race detector's own work would break: it allocates.
const raceEnabled = true
