// Package discovery says what a registry of services is to the agent: a [Source], which finds the nodes of services and
// announces ours. Each registry is a folder below: zookeeper (as Java's Motan and motan-go use it), consul (as
// Java's Motan does) and etcd (a layout of our own). The agent opens the sources that its config names, once each, and hands them to whoever needs nodes.
//
//	Watch     registry ── change ──> the complete list ──> report(Report)       keeps no list, holds nothing back
//	Register  Node ──> Announcements ──> registry: ephemeral node, lease        again after each loss of the session
//
// What all sources share is here: [Service] and [Node], their form as Motan's node URLs ([FromURL], [Node.URL]), the loop that
// keeps announcements true ([Announcements]) and what is known of the connection ([Health]). discoverytest is the suite that
// every source passes.
//
// # What holds for every source
//
//   - A source that is open works towards what it was asked for, whether its registry is there or not: the first connection
//     is tried for as long as later ones, with growing pauses that are drawn at random. Errors are for what can never work.
//   - A registry that cannot be reached changes nothing: no report is made, so the last list stands. [Status] says since when.
//   - A report is what the registry says. An emptied or shrunken list is reported as such and not held back here: the cluster
//     of the resource knows which endpoints still answer and which other sources name them, and holds reports that take away
//     too much (agent/cluster, discover.go). Two rooms that hold would add up their times. [Report.Emptied] and
//     [Report.Unknown] tell it, and people, what kind of nothing was found.
//   - A change of any field of a node is a change: weights and parameters as well as addresses.
//   - An announcement that stands is left alone. Where it has to be replaced, the old entry and the new one change places in
//     one step, so that no list is ever read without the node.
//   - What is announced, and what is read anew after an outage, comes a few at a time: a source keeps its own session alive first.
//   - Of two processes that announce the same address the later one has it. The earlier one finds out, says so in its
//     [Announced.Error] and waits until the entry is gone; it does not fight.
//
// # Goroutines and locks
//
// Watch runs on its caller's goroutine. A source owns the goroutines of its connection and one for each announcement, and
// Close waits for all of them. Announcements.mu is held for moments and never while a registry is asked.
package discovery
