// Package gateway lets services be called in another protocol than their own: one that speaks Motan over HTTP, and ones that
// speak HTTP or gRPC over Motan.
//
// The agent makes one for each protocol that a resource's `accept` names. A gateway ends the caller's protocol, and is itself
// a client of the resource, in the same process and in the resource's own protocol. So a converted call goes through filters, failover,
// commands and metrics once, as any other call of the resource, and no driver knows of another one.
//
//	client ──HTTP──> HTTP ──Motan──┐
//	                               ├──pipe──> the resource's door ──> filters, failover, ... ──> server
//	client ──Motan─> Motan's door  │
//	                   └─> Guest ──┘ HTTP, gRPC
//
// # Files
//
//	pipe.go       connections inside the process
//	arguments.go  values of Motan for bodies of HTTP, and back
//	http.go       HTTP for a service that speaks Motan: the server; call.go: its calls
//	guest.go      Motan for a service that speaks something else: calls that come and go
//	web.go        of HTTP; grpc.go: of gRPC
//	errors.go     what one protocol says for what went wrong in another
//
// # What always holds
//
//   - A client's calls have pipes of their own, whose address is the client's: sessions, access rules and logs see the client. They
//     end with its connection, and that cancels what is under way.
//   - A pipe on which anything is not as it must be is closed. A call that was given up takes its pipe with it, so that its answer
//     reaches nobody else.
//   - A gateway repeats nothing. What may be tried again is the resource's business.
//   - What is read into memory is bounded: bodies each way, heads, values in them, and the calls of a client at once.
package gateway
