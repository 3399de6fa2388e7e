// Package loop runs many connections on a few event loops.
//
// A proxy's cost is system calls and wake-ups, not parsing. A loop reads whatever its connections have, lets their
// handlers append bytes to other connections of the same loop, and then writes each connection that has something to
// write once. So requests of many clients leave in one write to an upstream, and the replies of one read leave in one
// write per client, without a timer and without waiting for company.
//
//	wait ─> readable: Handler.OnData ─> posted functions ─> due timers ─> closed: Handler.OnClose ─> write ─┐
//	  ^──────────────────────────────────────────────────────────────────────────────────────────────────────┘
//
// Who calls it: drivers with high rates of small messages. resources/redis shares nothing between loops, so its hot path
// takes no lock; resources/mysql runs its sessions on them as coroutines.
//
// # Two kinds of connections
//
// On Linux a plain TCP or unix connection is polled by the loop itself (epoll). Everything else (TLS, other systems, an
// in-memory pipe) is read and written by two goroutines that exchange bytes with the loop; handlers see no difference.
//
// # Descriptors alone
//
// Code that reads straight through a protocol and waits in the middle of it (resources/mysql) does not want to be handed
// bytes. For it a [Desc] is only watched: its owner reads and writes the socket by itself, from any one goroutine, and is
// told, edge-triggered, when that may succeed again. A Desc may move to another loop while nobody waits for it.
//
// # Memory
//
// An idle connection holds no buffer: bytes are read into one buffer of the loop, and only what a handler does not
// consume is copied to the connection. Buffers that grew are given back when they are empty.
//
// # Invariants
//
//   - Handlers, timers and posted functions run on the loop's goroutine, one at a time. Conn and Timer may be used only
//     there. Post, Loop.Attach and Group may be used anywhere.
//   - Close takes effect at once for its caller: no OnData, OnEOF or OnDrained follows. OnClose runs exactly once, after
//     the handler that closed has returned.
//   - Stop closes every Conn; a Desc is closed by its owner, who must be done before.
//   - Bytes appended before Close are not written unless CloseAfterFlush was used.
package loop
