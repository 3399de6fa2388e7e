// Package http is the driver for services that speak HTTP/1.1: a reverse proxy, and a forward proxy for the services that
// it knows.
//
// The agent calls it through the contract of package resources; it runs on the event loops of internal/loop, and reads and
// writes heads and bodies with protocols/http1.
//
// # How a call goes
//
//	client ──OnData──> conn: the head, whom is it for (index), its session there (link)
//	                      │
//	                      v
//	                   shard: Begin (filters), the request as servers get it, Route (commands, weights, balance)
//	                      │
//	                      v
//	                   pool: a connection that nobody else uses now ──> upstream ──> server
//	                      │ the head of the answer, then its body, piece by piece; End
//	                      v
//	                   conn ──one write a round──> client
//
// All of this happens on one loop, and there are no locks. As several services may be called at one address, connections
// belong to the address's door and not to a resource; a connection has a session (link) at each resource that it called.
//
// # Files
//
//	driver.go settings.go   a service, its settings
//	door.go index.go        an address, and which service a request is for
//	conn.go clock.go        one client; what it and its call may wait for
//	link.go call.go view.go a session, a call
//	ops.go request.go       what a request is called and may; how servers get it
//	shard.go dispatch.go    sending, sending again, ending
//	pool.go upstream.go     connections to servers
//	answer.go tunnel.go     answers; connections that were upgraded
//	fault.go probe.go       what the agent says, and asks, by itself
//
// # What always holds
//
//   - A client's requests are served one after another, so answers leave in their order, and a connection to a server carries
//     one request at a time. It takes another one only when the answer was whole, the server read all of the request, and
//     nothing came that nobody asked for; otherwise it is closed.
//   - A request is kept, to be sent again, when its body is of known size, at most 64 KiB, and there. Longer ones pass through,
//     and neither side is read faster than the other takes.
//   - A request is sent a second time only if no byte of it was written, if an agent before the server says that no server got
//     it, or if it is a read. An answer of the service is never a reason to ask again.
//   - Once part of an answer was passed on, the client gets the rest of it or the end of the connection, never the agent's words.
package http
