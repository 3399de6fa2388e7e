// Package rollout carries changes through the mesh in steps and stages: plans, which give commands on several resources in
// order, and releases, which bring a new version of a resource's document to some agents before the others. Both go on by
// themselves while their guards hold, and back by themselves when one does not.
//
// The API makes and steers them (AddPlan, RunPlan, Pause, Continue, Undo, AddRelease, ...) on any centre. The one that leads
// carries them out. Whoever serves agents asks with Version which version of a document an agent gets while a release runs.
//
//	AddPlan, RunPlan, Pause, ... ──> plans/ID, releases/ID ── watch ──> cache ──> Plans, Releases, Version, OnChange
//	                                   ^            ^                     │
//	            commands/ID, ended/... ┴─ one commit ┴──── advance <── leader: looks again when a record changes, at each
//	                                                        ^           poll, and when a time comes
//	                      agents' answers, series of calls ─┘
//
// # A step
//
// A step goes through the stages one by one. In each of them the agents of the stage and of all before it have the step's
// command; then all that are connected must answer; then it bakes, while guards compare the calls of these agents with those
// before the step, less what changed at the other agents meanwhile. What is moved by a share is the first agents in the order
// of a hash of their name and the plan's id: those of 5 % are among those of 50 %. A stage that brings no agent anything new
// is passed over, but the one of 100 % never is: it is also for agents that come later.
//
// When a guard is breached, an agent refuses, or one does not answer in time, all steps are taken back in the reverse order,
// each when the agents are through with the one before it.
//
// # Taking over
//
// All that is known of the progress is in the record, and each change of it is one commit under the leadership's guard and
// the record's revision. The command that a stage gives is written in the same commit as the record that says so, under an id
// made of plan, run, step and stage. So another centre goes on from the last commit: no command is given twice, no guard is
// passed that was not looked at, and one that was replaced without knowing it changes nothing. Times are in the record too;
// a wall clock that jumps makes a bake shorter or longer, and nothing else.
//
// # Invariants
//
//   - A step begins when all stages of the one before it are done.
//   - At most one command of a step is in force; a later stage replaces it at one revision.
//   - A release pins its resource from AddRelease until it ends: Version answers for every agent, at one revision.
//   - Guards that cannot be looked at, because the series are not to be read, make the rollout wait; they do not pass.
//
// # Locks and goroutines
//
// Rollouts.mu guards the cache and is held for moments; no call leaves the package while it is. Goroutines: two follow() watch
// the two kinds of records, tell() tells the subscribers, lead() does the work while this process leads. Close waits for all.
package rollout
