// Package load drives Redis, directly or through the agent, with requests whose every reply can be checked. Fault tests
// use it to prove that nothing was mixed up, lost or repeated, and the bench uses it as its load.
//
//	r, err := load.Run(ctx, load.Config{Address: addr, Clients: 50, Pipeline: 4, Duration: 3 * time.Second})
//	r.Check(t, 1000)                                   // no error of any kind, 1,000 good replies a second at least
//	r.Check(t, 500, "UNAVAILABLE", "UNKNOWN", "TIMEOUT") // these errors may occur
//
// # How a reply is checked
//
// Every key belongs to one client, so that client knows what the key may hold. Every value says where it belongs:
//
//	key|client|sequence|CRC-32C|padding
//
// The CRC covers everything but itself. A GET must return a value of its own key whose sequence is one that may be
// current now. A write that was acknowledged is current until the next one. A write whose outcome is unknown
// (UNKNOWN, TIMEOUT, connection lost) may be current or not; the first reply that shows which settles it. A write
// that was refused (UNAVAILABLE, LIMITED, ERR, ...) must never be seen. Counters (INCR) and logs of fixed-width
// tokens (APPEND) show double execution: their replies are exact up to the number of writes with unknown outcome.
// ECHO checks plain matching. After the load, each client reads all its keys once more, from Config.VerifyAddress if
// that is set.
//
//	Wrong      a reply that its request cannot have: another key's value, a wrong type, a broken CRC, a refused write
//	Lost       an acknowledged write that is gone, or an older value than the acknowledged one
//	Repeated   a write that was executed more often than it was sent
//	Reordered  replies or writes of one connection in another order than they were sent
//	Late       a write of unknown outcome took effect after a later one was acknowledged. Redis knows no order between
//	           connections, so this is counted and is no failure.
//
// # Load
//
// Each client is a goroutine with one connection: it writes up to Pipeline requests at once and reads their replies.
// Without Rate the loop is closed: the next batch follows the last reply. With Rate it is open: every request has an
// intended start, and its latency counts from there, however late the client got to it; nothing is left out. A client
// whose connection is lost opens another after a pause of 5 ms, doubled up to 100 ms.
//
// # Errors
//
// They are counted by the first word of the error reply, and by words of this package for what is no reply: CONNECT (no
// connection), CLOSED (connection lost with requests in flight), NOREPLY (no reply within Config.Timeout).
//
// # Invariants
//
// A client allocates nothing per request once its buffers have grown. Clients share nothing but the atomic counters of
// Runner.Counts and the list of violations. The package has its own RESP code (resp) and none of the agent's.
package load
