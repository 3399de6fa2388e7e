// Package series is the centre's memory of what was called: how often, how it ended, how long it took, for any window
// and any set of agents, with true percentiles.
//
// # Who calls it
//
// The fleet hands it the reports that agents send ([Store.Ingest], in the form of metrics/report) and says when an
// agent is gone ([Store.Gone]). The centre's HTTP interface asks: [Store.Live] for lists, [Store.Query] for charts,
// [Store.Top] for operations, [Store.Edges] for the topology. Rollouts guard themselves with [Store.Compare]. [Reader]
// reads what is older from Graphite.
//
//	report -> open slots of 10 s -> block on disk -> slots of 1 min -> block -> slots of 10 min (agents) -> block
//	   └----> the last report of each agent: Live
//
// # Sums, not quantiles
//
// What is kept of an interval is a sum: calls by outcome, slow calls, bytes, and the histogram of durations in the
// buckets of package metrics. Sums are added exactly, over agents and over time, and quantiles are taken last. They are
// at most 2 % off, whatever the durations are, and within 1.2 % where they are spread evenly in their bucket.
//
// # Cubes
//
// A thousand agents with twenty resources of ten operations in two groups would be 400,000 sums every ten seconds. Kept
// are those that somebody asks for, in four cubes; what combines them is refused with [ErrDetail]:
//
//	operations  resource, group, op; op "" is the whole group    660 sums     charts, tables of operations
//	edges       resource, application, idc, group                some 1,000   topology, one caller against another
//	counters    resource, name and labels                        some 100     retries, what rules in observe would refuse
//	agents      resource, agent (with its application and idc)   20,000       canaries against the rest, one agent's page
//
// The first three are the track `fleet`, kept in slots of 10 s for 6 h and of 1 min for 14 days. The fourth is the
// track `agents`, thirty times as much: it is kept as long, in slots of 10 min too, as far as Options.MaxDisk goes. A
// busy agent takes some 100 bytes for each resource and slot, so 8 GiB are everything for fifty agents of twenty
// resources; for a thousand they are the last hour in 10 s, the last day in 1 min and about a week in 10 min, and 16 GiB
// are the 14 days. So any window has any set of agents, at a step that a fleet of that size affords. Each label is
// bounded, by name and in one slot; what has no room is counted as `other`, and in [Stats].Overflow.
//
// # Time
//
// Agents' clocks are not believed. A report's interval ended when the report came; its calls belong to the slot that
// its middle is in, or, when it is longer than a slot and a half, are dealt out evenly to the slots that it covers, two
// minutes back at most. A slot is open for 10 s after its end. What comes later opens it again and makes a second block
// of it, which counts together with the first. Queries see open slots too.
//
// # What is missing
//
// A centre may have been without the reports of some agents: [Store.Missing] notes when, and points of that time are
// Partial, after a restart too. What came before the store was opened reaches to [Store.KeptTo]; reports that may be in it
// are taken with [Store.IngestSince], which adds nothing to slots that may have them.
//
// # Disk
//
// DIR/series/TRACK-STEP-YYYYMMDDTHH.series, one file for an hour of 10 s slots and for a day of longer ones, appended
// to block by block; block.go and file.go say how. DIR/series/missing.json says what is missing. Every part has a checksum. A torn end is cut off when the store is
// opened, damage in the middle is passed over, and both are logged. Slots of 1 min and 10 min that were not complete
// when the store was closed, or killed, are made again from the blocks of the level before. While the disk cannot be
// written, history goes on in memory within Options.MaxMemory, and Stats says why.
//
// # Goroutines and locks
//
// One goroutine closes slots and drops what is old; Close ends and waits for it, and it alone changes files and
// appends. Store.mu guards open slots, lists of blocks and live numbers; it is never held while a file is read or
// written. Below it is outcomes.mu, a leaf. file.mu keeps a file open while it is read, and is taken without Store.mu.
package series
