// Package listen opens the agent's sockets and hands accepted connections on.
//
// The agent opens one [Listener] for each address of each resource. A listener outlives changes of its resource: what it
// does with a connection ([Handler]) and with which certificate it answers ([Certificates]) can be replaced while it
// accepts, so that a reload neither refuses nor loses a connection.
//
//	bind (TCP, unix, or a socket that systemd opened)
//	  -> accept loop: [hold] -> rate bucket -> accept -> [TLS handshake, on its own goroutine] -> Handler
//	                  no descriptors left: shed what waits with the reserve descriptor, then back off
//
// # Invariants
//
//   - The accept loop never spins: every error other than a connection that was aborted makes it wait, from 5 ms to 1 s.
//   - A client never hangs in the backlog because descriptors ran out: it is accepted with a descriptor kept in reserve
//     and closed at once, which it sees as a failure that it may retry.
//   - The last descriptors are not for clients: operators, checks of health and connections to servers need them most
//     when clients have taken all others.
//   - A TLS handshake ends within 5 s, and unfinished ones are bounded; over the bound, new clients are closed.
//   - Close returns when the accept loop and all handshakes have ended. Connections that were handed on are not its own.
//   - A unix socket's file is removed at Close only if it is still the one that this listener made.
//
// How many connections a resource serves is not decided here: the handler (runtime.Resource.Accept) does that, because
// only the driver can say "too many" in its protocol's own words.
package listen
