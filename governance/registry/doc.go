// Package registry knows every resource of the mesh: what operators wrote, and which endpoints agents export.
//
// The API writes here (Put, Patch, AddEndpoint, Revert, ...), the links of agents report here (Export, Gone), and whoever
// serves agents reads here (Effective, OnChange). Rollouts and commands ask for Outlines.
//
//	operators ── Put, Patch ──> store ── watch ──> documents ─┐
//	                                                          ├── merge ──> Effective(name): bytes, hash ──> OnChange
//	agents ───── Export, Gone ──> slots, grace, protection ───┘
//
// # Documents
//
// A document is the text that an operator wrote, YAML or JSON, kept as it was written. Each change is a new version with an
// author; the last 100 of each document stay, a deletion is a version too, and any of them can be brought back. Changes are
// made by transactions on the document's key, so of two operators at once one gets store.ErrConflict. All centres on one
// store see the same documents in the same order, because each of them serves only what its watch has brought, its own
// changes included; a change waits for the watch before it returns.
//
//	resources/NAME             the newest version; a deleted document leaves a mark, so that numbers go on
//	versions/NAME/00000007     version 7
//	drafts/NAME                a text that is not published; it need not be valid
//
// A document may leave out `listen`, which the agents give, and the endpoints of its groups, which the agents export.
//
// # Exports
//
// What agents export is only in memory: it comes again with their links, and from other centres on the store by package
// members. A centre that starts knows nothing for a while;
// Complete says when every agent has had the time to report. An endpoint leaves when its agent withdraws it, calls it down,
// or is gone for the time of grace. Protection holds endpoints that would leave with too many others: within the window no
// more than the given share of those that a group had at its beginning, and of all that it had during it. What is held stays
// in the spec, and is listed, until it comes back or an operator lets it go.
//
// # Invariants
//
//   - Effective never becomes empty by itself: when nothing could be called any more, the last good spec stays, which a
//     registry that did not see it in force finds among the versions once it is complete. Only a
//     deletion by an operator, or of the last endpoint that he let go, takes a resource away.
//   - What an agent exports cannot make a resource's spec invalid: each service is checked by the rules of the config
//     first, and left out with its reason if it is refused.
//   - The bytes of an effective spec are made once for each change and shared; they and all Docs are never changed.
//   - Texts hold references to secrets, never secrets.
//
// # Locks and goroutines
//
// Registry.mu guards what is put together; readers of documents and specs take no lock. No call leaves this package while mu
// is held, but to the logger. a store.Follower applies what the watch brings, keep() has the clock: it ends times of grace, rebuilds
// what exports changed (at most every 20 ms) and tells the subscribers. Close waits for both.
package registry
