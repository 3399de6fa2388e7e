// Package http2 is the codec of HTTP/2 frames (RFC 9113): it finds a frame's bounds and checks its form, writes frames, puts
// the pieces of header blocks together and reads and writes them with HPACK (RFC 7541), and counts what a peer that means
// harm sends too much of. It knows no streams: whoever calls it does.
//
// The driver resources/grpc calls it. It imports no other room, has no sockets and no clocks.
//
// # The frame
//
// All numbers are big-endian.
//
//	0  3  length of the payload
//	3  1  type
//	4  1  flags
//	5  4  stream, whose highest bit is reserved; 0 is the connection itself
//	9  .. payload
//
// # What holds
//
//   - Nothing is allocated from a declared size: frames point into the caller's buffer, and a header block that comes in pieces
//     is read piece by piece, up to a bound of their number.
//   - A header list that is too large is read to its end all the same, and thrown away, because both ends' tables of HPACK must
//     stay alike.
//   - What ends a connection is a *ConnError with the code for GOAWAY.
package http2
