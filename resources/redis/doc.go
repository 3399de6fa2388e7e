// Package redis is the driver for Redis and everything that speaks RESP2 or RESP3: it lets many clients share few
// pipelined connections to servers, and notices nothing being different is what its clients are promised.
//
// The agent calls it through the contract of package resources; it runs on the event loops of internal/loop and finds
// the bounds of requests and replies with protocols/resp. It never builds a value of what passes through.
//
// # How a GET goes
//
//	client ──OnData──> session: Scan, command table, Begin (filters), Route (commands, weights, roles, balance)
//	                      │ append the request's own bytes, and an expectation of its reply
//	                      v
//	                   upstream ──one write a round──> server
//	                      │ replies in order: the head expectation says whose it is; End
//	                      v
//	                   session: in its own order ──one write a round──> client
//
// All of this happens on one loop. A resource has one shard for each loop, shards share nothing, and so there are no
// locks. A call waits in two queues: its session's, in the order of requests, and its upstream's, in the order of replies.
//
// # Files
//
//	driver.go settings.go       the resource, its settings
//	commands.go special.go      what a command does, from the server's own COMMAND output
//	session.go                  one client: requests, their order, back-pressure
//	special_request.go          requests that are more than their bytes
//	change.go                   AUTH, HELLO, SELECT
//	txn.go pin.go               transactions, and everything else that needs a connection of its own
//	upload.go                   requests too large to be gathered
//	split.go cluster.go         keys on many servers
//	shard.go pool.go upstream.go dispatch.go connect.go   connections to servers
//	deadline.go aside.go        calls that wait too long, and those behind a long reply
//	sentinel.go probe.go        roles and health
//
// # What always holds
//
//   - An expectation is queued before the first byte of its request is written, and leaves the queue with its reply or
//     with the connection. Who gave up waiting is replaced by nobody; the reply is then read and dropped.
//   - A connection is shared only by sessions with equal attributes: user, database, protocol version. It is lent to a
//     session alone when a request would make it mean something else to others, and comes back only when the server's
//     replies prove that it is clean (pin.go).
//   - Requests of one client to one server stay on one connection as long as one of them is unanswered, and replies leave
//     in the order of requests. From behind a long reply they move to another connection all together, if they only read.
//   - A request is sent a second time only if no byte of it was written, if the server said that it did not execute it, or
//     if it only reads. What was written and not answered, and is no read, is answered UNKNOWN.
//   - What the agent answers by itself is an error, or what the server would have said about the session (OK to CLIENT
//     SETNAME). It never claims that data was written.
//
// # Memory
//
// Requests wait in the upstream's buffer until they are answered, so that sending one again needs no copy. Arguments over
// 32 KiB are not gathered: such a request gets a connection of its own and is passed on as it arrives. Replies over 32 KiB
// are passed on as they arrive; a client that does not take them stops the reading of that connection, which then gets
// nothing new. An idle client costs its session and no buffer.
//
// # Long replies on shared connections
//
// How long a reply is shows when it begins. From 256 KiB on, its connection gets nothing new, and the client's later
// requests go over connections that only clients with long values share; likewise those of a client that wrote a long
// value. Reads that were already behind it when it goes on for more than 5 ms are sent once more elsewhere (aside.go),
// within the budget of extra attempts. Writes behind it wait.
//
// # Differences to a server
//
// Everything else is answered word for word as Redis 7.0 does; tests compare the two byte for byte.
//
//	what                                      here                               why
//	HELLO                                     id is the session's; mode is       the connection is shared; one address is no
//	                                          standalone                         cluster node
//	HELLO that fails behind SETNAME           changes nothing                    a server has set the name by then
//	CLIENT REPLY OFF, SKIP in MULTI           refused, EXEC aborts               a server's EXEC then has fewer replies than
//	                                                                             it announced
//	AUTH, HELLO in MULTI                      refused, EXEC aborts               users are the agent's (only with users of its
//	                                                                             own)
//	unknown command before login              NOAUTH                             who is not logged in need not know what there
//	                                                                             is (only with users of the agent's own)
//	POST, Host:                               earlier requests are answered,     a server closes at once
//	                                          then the connection is closed
//	bytes that parsers read differently       refused, see protocols/resp        they must not reach a shared connection
//	lost connection in MULTI or after WATCH   EXECABORT                          nothing of it was executed
//	lost connection of a subscriber,          the client's connection is closed  that is what clients know how to deal with
//	MONITOR, tracking, CLIENT ID
//	MULTI or SUBSCRIBE that cannot be served  an error, then the end of the      some libraries leave replies to what follows
//	                                          connection                         unread, and the next call would get them
//	RESP3 subscriber that publishes to        the connection is closed           a server up to 7.0 puts the message into the
//	itself in MULTI                                                              middle of EXEC's reply
//	CLIENT ID, CLIENT TRACKING, NO-EVICT,     the session keeps its connection   such state cannot be told from the outside
//	SELECT in MULTI, unknown commands         until it ends or says RESET
//	CLIENT LIST, INFO clients                 the agent's connections; a name    others are shared
//	                                          only of those with one of their own
//	PUBSUB, SLOWLOG, CLIENT KILL, MONITOR ... of one server                      they speak of a server, not of the data
//	SELECT in a cluster                       as a cluster's node
//
// Resources of many servers (topology cluster or hashed) look like one server, except:
//
//	keys on several servers                   CROSSSLOT, but for DEL EXISTS      there is no way to do it at once; these are
//	                                          MGET MSET TOUCH UNLINK             done one key each and are not atomic
//	MULTI                                     goes where its first key belongs;  a transaction has one server
//	                                          another place: CROSSSLOT
//	SCAN                                      one server after the other; the    cursors of servers know only their own keys
//	                                          cursor names the server
//	CLIENT TRACKING                           refused                            one connection hears of one server's keys
package redis
