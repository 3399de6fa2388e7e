// Package report is what an agent tells the centre about its calls: what its metrics counted since the last report, as
// a few bytes for each operation that was called.
//
// # Who calls it
//
// The agent has one [Encoder] and sends what it appends every ten seconds, or faster while somebody watches. The centre
// (governance/series) has a [Decoder], whose [Visitor] merges what it is shown.
//
//	cells, counters - what they held at the last report -> message -> Visitor: the same differences
//	gauges                                              ->
//
// # A message
//
// Numbers are unsigned varints (signed ones, zigzag, for gauges), and a text is 0, its length and its bytes the first
// time, and then its number in the message, from 1. It holds
//
//	version       1 byte, 1
//	end           Unix time, ms, by the agent's clock
//	length        ms: the interval is [end-length, end]
//	records, each with its tag in front; a cell, counter or gauge is of the resource before it
//	  1 resource  name, kind
//	  2 cell      group, op, class; outcomes: how many, then (name, calls) each; slow; bytes in; bytes out; histogram,
//	              in the form of metrics.Snapshot.Append
//	  3 counter   name; labels: how many, then (key, value) each; how much was added
//	  4 gauge     name; labels; value
//	  0 end       of the message: nothing follows
//
// # Invariants
//
//   - A message stands alone: nothing in it refers to an earlier one. One that is lost loses its interval, no more.
//   - Cells and counters are known by their address, so one that was dropped and made again starts from 0 like any new
//     one, and what a dropped one had counted last is in the next message.
//   - What did not change takes no bytes, and allocates nothing.
//   - A visitor sees nothing of a message that is not whole and right. No memory is taken for a number in a message: only
//     for texts and labels that are there.
//
// An Encoder and a Decoder are each for one goroutine at a time; they have no locks and start nothing.
package report
