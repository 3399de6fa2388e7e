// Package journey keeps the promise of the whole project as tests: a program that knows nothing of Sluice notices nothing
// but better availability, whatever happens to the servers and whatever an operator does.
//
//	app (child process) ──RESP──> sluice agent (child process) ──> group yf: primary, 2 replicas, 3 sentinels
//	       │                          ▲  ▲                    └──> group tc: likewise
//	       │ report                   │  │ SIGHUP, SIGTERM
//	       └────────> the test ───────┴──┘ sluice switch, degrade, fault, undo (child processes)
//
// [TestJourney] is a day of a small site in half a minute: traffic moves to the other data centre and back, KEYS is
// degraded, faults are injected, the policy changes, the primary dies and Sentinel replaces it, the old primary comes
// back with nothing in its memory. The program, in the folder app, is an ordinary one on go-redis. It keeps a journal of
// what was acknowledged, and says in the end what it found; the test knows what was done when, and judges.
//
// TestLongSoak, with the build tag long, is some minutes of everything at once: loads whose every reply is checked,
// clients of all kinds of manners, random faults and commands, with quiet phases between, in which everything must be
// well again; and in the end the agent must be as small as it was in the beginning.
//
// # What is judged
//
//   - A reply that its call cannot have, a refused write that took effect, a write that was executed twice: never.
//   - An acknowledged write that is gone: never if its WAIT said that the replicas had it. Others may be lost by Redis
//     itself, because it replicates behind the answer, and only if they were acknowledged in the last seconds of a
//     primary that was killed.
//   - A read that returns less than what was acknowledged before: only across the moment of a switch, because the groups
//     do not replicate to each other.
//   - An error: only of the words and the operations that the step explains; none at all while nothing is done, and none
//     for a switch and its undo.
//   - Every operation has good answers in every second of every step, after at most five seconds where servers died.
package journey
