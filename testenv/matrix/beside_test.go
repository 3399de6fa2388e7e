//go:build !long

package matrix

// alone is false in `make test`: tests of other packages run beside these and take the processors at moments of their own.
const alone = false
