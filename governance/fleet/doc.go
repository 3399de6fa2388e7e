// Package fleet is the centre's side of the agents' links: who is there, what each should run, and what each said of it. It also
// holds what other centres tell of the agents that are linked to them, and answers for all.
//
// The centre's HTTP server authenticates an agent by its certificate, answers 101 and hands the connection to
// [Fleet.Serve], which returns when the link ends. What an agent should run comes from a [Source]; when it changes,
// [Fleet.Changed] is called, at the commit. Everything else reads: [Fleet.Agents], [Fleet.Applied], [Fleet.States],
// [Fleet.Propagation], and [Fleet.Ask], which puts a question to an agent.
//
//	Changed(names)                        Serve(conn)
//	     | 5 ms without another, 100 ms at most | Hello; admission; one link for each name
//	     v                                      v
//	dispatcher: which agents want      +--- entry: what the agent has, by name and hash ---+
//	or own one of the names? ----------| names to look at again        Result, State       |
//	                                   +------|--------------------------------^-----------+
//	                                          v                                |
//	                              writer: asks Source, sends          reader: frames of
//	                              what differs, once an answer        the agent, each within
//	                              to the last Update came             three heartbeats
//
// # State, not a queue
//
// A change leaves a name behind at each agent that it concerns, nothing more. The link's writer computes what differs from
// what was sent at the moment it can send. So a storm, an agent that is slow to answer and one that does not read cost no
// memory, and what they get in the end is the newest state. While an Update is unanswered the next one waits, for at most
// Options.Patience: an order of an operator must reach an agent that hangs in applying something else.
//
// # Resuming
//
// Hello.Have says at which revision the agent is. In this order:
//
//  1. This process knows what the agent was sent and which of it was answered, from an earlier link (kept for Options.Keep):
//     it gets exactly what differs, and again what it did not answer.
//  2. The agent was served by another centre, and no name that concerns it changed since: it gets its commands again, which
//     is harmless, and no resource.
//  3. Else it gets all, as a Full update. A delta would not do: a command that was undone meanwhile is known to nobody here,
//     and only a Full update ends it.
//
// A centre that has just started may not know everything (see Doubter). An agent that runs something of which it is not certain
// that it is gone gets no Full update before it is.
//
// The first Update is sent even when it is empty: it tells the agent that it is current. Against what slips through all
// that, a State is compared with what was sent: a resource that is missing or differs is sent once more.
//
// # Agents of other centres
//
// Package peers carries a [Record] of each agent that changed from one centre to the next: [Fleet.Follow] says whose, [Fleet.Tell] takes
// it. What is told of an agent is a mirror, which never changes, as entry is what is known of one that is linked here; both are a
// known. Of several tellings of one name the newest counts (see standing): one with a link before one without, a later process
// before an earlier one, and of one process the later link, since the earlier one only has not noticed yet. When a centre is gone
// its mirrors stay as those of no centre, not connected, and are told on, until the agent is somewhere or Options.Keep is over.
// Whether an agent runs what it should is worked out where it is asked, from the hashes that it applied, so that no two centres
// need to be at the same revision.
//
// # Invariants
//
//   - One link for each name at a centre. A second process of the name replaces the first if it started later; the same process always
//     replaces its own earlier link.
//   - Identical Updates are encoded once and their bytes shared (see frames); the bytes of a spec are the Source's own, unchanged.
//   - Nothing that one agent does waits for another: each link has its reader, its writer, and deadlines for both.
//   - What an agent may make the centre keep is bounded: see the constants in bounds.go.
//   - OnGone, OnExport and OnState of one name never run at the same time, and OnGone of a link comes after its OnExport.
//
// # Locks
//
// Fleet.mu before entry.mu before link.mu, and Fleet.following last. entry.calls is taken before all of them, around callbacks. Source is called with
// entry.mu held: it must not call the fleet. The callbacks may.
package fleet
