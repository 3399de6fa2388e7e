// Package http makes the calls of package counted to services that speak HTTP/1.1. The servers are those of testenv/http.
//
// Short texts are echoed by GET, long ones by POST with a body, which settings.idempotent must name ([Idempotent]). A client uses its
// connections in turn, one call at a time on each, and never sends a request again by itself. Errors are the words of
// Sluice-Fault, or the status of an answer without it ("500").
package http
