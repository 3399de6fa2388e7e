// Package resources is the contract between the data plane, the drivers and the control plane.
//
// Sluice governs calls and never unifies their bytes. A driver keeps its protocol's bytes and state machine; for each
// request it fills one [Call] and asks the [Runtime] four questions:
//
//	Begin   may it start?      filters answer; a Stop carries the fault or the prepared answer
//	Route   where to?          commands and weights choose the group, roles and balance choose the endpoint
//	Dial    over which wire?   a connection to an endpoint, counted, limited and timed by the runtime
//	End     it ended: what now? done, or the same request again elsewhere
//
// and, between requests, Boundary: may the session stay where it is?
//
// # Who imports it
//
// Everything above: the drivers (resources/<kind>), the agent and the governance centre. It imports only internal
// packages and the standard library, so that a driver can be tested against a fake runtime of some sixty lines and the
// two planes meet in nothing but [Spec] and [Command].
//
// # Connections belong to drivers
//
// Which upstream connections a request may share is protocol state (user, database, protocol version, transaction),
// and the hot path may not take a lock that another core holds. So the runtime dials, counts and limits, and the
// driver keeps what it dialled, inside the loop or the session that uses it.
//
// # Invariants
//
//   - Begin is followed by exactly one final End, whether the call was answered by a Stop, an upstream or a fault.
//   - Filters run OnCall in order and OnDone in reverse order, exactly once for each filter whose OnCall ran.
//   - A Call belongs to one goroutine at a time; only the fields documented as atomic may be read by others.
//   - Nothing between a request's bytes and its reply allocates, waits for a lock or looks up a map: what a call needs
//     is resolved when its spec is compiled.
package resources
