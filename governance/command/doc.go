// Package command keeps the operators' commands of the whole mesh: switch, degrade, limit, fault, mock and drain, on one
// resource or on all that a selector names, for all agents or some.
//
// The API, the CLI and rollouts add and undo commands here; whoever serves agents asks with For which of them hold for a
// resource at an agent, and hears by OnChange when that may have changed.
//
//	Add, Undo ──> store commands/ID ── watch ──> snapshot ──> For(resource, agent)
//	                    │                           ^
//	                    │      the end of its time ─┘ (each centre, by its own monotonic clock)
//	                    └─> ended/...  undone by, expired, replaced: the last 1,000
//
// A command is expanded to resources when an agent is served, not when it is given: a resource that comes later is under it
// too. It is checked when it is given against every resource that it selects then; one that comes later and cannot take it (a
// switch to a group that it does not have) is left out, and Misfits says so.
//
// # Expiry
//
// A command ends at its time on every centre at once, in memory, by the monotonic clock from when it was first read: a wall
// clock that is moved makes no difference. Its record is moved to the history by the centre that leads, with the
// leadership's guard in the transaction. Agents end commands by themselves too, whatever becomes of the centres.
//
// # Invariants
//
//   - Every snapshot is the state of the store at one revision, less what is over by then. Revisions never fall.
//   - What was seen to end never comes back: an id is never used again, and one that is over stays so until its record is gone.
//   - The order is that of the revisions at which commands came, by id within one: the same on every centre.
//   - A limit that is only to observe is never among those that For returns.
//
// # Locks and goroutines
//
// Commands.mu guards what is put together from the watch; readers take no lock. Options.Resources is called without it. Three
// goroutines: a store.Follower reads the watch, keep() ends times and tells the subscribers, lead() moves records while this process
// leads. Close waits for all.
package command
