// Package resp is the smallest RESP client that the test environment can live with: it encodes commands, decodes
// replies and keeps one connection.
//
// It is deliberately not the codec of the data plane: what checks the agent must not share its bugs. The server
// starter uses [Conn.Do] to wait for readiness, the load generator uses [Reader] and [AppendCommand] directly, the
// script runner encodes its shorthand with [AppendCommand].
//
// Wire form: https://redis.io/docs/latest/develop/reference/protocol-spec/ (RESP2 and RESP3).
//
// # Invariants
//
//   - A Value and all that it points to are valid until the next call of [Reader.Next].
//   - Next of a scalar reply allocates nothing once its buffer has grown to the largest reply.
//   - The buffer grows with the bytes received, never with a length that the peer declared.
package resp
