package series

import (
	"log/slog"
	"time"
)

// AgentInfo is the agent that a report came from.
type AgentInfo struct {
	Name        string // unique in the fleet
	Application string // who calls
	IDC         string // where the agent runs; may be empty
}

// Options configure a [Store]. Every field has a default.
type Options struct {
	// Dir is the folder that the history is kept in; it is made. Empty: in memory alone, as far as MaxMemory goes.
	Dir string
	// MaxDisk bounds the bytes in Dir. When they do not suffice, what is fine goes before what is coarse, and what is of
	// single agents before what is of the fleet, the oldest first. Default 8 GiB.
	MaxDisk int64
	// MaxMemory bounds the bytes of history that is in memory because there is no Dir or it cannot be written. The oldest
	// goes first. Default 64 MiB. What the current minutes take, and queries while they run, is not in it.
	MaxMemory int64

	// Bounds of what is told apart in one slot; the rest is counted together as `other`, and counted in Stats.
	MaxResources int // default 4,000
	MaxOps       int // operations of a resource over all its groups; default 2,000
	MaxEdges     int // applications, data centres and groups of a resource; default 2,000
	MaxAgents    int // agents of a resource; default 10,000
	MaxKeys      int // of all these together; default 200,000

	Log *slog.Logger     // default: nowhere
	Now func() time.Time // default time.Now
}

func (o *Options) fill() {
	def := func(into *int, n int) {
		if *into <= 0 {
			*into = n
		}
	}
	def(&o.MaxResources, 4000)
	def(&o.MaxOps, 2000)
	def(&o.MaxEdges, 2000)
	def(&o.MaxAgents, 10_000)
	def(&o.MaxKeys, 200_000)
	if o.MaxDisk <= 0 {
		o.MaxDisk = 8 << 30
	}
	if o.MaxMemory <= 0 {
		o.MaxMemory = 64 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Stats say how the store itself is.
type Stats struct {
	Reports  uint64 // that came
	Refused  uint64 // of these, because they were not legal
	Overflow uint64 // times that something was counted as `other` for want of room
	Lost     uint64 // slots whose history had to be dropped, from memory or unread from disk
	Skipped  uint64 // seconds of reports that came too late to be placed

	Agents   int    // whose last report is recent
	Keys     int    // told apart in the slots that are open
	Blocks   int    // slots that are kept
	Disk     int64  // bytes
	Memory   int64  // bytes of history that is in memory only
	Degraded string // why the disk is not written; empty when it is
}
