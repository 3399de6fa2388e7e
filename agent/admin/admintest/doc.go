// Package admintest has a kind of resource for tests of whole agents and of the command line, so that these need no
// server: `kind: echo` speaks a protocol of lines and answers by itself, with the group and the endpoint that the agent
// chose.
//
//	client> GET a        agent> ok yf 10.0.0.1:6379
//	client> WAIT 2s      agent> ok yf 10.0.0.1:6379     (two seconds later, or at once when its session is cut)
//	a refusal            agent> error LIMITED sluice: cache: over 0/s (limit 1)
//
// Endpoints are never connected to. They are sound unless their address begins with "down." It is for tests only.
package admintest
