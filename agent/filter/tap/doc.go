// Package tap shows live calls to those who observe a resource: `sluice observe` and GET /v1/observe.
//
// The work is done by filter.Tap, which belongs to the resource and outlives compilations. While nobody observes, the
// filter costs one atomic load for a call that begins and one look at the call's slot when it ends. While somebody
// does,
//
//	OnCall   asks each observer's selector, and keeps the request's text and the times of its stages
//	         (resources.Stages) if one of them wants the call
//	OnDone   sends an Event to each of these observers without waiting, once the client's connection took the
//	         answer; what an observer is too slow to take is dropped and counted in
//	         sluice_dropped_total{what="observe"}
//
// An event allocates: its text is a string of its own, and so do the times. That is the price of being watched, paid
// only by calls that an observer selected.
package tap
