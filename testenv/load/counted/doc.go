// Package counted drives services, directly or through agents, with calls whose every answer can be checked and whose writes
// the servers count: what package load is for Redis. It knows no protocol; packages motan, http and grpc beside it do, each with
// the servers of testenv that it calls.
//
//	l := counted.Start(ctx, counted.Config{Dial: http.Dial, Address: agent, Servers: servers})
//	... faults ...
//	l.Stop().Check(t, 50, counted.Unavailable, counted.Unknown)
//
// # Calls
//
// A client has several calls under way at once. In turn it echoes a text that no other call has, and has a server count a call
// under an id that no other call has: a write, which must not be repeated.
//
//	Wrong      another call's answer, one that is cut short, one that nobody asked for, a value of the wrong type
//	Repeated   an id that a server counted more than once, and, at the end, that the servers counted more than once together
//	Lost       an acknowledged count that no server knows
//	Wrong      too: a refused one (not in [MaybeDone]) that a server knows
//
// # Errors
//
// They are counted by words: the agent's own as outcomes of metrics have them (unavailable, unknown, timeout), and those of
// package load for what no server said: CONNECT (no connection), CLOSED (lost with calls under way), NOREPLY (no answer in time).
//
// # Invariants
//
// A client's connections are its own. Start returns the only owner of the goroutines; Stop waits for all of them.
package counted
