// Package clock gives the times that things are counted by, whatever somebody does to the clock of the machine.
//
// [Now] is the monotonic time of the data plane: nanoseconds since the process started, never set back. Deadlines, breakers,
// limiters and latencies use it; only logs and certificates use wall time.
//
// [Followed] is the time of day of somebody else, as far as it is known: agents follow their centre's, which is what the ends of its
// commands are written by. It is set when they are told, and goes on by the monotonic clock. A [Mark] hands it to the next process.
//
// [Sleep] waits as long as somebody wants it.
package clock
