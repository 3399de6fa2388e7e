// Package control keeps what operators changed at run time: commands, resources that were put or deleted over HTTP, and what
// the governance centre said.
// It survives restarts, crashes and full disks, and takes commands back when their time is over. And it keeps notes of
// what the agent found out, such as the endpoints that discovery reported, for its next start.
//
// The agent opens one [Store] on its data folder. The HTTP interface adds and undoes; the agent asks for the commands
// of a resource each time OnChange names it, and compiles them into the resource.
//
// # On disk
//
//	data/commands.json      the newest generation        data/resources.json    likewise
//	data/commands.json.1    the one before it            data/resources.json.1
//	data/endpoints.json     notes, and endpoints.json.1
//	data/center.json        what the centre said, and center.json.1
//
// Each file is an envelope {format, revision, saved, checksum, payload}, mode 0600. A change is written in this order,
// so that a crash between any two steps leaves the old state or the new one, never neither:
//
//	write NAME.tmp, fsync, close        nothing is visible yet
//	link NAME to NAME.1 by way of a     the current generation is also the previous one
//	  second name and a rename
//	rename NAME.tmp to NAME             the change holds from here
//	fsync the folder                    and survives a loss of power
//
// A file that cannot be read or whose checksum is wrong is renamed to NAME.broken-TIME, and the generation before it is
// used. When both are broken the store starts empty. Either way it says so in the log and in [Store.Problems], and goes
// on: an agent that serves without a command is better than one that does not start.
//
// # Invariants
//
//   - Add, Undo, PutResource and DeleteResource persist before they return; when they return an error nothing changed,
//     neither in memory nor for the next start.
//   - A command ends at its time by the monotonic clock, whatever happens to the wall clock. Expiry holds in memory even
//     when it cannot be written; the next start drops what is past its time.
//   - The revision grows with every change, expiry included, and never repeats, even after a fallback.
//   - Secrets: the store writes the bytes it is given. Its caller refuses literal secrets (config.ParseResource does).
//
// # Notes
//
// [Notes] promise less than a [Store]: they are written in the background, at most once a second, and what cannot be
// written or read is a warning, because the agent can find it out again. They use the same files, and so survive the
// same crashes.
//
// # What the centre said
//
// [Center] holds the other half of what is in force: the resources and commands of the governance centre, with the revision
// they are of. It is given a state when the state is in force already, and a full disk does not change that: the state is
// written as soon as it can be, and [Center.Unkept] says so until then. Only states that the agent could use come here, so
// no literal secret is ever written. Saved says when a state was last known to be the centre's; a start without the centre
// is that stale. Its commands end by the centre's clock, which is kept with the state: see [Center].
//
// # Locks
//
// Store.writing serialises changes, file access included. Store.mu guards what readers see, is held only for moments,
// and is taken after writing. OnChange functions run with neither held, on the goroutine that made the change, or on
// the expiry goroutine; they may call the store. Close waits for that goroutine, so an OnChange function must not call
// Close. Notes.mu is held for moments only, never for the disk. Center.writing and Center.mu are as those of Store.
package control
