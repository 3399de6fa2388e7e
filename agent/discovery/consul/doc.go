// Package consul is a discovery source in Consul, from version 1.3, in the layout of Java's motan-registry-consul. Nodes that
// one of the two announces are found by the other.
//
//	service motanrpc_GROUP                 ID HOST:PORT-PATH-?GROUP, with the tags protocol_PROTOCOL and URL_<the node's URL, escaped>
//	its check, service:ID                  a TTL of 30 s
//	key motan/command/motanrpc_GROUP       commands for the callers of the group, JSON
//	key motan/command/agent/APPLICATION    commands for the agents of an application, JSON; Java has none
//
// Java's ID is HOST:PORT-PATH, so that a service in two groups is one there, in the group that was registered last. Readers on
// either side go by the tag with the URL; Motan's console, which reads IDs, reads ours as well.
//
// # States
//
//	check passing                    the node serves
//	critical, "TTL expired"          its process is gone: not reported, and Consul forgets it after a minute
//	critical, warning, otherwise     the node is there and does not serve: so Java's servers are before they are available
//
// Consul tells of the output of a check whose state stays some minutes late: so long a process that died while it did not serve is
// still there. A node whose machine or whose maintenance says so (serfHealth, _service_maintenance) does not serve either.
//
// # Connection
//
// Consul has no sessions that this needs. What is announced belongs to the agent of Consul that was asked: the first of
// Options.Agents that answers, and the next one when it does not. Three times in a TTL the keeper asks that agent which services
// it has of ours, prolongs their checks, has those announced again that are missing, and asks whether there is a leader. So the
// loss of all of an agent's services is found out by one request, and a session, in the sense of discovery.Status, is the time
// between two gaps that are longer than a TTL.
//
//	keeper ── renewal ──> connected, down ──> epoch ends ──> requests that wait end, and begin again with a connection
//
// # Watching
//
// All watches of a group share one reader, since the group is one service in Consul: it waits for the index to grow (a blocking
// query), reads the whole group and wakes the watches, which report 100 ms later. Each document of commands has a request of its own.
// An index that goes backwards, and each new connection, begin anew without one.
//
// # Announcing
//
// Consul has no transactions on an agent's services, and needs none: registering a service again replaces it whole, and its check
// keeps its state. Whose a service is, is in its metadata: a source writes there what no other does.
//
//	ours, as it should be       its check is set
//	not there, or not as it should be   registered, then its check is set
//	another's                   replaced, once in each session of ours: a process that was restarted finds its own old one
//	the same, but ours stood    left alone, discovery.ErrHeld: somebody else took the address over
//
// Between reading and writing somebody else may write. Who wrote last has it, and the other one finds out within a third of a TTL.
//
// # Goroutines and locks
//
// The keeper, a reader for each group, and Watch on its caller's goroutine. Locks in this order: Source.mu, group.mu; both are held
// for moments and never while Consul is asked. entry.mu is held while Consul is asked about that one service, and Source.mu is
// taken within it.
package consul
