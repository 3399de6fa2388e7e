// Package script runs protocol sessions that are written down as text: what clients send and must get, and what fake
// servers behind the agent must get and send. One file is one case.
//
//	# A GET goes up and its reply comes down.
//	server?  [PING] +PONG\r\n
//	client>  [GET k]
//	server<  [GET k]
//	server>  $1\r\nv\r\n
//	client<  $1\r\nv\r\n
//	server!  reset
//	client~  -UNKNOWN sluice: .*
//	client<  EOF
//
//	script.Run(t, "testdata/get.script", script.Env{Address: addr, Servers: map[string]net.Listener{"server": ln}})
//
// # Lines
//
// A line is ACTOR, one sign, and the rest. An actor whose name begins with "client" is a connection to Env.Address,
// opened when it is first named. Any other actor is a fake server: NAME is a listener of Env.Servers, NAME/LABEL a
// further connection of the same listener. It takes the first accepted connection that has bytes no rule answered and
// that no other actor holds.
//
//	A> BYTES    send
//	A< BYTES    these bytes must come next
//	A< EOF      the peer must close; A< RESET likewise with a reset; A< NOTHING 50ms: nothing may come for that long
//	A~ REGEXP   a line must come that matches, without its CRLF and as a whole
//	A! ACTION   connect, accept, shut (half-close), close, reset; of a server: accept waits for a connection with bytes
//	S? B1 B2    from now on, on all connections of this server, answer B1 with B2 whenever it comes, without showing it
//	            to the script: health checks, handshakes. B1 and B2 are BYTES without blanks, or shorthands. On a connection
//	            whose bytes the script took, rules rest until its next line about it
//	wait 50ms   only where the passing of time is the point
//	# comment
//
// BYTES are written as in a Go string without the quotes: \r \n \x00 \\. A shorthand [SET k "a b"] is the RESP array of
// these words, quoted where they hold blanks or brackets; several may follow each other. $(NAME) is replaced by a
// value of Env.Vars before anything else is done, and by the address of a server for $(NAME.addr).
//
// # Failures
//
// An error names file and line and shows expected and received bytes, quoted, with the offset of the first difference
// in both and hex around it. At the end of a script no connection may hold bytes that no line expected.
//
// # Invariants
//
// Run owns the listeners and all connections and has closed them, and ended its goroutines, when it returns. Each
// connection has one goroutine that reads; conn.mu guards what it has read. Every wait ends after Env.Timeout.
package script
