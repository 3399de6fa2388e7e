// Package resp finds, checks and writes the messages of the Redis protocol, RESP2 and RESP3: bytes in, bytes out. It
// has no sockets, no clocks, no goroutines and no locks, and allocates nothing between a request's bytes and its reply.
//
// The redis driver calls it. Bytes are scanned where they lie and forwarded as they are; nothing is built from them:
//
//	client bytes ──> Request.Scan ──> Complete: Arg, Names.Lookup, Slot ──> AppendCanonical ──> upstream
//	                      └────────> Large: the arguments so far ──> Relay, piece by piece ──> upstream
//	upstream bytes ──> ScanSimple, else ReplyScanner.Scan ──> the same bytes ──> client
//
// Decode builds a whole tree and is for control use only: HELLO, ROLE, COMMAND, CLUSTER SLOTS.
//
// # Requests
//
// A request that starts with '*' is an array of bulk strings, any other is a line ("inline"), as in Redis. What Redis 7
// refuses is refused with its own text ([ProtocolError]), and its limits are the defaults of [Limits]. A connection is
// shared by many clients further on, so bytes that two parsers could understand differently never get there. Scan is
// therefore stricter than Redis where Redis does not look:
//
//   - a CR that no LF follows in a count or length line, or an argument not followed by CRLF: "invalid CRLF". Redis
//     skips two bytes, whatever they are.
//   - a NUL byte in an inline request: "NUL byte in inline request"; in a count or length line: the text for a wrong
//     number or type byte. Redis stops looking for the line's end there and waits until the line is too big.
//   - whether a line is too big depends on its length alone; in Redis also on how the network split it.
//   - more than Limits.MaxArgs arguments: "invalid multibulk length". Redis takes up to 2,147,483,647.
//
// An inline request may end in LF alone and is never forwarded as it is: AppendCanonical writes it as an array.
//
// # Replies
//
// [ReplyScanner] knows every RESP3 type; an attribute belongs to the value behind it, a push is a reply of its own (Kind
// and IsPush tell). Streamed types, which no server sends, are errors. After an error, a [ReplyError], nothing says
// which bytes answer which request: the connection must be closed.
//
// # Invariants
//
//   - Split at any byte gives the same result: every scanner depends on the bytes alone, and looks at each once.
//   - A Size or n that was returned never changes, and bytes behind it are not looked at.
//   - No memory is taken for a declared length or count; a scanner's state has a fixed size; depth ends at 128.
//   - What ScanSimple accepts, ReplyScanner accepts with the same length; what Relay passes, Scan accepts.
//   - Errors are final: a Request, a Relay or a ReplyScanner that failed returns the same error until Reset.
//
// A Request, Args, Relay or ReplyScanner belongs to one goroutine. [Limits] and a built [Names] may be shared.
//
// Sources: the RESP specification (redis.io/docs/reference/protocol-spec), Redis 7 networking.c, sds.c and util.c for
// the rules of requests; the Redis Cluster specification for slots.
package resp
