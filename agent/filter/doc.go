// Package filter is the frame of the filter chain: what a filter is given when it is compiled, how it is registered,
// and what filters share (lines of the access log, spans, live calls, notices).
//
// A filter is one policy: a folder below this one with a Definition that its init function registers. For each
// resource and each change of its spec, commands or operations the runtime compiles a chain:
//
//	Definitions (by Order) --Build(env, old)--> resources.Filter --> array in the resource's snapshot
//
// and the chain then sees every call twice, in order when it begins and in reverse when it ended:
//
//	accesslog 100  metrics 200  tap 250  trace 300  acl 400  ratelimit 500  switcher 600  mock 700  breaker 800
//	fault 900  own filters 950
//
//	OnCall -->  -->  -->  -->  -->  a Stop ends the call here: the filters that ran get their OnDone
//	OnDone <--  <--  <--  <--  <--
//
// So what watches comes first and sees what later filters refused, what refuses cheaply comes before what counts, and
// injected faults come last, where they look to the breaker like failures of the resource.
//
// # Rules for a filter
//
//   - OnCall and OnDone neither allocate, block, read a clock nor look up a map. Times are in the Call (Start, Now).
//     Whatever a call needs (selectors, faults, cells) is made by Build; a thing needed for the first time may be
//     made once and kept behind an atomic pointer.
//   - A Selector is asked in OnCall only, and Call.View is read there only.
//   - State of one call goes to a slot of Call.Scratch that Build took with [Env.TakeSlot]. It holds whatever the
//     last user left there until OnCall writes it.
//   - Build gets the filter that it replaces and keeps its state where the rule is still the same rule. It may return
//     the old filter itself if nothing changed, its slot included. It must not change the old filter, which serves
//     calls until the new snapshot is in place, or for good if another filter's Build fails.
//   - A replaced filter's Close is called when no new call will reach it; calls that began under it still end with
//     its OnDone, before or after Close.
//   - A Stop and its Fault are built by Build and never changed. The text of a fault names what happened and which
//     rule did it (see [By]).
//
// Package filter/conformance checks these rules for any Definition; package filter/example shows a filter of one's
// own.
//
// # Goroutines and locks
//
// [Sinks] owns every goroutine here: one for each file of the access log and one for notices. Calls reach them
// through bounded rings and channels that drop when they are full. Sinks.mu guards the tables of open sinks and is
// taken only by Build, Close and the operator's Reopen; Tap.mu only by subscribers and Build. Neither is held while
// the other is taken.
package filter
