//go:build race

package journey

// race: the agent is built with the race detector, as the tests are.
const race = true
