// Package etcd is the store of several centres: an etcd cluster, from version 3.4, that they all use and that holds what
// they must not lose.
//
// The centre's command opens it when etcd endpoints are configured; the centres then hold nothing themselves.
//
//	Get, List  -> linearizable reads, tried again while that can help
//	Commit     -> one transaction that compares the keys' revisions; sent once
//	Watch      -> its goroutine: etcd's watch -> queue, which looks for gaps -> channel; begun again where it broke off
//	Lead       -> a lease and a key with it; whose key is the oldest leads
//
// Keys are those of store.Store behind a prefix ("sluice/"), so several meshes, and others, may share a cluster:
//
//	sluice/resources/feed-cache      what the centre keeps
//	sluice/meta/cluster              the store's identity, made once
//	sluice/meta/tick                 put by every Commit; etcd counts its versions
//	sluice/leaders/NAME/LEASE        who leads and who waits to
//
// Revisions are etcd's, of the whole cluster: they grow with what others write too. Compact concerns the whole cluster as well,
// and so does etcd's own automatic compaction.
//
// # When etcd does not answer
//
// Every request has a deadline. A read that failed is sent again, to another member. A change is not: when its answer
// does not come, nobody knows whether it was made, and Commit says so with an error that is none of store's. A watch
// goes on after the last revision that it sent, at another member if need be, and says so in the log; it ends only if
// the store or its context does, if that revision is compacted meanwhile or what follows it cannot be had whole, or if
// etcd refuses it. A member that takes connections and does not answer is left after 13 s, a dead one at once.
//
// # Invariants
//
//   - A watch asks etcd for the last revision that it has, and drops that: etcd 3.4 forgets the end of a key at the very revision
//     that was compacted, and so what follows a revision is whole only if that revision itself is left.
//   - Etcd's client resumes a watch by itself when its stream breaks, and an old member may then leave a revision out
//     or send it late. So each Commit that changes something puts the tick, as its last operation: every commit is
//     seen by its tick, whose version is that of the commit before and one more. A watch reads the version at the
//     revision that it begins after (0 at revision 0), asks etcd for all keys of the store, and sends nothing until a
//     tick came with the version that is due.
//   - On a gap, or when something of a revision comes after a newer one or after its own tick, a watch leaves etcd's,
//     says so in the log, and begins again after what it sent. When it meets gaps gapAttempts times and gets no
//     further, it ends with store.ErrCompacted. That etcd keeps the order of operations within a revision is relied
//     on.
//   - What is missing at the end is noticed with the next commit. A key that was written by hand has no tick, and is
//     sent with the next commit; if more is written so than a watch holds, it ends with store.ErrCompacted. Leaders'
//     keys have no tick either, and are not sent.
//   - What a watch holds for a slow reader is bounded (queueBytes); beyond, it leaves etcd's watch and begins again later.
//   - A leadership ends when its lease is not renewed in time, when its key is gone, with its context, with Resign and
//     with Close; the last three revoke the lease, so that the next one need not wait for it.
//   - Close ends all goroutines and waits for them, revoking leases for at most revokeTimeout.
//
// # Locks
//
// Store.mu guards the start of goroutines against Close and is a leaf.
package etcd
