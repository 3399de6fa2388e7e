package fleet

import "time"

// What an agent may make the centre keep. Frames are bounded by control.MaxToCenter.
const (
	maxNames    = 10_000 // resources that an agent wants and owns, and that it reports of
	maxName     = 253    // bytes of the name of an agent or a resource
	maxLabels   = 64     // labels of an agent
	maxText     = 1024   // bytes of a label, a host, a version
	maxFlights  = 16     // updates without an answer: the agent does not keep up with the protocol
	maxOutbox   = 1024   // small frames (answers to pings, asks) that wait for the writer
	maxAsks     = 64     // questions to one agent at a time
	ringSize    = 8192   // changes of names that are remembered
	maxQueued   = 256 << 20
	writePiece  = 64 << 10 // bytes that must be taken within Options.WriteWait
	keepBuffer  = 4 << 10  // bytes of an agent's frame whose space is kept for the next one
	askTimeout  = 10 * time.Second
	askParallel = 32
)
