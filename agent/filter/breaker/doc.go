// Package breaker stops calling operations that fail or crawl, one circuit for each operation of a resource.
//
// # States
//
//	           failed or slow share reached, with min-calls in the window
//	closed ------------------------------------------------------------------> open
//	  ^                                                                     |    ^
//	  | three good calls in a row                   `open` has passed       v    | a bad one
//	  +-------------------------------------------------------------- half-open -+
//
// Closed, every call passes and is counted. Open, every call is refused with the fault "breaker". Half-open, real
// calls are let through one at a time, and the rest is still refused, so that a resource that comes back is not met
// by all its callers at once.
//
// # What counts
//
// A failure is an outcome that says that the resource could not be reached or did not answer in time
// (Outcome.Failure); an error that the upstream itself answered is an answer. Slow is what took longer than the
// breaker's slower-than; streams, which last as long as their clients like, are never slow. Calls that ended without
// having been sent for another reason (a refusal by a later filter, a client that left) do not count at all, and do
// not decide a half-open circuit.
//
// The share is looked at when a call fails or is slow; good calls cannot make it worse.
//
// # The window
//
// Time is cut into buckets of a power of two of nanoseconds, between an eighth and a sixteenth of the window; each
// bucket has three counters. A counter is one word that holds the number of its time slice beside the count, so that
// a bucket that comes round again is found to be old by the first call that uses it and starts from zero by the same
// compare-and-swap: there is nothing to rotate, no timer and no lock. A good call costs one atomic load when it
// begins and one atomic addition when it ends.
//
// # Rules
//
//   - Circuits are kept across compilations while the thresholds are the same; the mode may change, so a breaker that
//     observed can be enforced with what it has learnt.
//   - With mode observe nothing is refused: sluice_would_refuse_total{resource, filter, rule} counts, and the agent's
//     log says when a circuit opens and closes, as it does with enforce.
//   - sluice_breakers_open{resource} is the number of circuits that are not closed.
//   - A call that was let through as a trial and does not end (a blocking one) gives way to another trial after the
//     time `open`, at least a second.
package breaker
