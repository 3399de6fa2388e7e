// Package matrix is the fault matrix: what the agent promises its clients while something around it breaks, one test for
// each row of docs/faults.md. It has tests only.
//
// A row starts real servers, the agent as a program of its own, and a load at a fixed rate whose every reply is checked
// (testenv/load). Between them stand fault proxies (testenv/fault):
//
//	load ──> agent: cache ──> fault proxy ──> redis-server      what the row breaks
//	load ──> agent: side  ──────────────────> redis-server      what nobody touches: must not notice anything
//
// and every row goes the same way:
//
//	steady     the load runs at its floor without an error, or the row would prove nothing
//	inject     the fault; it must have fired
//	visible    the metrics show it within two seconds
//	heal       the fault ends
//	recovers   the load is at its floor again, without an error, within five seconds and without a restart
//	close      no reply was wrong, lost, repeated or out of order; errors had the words that are promised and no others;
//	           the other resource had no error; sessions, calls, descriptors and goroutines are back where they were,
//	           memory is bounded, and the agent's log holds no panic and no race
//
// # Two forms
//
// Tests named TestRow… run in `make test`, in short form. Tests named TestLongRow…, in files *_long_test.go, need the
// build tag long and belong to `make test-long`: the rows that take longer, and those of the short form once more with an
// agent that was built with the race detector. Rows that measure memory or time use the agent as people get it.
//
// # What a row must not do
//
//   - Weaken a promise. A promise that is not kept is a failure, or it is written down in docs/faults.md as it is.
//   - Rest on luck: it waits for conditions with deadlines. What it measures on a busy machine is compared with a
//     measurement of the same run.
//   - Touch the machine: faults of the file system and of name resolution happen in a mount namespace of the agent's own.
package matrix
