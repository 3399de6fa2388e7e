//go:build !race

package journey

// race: the agent and the program are built with the race detector, as the tests are.
const race = false
