package etcd

import (
	"errors"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-mesh/sluice/governance/store"
)

// unknownTick stands for the version of the tick's key where it is not known: the first that comes is taken.
const unknownTick = -1

// Why a queue takes no more.
var (
	// errGap: begun again from the last revision that is whole, etcd's watch may send what is missing.
	errGap = errors.New("etcd's watch left something out")
	// errUnticked: others than the centres wrote so much under the store's prefix that it cannot be held until the next commit.
	errUnticked = errors.New("more was written without a commit than a watch holds")
)

// queue is what was received from one watch of etcd's, on all keys of the store, and not sent.
//
// Events wait until the tick of their revision, or of a later one, says that no commit is missing; see the package's
// invariants.
type queue struct {
	keys   string // the store's prefix in etcd
	prefix string // of what is sent

	sent  place // up to which all was sent
	whole []wholeBatch
	bytes int // of whole

	last      place         // up to which all was received
	open      []store.Batch // received after last
	openBytes int

	begun int64 // etcd's watch begins with this revision, which was sent before
	seen  int64 // the newest revision that was received
}

// place is a revision, with the version that the tick's key has there.
type place struct{ revision, tick int64 }

// wholeBatch is a batch that may be sent, and where a watch goes on after it.
type wholeBatch struct {
	store.Batch
	last place
}

// newQueue is for a watch of etcd's that begins with the revision of after.
func newQueue(keys, prefix string, after place) queue {
	return queue{keys: keys, prefix: prefix, sent: after, last: after, begun: after.revision, seen: after.revision}
}

// add sorts events into batches by revision. It drops the revision that etcd's watch began with and what is before it.
// An error is errGap or errUnticked; what is left in whole may be sent nevertheless, and nothing may be added any more.
func (q *queue) add(events []*clientv3.Event) error {
	for _, ev := range events {
		revision := ev.Kv.ModRevision
		if revision <= q.begun {
			continue
		}
		if revision < q.seen || revision == q.last.revision {
			// It may belong to a batch that counts as whole.
			q.whole, q.bytes, q.last = nil, 0, q.sent
			return fmt.Errorf("%w: something of revision %d came after revision %d", errGap, revision, q.seen)
		}
		q.seen = revision
		if string(ev.Kv.Key) != q.keys+tickKey {
			q.hold(ev)
		} else if err := q.close(ev); err != nil {
			return err
		}
	}
	if q.openBytes > queueBytes {
		return fmt.Errorf("%w: %d bytes after revision %d", errUnticked, q.openBytes, q.last.revision)
	}
	return nil
}

// hold adds a change to the batch of its revision, which has no tick yet.
func (q *queue) hold(ev *clientv3.Event) {
	e := entry(q.keys, ev.Kv)
	if store.Internal(e.Key) || !strings.HasPrefix(e.Key, q.prefix) {
		return
	}
	c := store.Change{Entry: e, Deleted: ev.Type == clientv3.EventTypeDelete}
	if c.Deleted {
		c.Value = nil
	}
	if n := len(q.open); n > 0 && q.open[n-1].Revision == c.Revision {
		q.open[n-1].Changes = append(q.open[n-1].Changes, c)
	} else {
		q.open = append(q.open, store.Batch{Revision: c.Revision, Changes: []store.Change{c}})
	}
	q.openBytes += weight(c)
}

// close takes a tick. When none is missing before it, what is open is whole: the tick's own revision, and others without a
// tick, which are no commits.
func (q *queue) close(ev *clientv3.Event) error {
	now := place{ev.Kv.ModRevision, ev.Kv.Version}
	if ev.Type == clientv3.EventTypeDelete {
		now.tick = 0 // someone removed all keys by hand; the next version is 1
	} else if q.last.tick != unknownTick && now.tick != q.last.tick+1 {
		return fmt.Errorf("%w: commit %d, of revision %d, follows commit %d, of revision %d or before",
			errGap, now.tick, now.revision, q.last.tick, q.last.revision)
	}
	for _, b := range q.open {
		q.whole = append(q.whole, wholeBatch{Batch: b, last: place{b.Revision, q.last.tick}})
	}
	q.bytes += q.openBytes
	q.open, q.openBytes, q.last = nil, 0, now
	if n := len(q.whole); n > 0 {
		q.whole[n-1].last = now
	} else {
		q.sent = now
	}
	return nil
}

// pop is called when the first whole batch was sent.
func (q *queue) pop() {
	for _, c := range q.whole[0].Changes {
		q.bytes -= weight(c)
	}
	q.sent = q.whole[0].last
	q.whole[0] = wholeBatch{}
	q.whole = q.whole[1:]
}

// weight is about what a change takes in memory.
func weight(c store.Change) int { return len(c.Key) + len(c.Value) + 128 }
