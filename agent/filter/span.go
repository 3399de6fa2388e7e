package filter

import "time"

// Span is one traced call, in the terms of OpenTelemetry a client span.
type Span struct {
	TraceID [16]byte
	SpanID  [8]byte
	Parent  [8]byte // zero: the call starts the trace
	Start   time.Time
	End     time.Time

	Resource string
	Kind     string
	Op       string
	Class    string
	Group    string // "" when the call was not routed
	Endpoint string
	Caller   string
	Client   string
	Outcome  string
	Failed   bool   // the outcome is not ok
	Fault    string // text of the fault, if it ended with one
	Tries    int    // attempts, 1 for most

	Stages Stages // zero: they are not known

	RequestBytes  int64
	ResponseBytes int64
}

// SpanSink sends spans on. Export must not block; false means that the span was dropped, which the sink counts
// itself. A sink that is an io.Closer is closed, and so flushed, with the Sinks that opened it.
type SpanSink interface {
	Export(Span) bool
}
