// Package mysql is the driver for MySQL and MariaDB: clients share few connections to servers between their statements and
// transactions, and notice nothing.
//
// The agent calls it through the contract of package resources. It speaks the protocol with protocols/mysql and reads
// statements with protocols/sql; rows are never looked at.
//
// # How a SELECT goes
//
//	client ──> session: one packet; the lexer says what it does; Begin (filters), Route (role, weights, balance)
//	              │ a connection: the session's own, or one of the pool
//	              │ [reset, settings, database] what makes that connection's state the session's, then the command
//	              v
//	           upstream ──one write──> server
//	              │ the reply, frame by frame, as it comes; OK, EOF and ERR are looked at
//	              v
//	           session: End; does anything tie the two? if not, the connection goes back ──> client
//
// A session is linear code: it reads a command, executes it, passes the reply on and reads the next one. While it waits
// for a command it holds no buffer, and no connection unless something ties it to one.
//
// # Where it runs
//
// After its login a session whose client has a plain connection lives on an event loop. While it executes a command it
// runs on a coroutine of that loop: where it would have to wait for its client or for its server it is set aside, and the
// loop resumes it when there is something (polled.go, worker.go). Nothing passes through the scheduler, and a silent
// session has no stack. Clients with TLS or compression, and resources whose servers want TLS, have a goroutine for each
// session, with the same code.
//
// So code of a session must not block, except on its own wires, nor take a lock that somebody holds while he waits: the
// other sessions of its loop would wait too. What does block (dialling, waiting in line or for a primary, timers, KILL,
// what other sessions hold, logins) goes through session.aside, which does it on a goroutine of its own. A connection to a
// server that is used elsewhere than in attempt (carry, recover, probes) must have no user: it then waits by a channel.
//
// # What a session is
//
// The session variables, the database and the character set are the client's, wherever its next statement is executed.
// They are known from the server's session tracker, which is switched on for every connection, whatever the client asked
// for; its records are taken out again for clients that did not. What the tracker does not report (user variables, user
// locks, handlers ...) the lexer sees, and what nobody can carry over ties the session to its connection: a pin. Pins end
// with a reset, transactions with the server's word that they are over.
//
// # Files
//
//	driver.go settings.go ops.go     the resource, its settings, its operations
//	session.go command.go exec.go    a client; a command as a governed call; one attempt on one connection
//	state.go pin.go                  what a session is, what ties it
//	diag.go recall.go                what a statement leaves behind; statements that ask for it
//	prepared.go reading.go upload.go prepared statements, and how servers read them; long commands and LOCAL INFILE
//	login.go kill.go leave.go        logins of clients, COM_CHANGE_USER; KILL; how sessions end that should go elsewhere
//	pool.go upstream.go wire.go      places and the line for them; connections to servers; buffers
//	polled.go worker.go              connections that a loop watches; sessions that run on it
//	watch.go                         what no session can do while it waits
//	probe.go roles.go codes.go       what servers are: by checks, and by the errors that they answer
//	hold.go causal.go                waiting for the primary, and for a replica to have what a read must see
//	digest.go fault.go               shapes of statements; faults in the protocol's words
//
// # Who is the primary
//
//	checks, every policy.probe.every ──> resources.Health ──> the cluster: roles, lists of readers, the one writer
//	errors 1290, 1836, 1047 ──> Report ──┘                          │
//	      │                                                         v
//	      └──> recheck: all servers of the group, every 50 ms   Route, or wait for it (settings.hold)
//
// Each endpoint has facts: what its server last said itself. A command that needs the primary is not sent where the facts
// speak against it; it waits, unsent, and with it the group is searched for a primary until there is one, the time is over, or
// nobody answers any more. A single write that a server refused because it is read-only was not executed there and goes
// to the new primary; so does the first statement of a transaction, with its BEGIN.
//
// # What always holds
//
//   - A connection belongs to one session, or to the pool. It goes back only when the reply to everything written on it
//     was read to its end; whatever else happens to it, it is closed.
//   - A connection in the pool has exactly the state that its fields say; a session with another state brings its own
//     before its statement. What may write is sent only when the server has confirmed that state.
//   - A statement is sent a second time only if no byte of it was written, if the server said that it did not execute it,
//     or if it only reads and no byte of its reply has reached the client. COMMIT is never sent twice.
//   - What a statement leaves behind for the next one (warnings, row count, insert id) is answered by the connection that
//     knows it, or carried over exactly, or refused.
//   - A KILL that is on its way has arrived before its connection is used for anything else.
//   - Memory for one client is bounded: 1 MiB of a command is gathered, everything longer passes through.
//
// # Locks
//
// Resource.mu guards the list of sessions, pool.mu what is idle and who waits; neither is held while anything waits. A
// session's mu is held by its goroutine while it executes a command; others only try it, and then may take what the silent
// session holds. Order: session.mu, then pool.mu. A search's mu comes before Resource.looking, which is held while checks are
// begun and when the resource ends; the runtime is told what a check found without any of them.
package mysql
