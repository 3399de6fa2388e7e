// Package http starts a web server of Go's standard library as a program of its own: one that real clients call, that counts what
// it executed, and that can be killed, paused and drained.
//
//	GET  /echo?TEXT   TEXT, escaped as a query is
//	GET  /bytes?N     N zero bytes
//	POST /echo        its body; a long one in chunks
//	POST /count       how many calls with this body there were, this one among them
//	GET  /counted?ID  how many there were
//
// A body counts when all of it has arrived.
package http
