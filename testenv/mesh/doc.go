// Package mesh tests services through sluice agents, with the real clients, servers and agents of testenv/motan around them.
//
// A test is a chain: a client of some peer, one or two agents, a server of some peer. Whatever the chain, the client must
// see what it would see without the agents, and the server what it would be sent.
package mesh
