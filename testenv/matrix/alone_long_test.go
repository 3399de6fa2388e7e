//go:build long

package matrix

// alone says that no other package's tests run beside these: only then are latencies the agent's own doing.
const alone = true
