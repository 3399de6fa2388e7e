// Package store keeps what the centre must not lose: resources and their history, commands, plans, users, the audit log.
//
// One interface, [Store], has two backs: a bbolt file for a single centre, and an etcd cluster for several centres that hold
// nothing themselves. One conformance suite (storetest) is run against both.
//
// [Follow] and [Reign] are what every room does with it: keep in memory what a prefix holds, and do what only one centre may do.
//
// What lives a short time does not belong here: which agents are linked, what they see, whether an exported service still
// answers. That is in the memory of the centres, and comes again from the agents.
package store
