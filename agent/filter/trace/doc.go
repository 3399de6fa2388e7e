// Package trace makes spans of sampled calls.
//
// A driver whose protocol carries a W3C traceparent (https://www.w3.org/TR/trace-context/) puts it into Call.Trace
// before Begin: the trace's id, the caller's span id (as SpanID or Parent) and the sampled flag. Such a call is
// traced when its caller's trace is sampled, and never otherwise. A call without a context starts a trace of its own
// at the rate of Policy.Trace.
//
//	Call.Trace at Begin          after OnCall
//	zero                         zero, or by the sample: new TraceID and SpanID, Sampled
//	TraceID, SpanID, Sampled     the same TraceID, Parent = the caller's span, new SpanID, Sampled
//	TraceID, not Sampled         as it was
//
// After OnCall the context is the call's own, ready to be sent on by drivers whose protocol can. OnDone hands the
// span to the collector's exporter, which never blocks and counts what it drops, and clears the context, so that a
// Call that is used again does not go on with the trace of the last one. Spans take their times from the Call, and say in
// attributes what its time went to (resources.Stages), up to where the call ended: what the writing of the answer then takes is
// seen by observers only. Ids
// come from math/rand/v2, whose generators belong to threads and take no lock.
package trace
