// Package control is the protocol between agents and the centre: the frames of the link, their messages, and what an agent
// sends to join.
//
// agent/link speaks one side, governance/fleet the other; they know nothing of each other but this package.
//
//	agent                                             centre
//	POST /v1/join, a join token and a CSR    ->
//	                                         <-       a certificate for 24 hours
//	POST /v1/link, Upgrade, with it          ->
//	                                         <-       101
//	Hello                                    ->
//	                                         <-       Welcome, Update (all, or what changed since Hello.Have)
//	Result (in force, or refused and why)    ->
//	State, Report, Export, Ping with a clock ->
//	                                         <-       Update, Ask, Tune, Pong with a clock
//	Answer                                   ->
//
// # Frames
//
//	length  4 bytes, big-endian: of what follows
//	type    1 byte
//	payload JSON of the type's message; of TypeReport the bytes that metrics/report makes
//
// # Invariants
//
//   - No more than 64 KiB is allocated ahead of the bytes that came, whatever a length claims.
//   - A message of a later version may have keys that this one does not know: they are ignored. A frame of a type that is not
//     known is ignored too. What must not be ignored raises [Version].
//   - A resource is applied whole or refused whole, and each Update is answered by one Result.
package control
