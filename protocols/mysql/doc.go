// Package mysql finds, checks and writes the packets of the MySQL protocol, for MySQL 5.7 and later and MariaDB: bytes
// in, bytes out. It has no sockets, no clocks and no goroutines, and allocates nothing between a command's bytes and
// its reply, except for compression.
//
// The mysql driver calls it. What it does not have to understand is passed on as it is:
//
//	client bytes ──> Header, ParseQuery, ParseExecute ──> the same bytes, another statement id ──> server
//	                      └── too large to be looked at: Request, piece by piece ──> server
//	server bytes ──> Reply.Next ──> Forward: the same bytes ──────────────────────────────────> client
//	                      └──────> Terminal, Prepared, ...: ParseOK, Track, AppendOK ────────> client
//	compressed ────> Inflater ──> one of the above ──> Deflater ──> compressed
//
// The two sides of a login are state machines of their own: [ServerLogin] for the clients, [ClientLogin] for the
// servers.
//
// # Frames and packets
//
// A packet is sent in frames: 3 bytes of length, a sequence id, at most 16 MiB - 1 of payload. A frame that is full
// goes on in the next, so a packet's end, and what its first byte means, can be told at its first frame only. Sequence
// ids begin with 0 at each command and are counted across both directions.
//
// # Replies
//
// What a packet is depends on its first byte, its length, its place in the reply, and on what the two sides agreed on.
// [Reply] keeps the place. It reads no definitions and no rows; of a row it looks at the header and the first byte:
//
//	0xff      ERR: the reply ends, wherever it is. Code 0xffff is a progress report of MariaDB and ends nothing.
//	0xfe      among rows, in a full frame: a row whose first value has 16 MiB or more; in a shorter one: the OK that
//	          ends them, with ClientDeprecateEOF, or without it and shorter than 9 bytes the EOF that does
//	0xfb      first in a reply: LOCAL INFILE; first in a row: NULL
//	0x00      first in a reply: OK; first in a row: an empty value, or a row of the binary protocol
//
// An OK or EOF with StatusMoreResults is followed by another result, also after a LOCAL INFILE. With a cursor
// (StatusCursorExists) the rows are missing: the EOF behind the definitions is the end, or with ClientDeprecateEOF the
// OK that stands there. With MariaDBCacheMetadata or ClientOptionalResultsetMetadata the column count has one byte
// more, and 0 in it says that the definitions are left out, though not the EOF behind them.
//
// # What is refused
//
// A reply that cannot be followed with certainty is an error ([ErrMalformed]), after which the connection to the server
// must be closed: a sequence id out of order, an empty packet, a packet that the place does not allow, a LOCAL INFILE
// request to a client that has not offered to answer one, an OK above 1 MiB or another packet above 64 KiB that would
// have to be held as a whole. The checks are stricter than clients' are, as a reply followed wrongly ends up at a wrong
// client.
//
// # Invariants
//
//   - Split at any byte gives the same result: the bytes passed on and the packets shown depend on the bytes alone.
//   - No memory is taken for a declared length: at most 64 KiB ahead of what has come, and only when decompressing.
//   - What the Parse functions return are parts of the payload; they live as long as it does and cannot grow into it.
//   - What the Append functions write for a set of capabilities, the Parse functions read with it.
//   - Errors of Reply, Request and Inflater are final until Start, or for good.
//
// A Reply, Request, TrackReader, Inflater or Deflater belongs to one goroutine; a [Codec] may be shared. There are no
// locks but those in a Codec's pools.
//
// Sources: the protocol chapters of the MySQL source documentation (dev.mysql.com/doc/dev/mysql-server) and of the
// MariaDB documentation (mariadb.com/kb/en/clientserver-protocol), and replies of MariaDB 10.11.
package mysql
