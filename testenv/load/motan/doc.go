// Package motan makes the calls of package counted to Motan services. The servers are those of testenv/motan.
//
// A client has one connection, whose reader hands answers to the callers that wait, under the connection's mutex. Errors are the
// words of package counted for the agent's codes 10001, 10003 and 10023, and other codes as they are.
package motan
