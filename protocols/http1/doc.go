// Package http1 is the codec of HTTP/1.0 and HTTP/1.1: it reads the heads of requests and answers in place, follows their bodies
// to their ends, and says nothing of what the bodies are.
//
// The driver resources/http calls it. It imports no other room, has no sockets and no clocks.
//
// # Sources
//
// RFC 9112 (messages), RFC 9110 (fields). Where they leave a choice, a proxy that is more lenient than the server behind it
// lets requests be smuggled, so this package takes only what all servers read in one way:
//
//	CRLF ends a line; a bare CR or LF, NUL and other controls are refused
//	no white space before the colon, no folded lines, names are tokens
//	one Content-Length, of digits alone; or one Transfer-Encoding, which is "chunked"; never both
//	one Host in HTTP/1.1, of the characters that a host may have
//	a chunk's size is hexadecimal digits; extensions of chunks are dropped, and a chunk is written anew
//
// # What holds
//
//   - Nothing is allocated from a declared size, and a Request and a Response may be used again: then reading allocates nothing.
//     What is read points into the caller's buffer.
//   - However the bytes are cut into pieces, the result is the same.
//   - A [Body] never takes a byte that is not the body's.
package http1
