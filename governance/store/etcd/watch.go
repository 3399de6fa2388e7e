package etcd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-mesh/sluice/governance/store"
)

// queueBytes is how much a watch holds for a reader that is slow. Beyond, it leaves etcd's watch, whose own queue has no bound,
// and begins again when the reader has caught up.
const queueBytes = 4 << 20

// Pauses before a watch, or a candidacy, is begun again.
const (
	firstPause = 50 * time.Millisecond
	mostPause  = 2 * time.Second
)

type watch struct {
	c   chan store.Batch
	err error // written before c is closed
}

func (w *watch) C() <-chan store.Batch { return w.c }

func (w *watch) Err() error { return w.err }

func (w *watch) end(prefix string, err error) {
	if err != nil {
		w.err = fmt.Errorf("watch %s*: %w", prefix, err)
	}
	close(w.c)
}

// Watch sends what changes under a prefix after a revision.
func (s *Store) Watch(ctx context.Context, prefix string, after int64) store.Watch {
	w := &watch{c: make(chan store.Batch, 16)}
	err := store.CheckPrefix(prefix)
	if err == nil && after < 0 {
		err = fmt.Errorf("revision %d is negative", after)
	}
	f := &follower{s: s, c: w.c, prefix: prefix, last: after}
	if err == nil {
		err = s.start(func() { w.end(prefix, f.run(ctx)) })
	}
	if err != nil {
		w.end(prefix, err)
	}
	return w
}

// follower is the goroutine of a watch.
type follower struct {
	s      *Store
	c      chan<- store.Batch
	prefix string
	last   int64 // revision that was sent, or that the watch begins after
}

// Why etcd's watch is begun again.
var (
	errBehind = errors.New("the reader is slow")
	errEnded  = errors.New("etcd's watch ended") // passing: as any error that is not from etcd
)

// run follows until ctx or the store ends, or it cannot go on.
func (f *follower) run(caller context.Context) error {
	ctx, cancel := context.WithCancel(caller)
	defer cancel()
	defer context.AfterFunc(f.s.life, cancel)()
	pause := firstPause
	for {
		before := f.last
		err := f.follow(ctx)
		if f.last > before {
			pause = firstPause
		}
		switch {
		case caller.Err() != nil:
			return nil
		case f.s.closed():
			return store.ErrClosed
		case errors.Is(err, errBehind):
			continue
		case errors.Is(err, rpctypes.ErrCompacted):
			return fmt.Errorf("after revision %d: %w: %w", f.last, store.ErrCompacted, err)
		case errors.Is(err, rpctypes.ErrPermissionDenied), strings.Contains(err.Error(), rpctypes.ErrPermissionDenied.Error()):
			return f.s.explain(err) // a watch is told so in a text
		}
		f.s.log.Warn("a watch on etcd broke off and begins again", "prefix", f.prefix, "after", f.last, "in", pause, "error", err)
		f.s.pause(ctx, pause/2+rand.N(pause/2))
		pause = min(2*pause, mostPause)
	}
}

// follow is one watch of etcd's. It returns when that has ended and what it sent is delivered.
func (f *follower) follow(ctx context.Context) (err error) {
	// With the leader required, a member that is cut off from the others ends the watch instead of staying silent.
	watching, leave := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer leave()
	// From the last revision and not from the next one: see the package's invariants.
	in := f.s.client.Watch(watching, f.s.prefix+f.prefix, clientv3.WithPrefix(), clientv3.WithRev(max(f.last, 1)))
	q := queue{last: f.last}
	for {
		var out chan<- store.Batch
		var head store.Batch
		if len(q.batches) > 0 {
			out, head = f.c, q.batches[0]
		} else if in == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case out <- head:
			f.last = head.Revision
			q.pop()
		case r, ok := <-in:
			switch {
			case !ok:
				err, in = errEnded, nil
			case r.Err() != nil:
				err, in = r.Err(), nil
			default:
				q.add(f.s, r.Events)
			}
			if q.bytes > queueBytes && in != nil {
				leave()
				err, in = errBehind, nil
			}
		}
	}
}

// queue is what was received and not sent.
type queue struct {
	batches []store.Batch
	bytes   int
	last    int64 // revision that was received
}

// add sorts events into batches by revision. It drops what it had before: the revision that etcd's watch began with, and
// what a member that lags behind may send again.
func (q *queue) add(s *Store, events []*clientv3.Event) {
	before := q.last
	for _, ev := range events {
		revision := ev.Kv.ModRevision
		if revision <= before {
			continue
		}
		c := store.Change{Deleted: ev.Type == clientv3.EventTypeDelete}
		if c.Entry = s.entry(ev.Kv); c.Deleted {
			c.Value = nil
		}
		if store.Internal(c.Key) {
			continue
		}
		if n := len(q.batches); n == 0 || revision > q.last {
			q.batches = append(q.batches, store.Batch{Revision: revision, Changes: []store.Change{c}})
		} else {
			q.batches[n-1].Changes = append(q.batches[n-1].Changes, c)
		}
		q.last = revision
		q.bytes += weight(c)
	}
}

func (q *queue) pop() {
	for _, c := range q.batches[0].Changes {
		q.bytes -= weight(c)
	}
	q.batches[0] = store.Batch{}
	q.batches = q.batches[1:]
}

// weight is about what a change takes in memory.
func weight(c store.Change) int { return len(c.Key) + len(c.Value) + 128 }
