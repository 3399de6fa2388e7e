// Package motan2 is the codec of Motan2 frames, the wire format of Motan RPC since version 1.1: it finds a frame's bounds, reads
// its metadata in place and writes frames anew with some of the pairs changed. Bodies are opaque: package serial knows
// what is in them.
//
// The driver resources/motan calls it. It imports no other room, has no sockets and no clocks.
//
// # The frame
//
// All numbers are big-endian. Sources: MotanV2Header.java and MotanV2Codec.java of weibocom/motan,
// protocol/motanProtocol.go of weibocom/motan-go.
//
//	0   2  magic F1F1, the same as Motan1's
//	2   1  type: 10 heartbeat, 08 gzip (of the body), 04 oneway, 02 proxy, 01 response
//	3   1  version<<3 | status; version 0 is Motan1, 1 is Motan2; status 0 normal, 1 exception
//	4   1  serialization<<3
//	5   8  request id, chosen by whoever opened the connection
//	13  4  size of the metadata, then as many bytes
//	..  4  size of the body, then as many bytes
//
// Metadata is key LF value LF key LF value, without a last LF, without escapes: neither may hold a LF. An exception is a
// frame with status 1, no body, and the pair M_e, whose value is JSON.
//
// # What holds
//
//   - Nothing is allocated from a declared size, and nothing is kept: what is read points into the caller's buffer.
//   - Of a key that is there twice the last value counts, as for the peers, which keep pairs in maps. A write changes all.
//   - Metadata with an odd number of parts is refused: peers disagree on what it means, and a pair appended to it would be
//     read as something else.
package motan2
