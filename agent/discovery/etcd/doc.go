// Package etcd is a discovery source in etcd, from version 3.4, in a layout of our own.
//
//	sluice-discovery/services/GROUP/PATH/HOST:PORT      a node, JSON; ends with the lease of the agent that announced it
//	sluice-discovery/commands/group/GROUP               commands for the callers of the group, JSON as Motan has it
//	sluice-discovery/commands/application/APPLICATION   commands for the agents of an application
//
// The beginning, up to the first slash, is Options.Prefix: several meshes may share a cluster. A node is written as
//
//	{"protocol":"motan2","version":"1.0","weight":100,"available":true,"params":{"filter":"a,b"}}
//
// of which only protocol is required: without the others a node is available, has the usual weight, no version and no
// parameters. Who writes nodes by other means gives them a lease and keeps it alive, so that they go with their node.
// etcd has no folders: a service without nodes is one that the registry has never heard of.
//
// # Lease
//
// A source has one lease for all that it announces, and asks three times in the lease's time for it to be prolonged and which
// keys it has. So it finds out that a key was deleted or is another's by one small request for each agent, whatever the number of
// its nodes. A lease that is lost is replaced by a new one, and all announcements are made again: putting a key moves it from
// the lease that it has to ours in one step.
//
//	key has our lease, same value            nothing
//	key has our lease, another value         put
//	key has another lease, or none           put, once in each lease of ours
//	the same, but ours stood before          left alone, discovery.ErrHeld
//
// # Watching
//
// Watch lists the keys and watches from that revision on, with a leader required. Events only say that something changed: 100 ms
// after the first of them the keys are listed again, since a watch that the client resumes by itself may leave revisions out.
// For the same reason they are listed every five minutes in any case. All watches share one stream.
//
// # Goroutines and locks
//
// keep owns the lease; Watch runs on its caller's goroutine; etcd's client has some of its own, which end with it. Source.mu is
// held for moments and never while etcd is asked.
package etcd
