// Package pressure keeps the agent alive when memory runs out: it says how short memory is, so that whoever may take more
// of it can stop in time.
//
// The agent opens a [Watcher] and hands its [Gate] around. Four times a second the watcher compares what is used with what
// may be used and puts one of four levels into the gate, an atomic number that the path of a call can afford to read:
//
//	level            enters  leaves  what follows
//	Calm                             nothing
//	Shrink             85 %    82 %  drivers give back spare memory, the heap what it does not use (every 5 s at most)
//	NoConnections      92 %    89 %  and listeners accept nothing: clients wait in the kernel's backlog
//	Refuse             95 %    92 %  and new calls are answered LIMITED, unless they belong to a transaction
//
// The admin interface is not held at any level, and calls that are under way are not touched.
//
// # What may be used
//
// There are up to two limits, and the level is that of the one that is closer:
//
//	Go's     GOMEMLIMIT, or agent.memory, or nine tenths of the cgroup's limit when GOMEMLIMIT is not set; the smallest.
//	         The watcher tells the Go runtime, so that the collector works harder before anybody is refused. The tenth
//	         is for what Go does not see: the buffers of sockets, page tables, the program itself.
//	cgroup   memory.max (v2) or memory.limit_in_bytes (v1) of the process's own cgroup or the tightest one above it.
//
// Without any, nothing is sampled and the gate stays calm.
//
// # What is used
//
// Towards Go's limit counts what is mapped and not released. But that includes garbage, of which there is as much as the
// limit allows: a heap of which half is alive grows to the limit before each collection, and refusing calls for that
// would be wrong. So what counts here is what would be left after a collection: all of it, less free spans, less the
// objects that came since the last collection, whatever they are. This is late by one collection at most, and as long as
// memory grows, collections follow each other closely, the more so near the limit. When nothing allocates there is none,
// so the watcher asks for one each second while connections or calls are turned away; this is how it learns that clients
// have left.
//
// In a cgroup it is memory.current less inactive_file (the page cache that the kernel can drop) and less the same garbage.
// A cgroup may hold other processes: an application that fills its container by design would have its calls refused all
// the time, and give nothing back for it. So the cgroup's figure counts while the agent is alone there, or has mapped at
// least half of it. Who shares a cgroup sets agent.memory.
//
// # Invariants
//
//   - Reading the gate takes one atomic load, allocates nothing and never waits.
//   - A level is left only three points below where it is entered, so that it does not flap.
//   - A cgroup whose figures cannot be read is not watched for as long; one line says so, and Go's limit goes on.
//
// Package listen and package runtime ask the gate. There are no locks: the watcher's goroutine is the only one that writes.
package pressure
