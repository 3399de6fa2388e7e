// Package motan is the driver for services that speak Motan2 (github.com/weibocom/motan), or Motan1. Many clients share few
// connections to servers, since every request has an id.
//
// The agent calls it through the contract of package resources; it runs on the event loops of internal/loop, and finds and
// writes frames with protocols/motan2. Bodies are never looked at.
//
// # How a call goes
//
//	client ──OnData──> conn: Scan, whom is it for (index), its session there (link)
//	                      │
//	                      v
//	                   shard: Begin (filters), Route (commands, weights, balance)
//	                      │ the frame with an id of ours, the group of the endpoint and the time that is left
//	                      v
//	                   upstream ──one write a round──> server
//	                      │ the reply's id says whose it is; End
//	                      v
//	                   conn: the reply with the client's id ──one write a round──> client
//
// All of this happens on one loop, and there are no locks. Applications call all services through one address, so
// connections belong to the address's door and not to a resource; a connection has a session (link) at each resource
// that it called, one for each application that calls through it.
//
// # Files
//
//	driver.go settings.go   a service, its settings
//	door.go index.go        an address, and which service a request is for
//	conn.go                 one client
//	link.go call.go view.go a session, a call
//	guest.go                services of other kinds, called in Motan
//	shard.go dispatch.go    sending, sending again, answering
//	pool.go upstream.go     connections to servers
//	alarm.go                calls that wait too long
//	motan1.go               frames of Motan1, which are passed on as they are
//	fault.go probe.go       what the agent says, and asks, by itself
//	meta.go                 what servers, and the agent, tell of themselves while they run
//
// # What always holds
//
//   - A request id is used once on a connection. A reply with the id of a call that nobody waits for any more is dropped; one
//     with an id that was never given means that nothing on the connection can be trusted, and it is closed.
//   - Each attempt writes the client's own bytes, of which the agent keeps a copy that nothing else changes, so that what a
//     slow server still reads is never overwritten.
//   - A request is sent a second time only if no byte of it was written, if the server said that it did not execute it
//     (full, or without the service), or if its method is marked as idempotent.
//   - An exception of the service itself reaches the client as it is, is never a reason to ask again, and does not count
//     against the server.
//   - A oneway request gets no answer, whatever the server does.
package motan
