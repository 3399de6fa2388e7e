// Package layering holds the rules of the house as tests: which package may import which, and what no source file may
// contain. It has no code of its own; `go test ./internal/layering` reads the module as the go command and the parser
// see it, needs no server and takes some seconds.
//
// # Imports
//
// Imports run strictly downward, and the rooms meet only where the design says so:
//
//	internal -> protocols, metrics -> resources (contract) -> config, resources/<kind>, agent/*, governance/* -> testenv -> cmd
//
// edges.go lists the forbidden edges, each with the reason that a reader who runs into it needs. To forbid another one,
// add a row. To allow what a row forbids, change the row and its reason, not the test.
//
// # Sources
//
// rules_test.go checks what the compiler does not: every package explains itself, no file outgrows its reader, only
// commands end the process, nothing in the data plane sleeps, package-level variables do not change after start, hot
// files keep away from packages that allocate, long tests are found by `make test-long`, nothing is left unfinished or
// skipped. Exceptions are rows with a reason, and a row that no longer excuses anything fails the test.
//
// # Self-check
//
// A rule that can no longer fail is worse than none. Each checker is therefore a function over data, and is also run on
// small inputs that break it.
package layering
