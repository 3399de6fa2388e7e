// Package grpc is the driver for services that speak gRPC (github.com/grpc/grpc/doc/PROTOCOL-HTTP2.md). Many clients share few
// connections to servers: each call is a stream of HTTP/2 at both ends, and goes through the filters and to a server by itself.
//
// The agent calls it through the contract of package resources; it runs on the event loops of internal/loop, and finds and
// writes frames with protocols/http2. Messages are never looked at.
//
// # How a call goes
//
//	client ──OnData──> conn: wire (frames, header lists), whom is it for (index), its session there (link)
//	                      │
//	                      v
//	                   shard: Begin (filters), Route (commands, weights, balance)
//	                      │ the header list with the time that is left; bytes as far as the server's windows allow
//	                      v
//	                   leg: a stream of an upstream ──one write a round──> server
//	                      │ the stream's number says whose answer it is; End
//	                      v
//	                   conn: the answer as far as the client's windows allow ──one write a round──> client
//
// All of this happens on one loop, and there are no locks. Applications call all services through one address, so
// connections belong to the address's door and not to a resource; a connection has a session (link) at each resource
// that it called, one for each application that calls through it.
//
// # Files
//
//	driver.go settings.go   a service, its settings
//	door.go index.go        an address, and which service a call is for
//	wire.go                 HTTP/2 on a connection, whoever is at its other end
//	conn.go link.go         one client, its session at a service
//	call.go request.go      a call, its header list
//	shard.go dispatch.go    sending, sending again, answering
//	leg.go                  an attempt of a call
//	pool.go upstream.go     connections to servers
//	status.go fault.go      what a server's answer means, and what the agent says itself
//	probe.go                health checks
//
// # What always holds
//
//   - A stream is begun once on a connection. A frame for one that nobody waits for any more is dropped; one for a stream that was
//     never begun means that nothing on the connection can be trusted, and it is closed.
//   - What is under way of a call is bounded each way by settings.window: a sender is told that it may go on when what it sent
//     has been written to the other side. Whoever does not read makes its own calls wait and nobody else's.
//   - A call is sent a second time only if no byte of it was written, if the server said that it did not begin it (REFUSED_STREAM,
//     GOAWAY), or if its method is marked as idempotent; and never when some of the answer was passed on.
//   - What a server says at the end of an answer reaches the client as it is. Statuses that are the service's own word
//     never lead to another attempt and do not count against the server.
package grpc
