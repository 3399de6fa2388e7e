// Package fault is a proxy for TCP and unix sockets that misbehaves on demand. Fault tests put it between the agent
// and a real server, or between a client and the agent.
//
//	p := fault.Start(t, fault.Options{Target: redis.Addr, Seed: 1})
//	p.Set(fault.Latency(20*time.Millisecond, 5*time.Millisecond).Down(), fault.ResetAfter(100).Up().Chance(0.1))
//	... load through p.Addr ...
//	p.MustHaveFired(t, fault.KindReset)
//	p.Clear()
//
// A [Toxic] acts on one direction (Up: client to target, Down: target to client) or on both, on all connections or on a
// random part of them. [Proxy.Set] replaces the whole set at once, for connections that are open and for new ones.
//
//	client -> reader -> queue (64 chunks) -> writer: due time, cut, corrupt, slice, bandwidth -> target
//	       <- writer <- queue             <- reader <-
//
// # What the faults mean
//
//   - Latency delays every chunk by its own time without reordering and without limiting throughput.
//   - Byte counts (ResetAfter, HalfCloseAfter, CorruptAt, StallAfter) start anew for every connection and each Set.
//   - Reset is a real RST on TCP, to both sides (SO_LINGER 0). A unix socket has none; it is closed.
//   - Stall holds the bytes and reads on until its queue is full; Clear or another Set lets them go on.
//   - Blackhole swallows what arrives; a connection that lost bytes is reset when the blackhole ends, because its
//     stream cannot go on.
//   - Refuse closes the listener while a bound socket keeps the port: connecting is refused by the kernel.
//     Connections that are open stay; use [Proxy.ResetAll] to end them too.
//
// # Firing
//
// Each toxic counts how often it did something, by kind, from the start of the proxy. A fault test must check that
// its fault fired ([Proxy.MustHaveFired]); otherwise it proves nothing. Refuse counts how often the listener was
// closed, since connections that the kernel refuses are not seen.
//
// # Invariants and locks
//
// Every connection has four goroutines (a reader and a writer per direction) and an owner that waits for them; Close
// waits for the owners. Proxy.mu guards the toxics, the listener and the set of connections, and is never held during
// I/O on a connection. Random choices come from Options.Seed and the connection's number alone, so that a run with
// the same order of connections makes the same choices.
package fault
