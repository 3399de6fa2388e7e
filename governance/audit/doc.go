// Package audit keeps the log of who changed what, so that it cannot be edited in silence.
//
// [Wrap] puts itself before the centre's store: each Commit that goes through it adds one entry to the log in the same
// transaction, so there is no change without an entry and no entry without its change. Who did it, and why, comes with the
// context ([By]); what was changed is read off the transaction itself.
//
//	entry N: hash = SHA-256(hash of entry N-1, the entry as JSON without its hash)
//
// Whoever changes, removes or inserts an entry breaks the chain at that place, and [Log.Verify] says where. Whoever can write to
// the store could compute all later hashes anew; so the newest hash is also kept outside of it, in a file of each centre, and
// written to the process's log. Verify compares them.
//
// # Keys
//
//	audit/0000000000000001   entries, numbered from 1
//	audit.head               number and hash of the newest one
//
// # Invariants
//
//   - Numbers have no gaps. Two centres that commit at once are put in order by the condition on audit.head.
//   - An entry holds names and hashes of values, never the values: secrets pass through here.
package audit
