// Package httpapi holds what the HTTP interfaces of the agent and of the centre have in common: the shape of errors, the guard
// against foreign web pages, strict reading of queries and bodies, entity tags, and streams of events.
//
// It knows no resource and no right: who may ask what is decided by the interfaces themselves.
package httpapi
