// Package bolt is the store of a single centre: one bbolt file, DIR/center.db.
//
// The centre's command opens it when no etcd cluster is configured. Nothing else may have the file open: a second process
// gets an error within a second.
//
//	Commit -> queue -> committer (one goroutine) -> one bbolt transaction, one fsync -> answers -> wake the watches
//	                                                keys: KEY -> revision, created, value
//	                                                log:  REVISION -> the changes, with values
//	                                                meta: cluster, revision, compacted, ...
//	Watch  -> its goroutine: read the log after its cursor; at the end, wait until woken
//
// Commits that wait at the same time share one bbolt transaction and its fsync, and still have a revision each, in
// which each sees what those before it did.
//
// A watch reads the log and nothing else, so there is no seam between the past and the present at which a change could
// get lost or be seen twice, and one that is slow costs nobody anything: it goes on from its cursor, until compaction overtakes
// it and it ends with store.ErrCompacted. The log keeps the last Options.Keep revisions, and fewer when they are big.
//
// # What is on disk
//
// bbolt writes pages beside those in use and then one of two meta pages in turn, each with a checksum: a process that is
// killed leaves the state before or after a commit. Pages have no checksums, so each record has one. Open reads all of the file: one
// that was cut short, or damaged, is an error that names it and not a crash days later. A new file is filled beside its
// place and linked into it, so that there is never one that is half made.
//
// A write that the disk refuses (it is full) changes nothing, and the next commit may succeed. A sync that fails, or a file found damaged
// while in use, ends all writing until the process starts again, because then nobody knows what the disk holds.
//
// # Invariants
//
//   - meta/revision is the greatest key of log, unless the log is empty; all revisions after meta/compacted are in the log.
//   - Commit returns a revision after fsync. Its caller can leave, by ctx, only until the committer has taken the Txn: a
//     context's error means that nothing changed.
//   - No bbolt transaction is open while anybody is waited for: a reader that stays keeps pages from being used again.
//   - Close ends the committer and every watch, and waits for them.
//
// # Locks
//
// Store.offices.mu is held during a commit, so that a guard that held when it was looked at holds until the commit is
// done. It comes before bbolt's own locks. Store.wakeMu is a leaf.
package bolt
