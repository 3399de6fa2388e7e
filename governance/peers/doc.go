// Package peers joins the centres of one store, so that each of them shows and steers all agents, whichever they are linked to.
//
// A centre writes down where the others reach it, and whether it lives is a leadership that ends with it (package members). Each
// centre follows each of the others: it dials, with a certificate that only centres have, and the other one tells what it knows.
//
//	centers/NAME    record: address and process of a centre
//
//	follower                                           teller
//	POST /v1/peer, Upgrade, a centre's certificate  ->
//	                                                <-  101
//	Hello: the last report that came                ->
//	                                                <-  Welcome
//	                                                <-  Agent, for each that is or was linked there; Synced
//	                                                <-  Agent when one changed, Report, Beat when all is told
//	Ask, Cancel, Tune, Beat                         ->
//	                                                <-  Answer, Failed
//	                                                <-  Bye
//
// So between two centres there are two connections, and each centre is a follower on one of them and a teller on the other. Frames
// are those of package control; wire.go has the types.
//
// # Agents
//
// They go into package fleet, which knows for each name the newest of what this centre and the others say. A teller keeps the
// names of those that changed, not the changes, and tells their newest state up to twenty times a second: see fleet.Follower. A
// follower that was cut off is told everything anew, and until it is what it heard before stands. When a centre is gone, its
// agents are not connected, until they are at another one.
//
// # Reports
//
// They come as the agents sent them, so that each centre has the history of all agents and percentiles are those of all calls. A
// teller keeps the last ones, as far as Options.MaxLog goes, in one log for all followers, each of which is at some number of it. One
// that was away goes on from there, and one that was away for too long is told until when reports are lost to it: it
// notes the time as missing. A report is sent with its age, so that clocks need not agree.
//
// # Bounds and waits
//
//   - Each link has its own reader and writer, and nothing that one follower does holds up another one, or agents.
//   - What waits for a slow follower is a set of names, a number in the log, and at most 16 answers to its questions. One that does
//     not take 64 KiB within 10 s is cut off.
//   - Who hears nothing for 5 s gives the link up; a Beat comes each second.
//   - Every question has an end: a deadline, the end of its stream, or the link's.
//
// # Locks
//
// Peers.mu before peer.mu; link and log have locks of their own, which are leaves. The fleet is called with none of them held.
package peers
