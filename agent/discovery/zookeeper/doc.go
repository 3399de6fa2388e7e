// Package zookeeper is a discovery source in ZooKeeper, in the layout that Java's Motan and motan-go share. Nodes that one of
// the three announces are found by the other two.
//
//	/motan/GROUP/PATH/server/HOST:PORT               ephemeral   node URL: serves
//	/motan/GROUP/PATH/unavailableServer/HOST:PORT    ephemeral   node URL: is there and does not serve
//	/motan/GROUP/PATH/client/HOST:PORT               ephemeral   URL of a subscriber; nobody reads it but people
//	/motan/GROUP/command                             persistent  commands for the callers of the group, JSON
//	/motan/agent/APPLICATION/command                 persistent  commands for the agents of an application, JSON
//
// Options.Root comes before all of them. Everything above them is persistent and is never removed. What is written is plain text, as Java's registry "zk" and
// motan-go write it; what its older registry "zookeeper" writes, a serialised string, is read too. All of it may be changed by
// everybody (the ACL world:anyone), as both Motans have it.
//
// An entry whose URL cannot be read is taken for a node of the watched service at the address that the entry is named after, as
// both Motans do; one whose name is no address either is counted in Report.Unread.
//
// # Connection
//
// A source has one connection and one session, whatever the number of services: go-zookeeper/zk keeps it, reconnects and has
// the server arm its watches again. What the library leaves open is done here: addresses are looked up again for each attempt,
// attempts have growing pauses that are drawn at random and are 3 s apart at most, a handshake has a deadline, no request
// outlives the context of who made it, and none is sent before the watches of an earlier connection (connection.go says why).
//
//	library ── events ──> Source.event ──┬── of the session ──> keeper ──> Announcements.Check, Lost
//	                                     └── of a path ──> watches ──> wakes Watch, WatchCommands, Announcements
//
// # Watching
//
// Watch runs on its caller's goroutine; there is no other for it. It reads both folders of nodes and each entry, each with a
// watch of ZooKeeper's, waits for an event, and 100 ms after it reads again what the events said has changed. A folder that
// does not exist is watched for its creation. What has been read with a watch that is still armed is not read again, and two
// watches of one service do not arm twice. See watches.go for why no change between a reading and its watch can be missed.
//
// # Announcing
//
// Announce reads both entries of the address and writes what differs in one transaction: the entry of the other state goes, a
// wrong one is deleted and made again. That order is what Java's clients notice, which look at the names in the folder only,
// and as a transaction nobody can read the folder in between.
//
//	entry is ours, same data                nothing
//	entry is ours, other data               replaced
//	entry of another session, or of none    replaced, once in each session of ours: a process that was restarted finds its own old
//	                                        entry, which would else vanish when the old session expires
//	the same, but ours stood before         left alone, ErrHeld: somebody else took the address over
//
// The entry is watched from then on, so that one that somebody deleted comes back.
//
// # Locks
//
// In this order: Source.mu, watches.mu, the announcements' own. All are held for moments and never while ZooKeeper is asked.
// What is called on an event must not wait: it runs on the library's reader.
package zookeeper
