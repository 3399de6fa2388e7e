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

// gapAttempts is how often a watch meets a gap without getting further before it gives up.
const gapAttempts = 4

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
	f := &follower{s: s, c: w.c, prefix: prefix, last: place{after, unknownTick}}
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
	last   place // up to which all was sent, or that the watch begins after
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
	pause, gaps := firstPause, 0
	for {
		before := f.last.revision
		err := f.follow(ctx)
		if f.last.revision > before {
			pause, gaps = firstPause, 0
		}
		if errors.Is(err, errGap) {
			gaps++
		}
		switch {
		case caller.Err() != nil:
			return nil
		case f.s.closed():
			return store.ErrClosed
		case errors.Is(err, errBehind):
			continue
		case errors.Is(err, rpctypes.ErrCompacted):
			return fmt.Errorf("after revision %d: %w: %w", f.last.revision, store.ErrCompacted, err)
		case errors.Is(err, errUnticked), gaps == gapAttempts:
			f.s.log.Warn("a watch on etcd ends: what it should send cannot be had whole",
				"prefix", f.prefix, "after", f.last.revision, "error", err)
			return fmt.Errorf("after revision %d: %w: %w", f.last.revision, store.ErrCompacted, err)
		case errors.Is(err, rpctypes.ErrPermissionDenied), strings.Contains(err.Error(), rpctypes.ErrPermissionDenied.Error()):
			return f.s.explain(err) // a watch is told so in a text
		}
		f.s.log.Warn("a watch on etcd broke off and begins again",
			"prefix", f.prefix, "after", f.last.revision, "in", pause, "error", err)
		f.s.pause(ctx, pause/2+rand.N(pause/2))
		pause = min(2*pause, mostPause)
	}
}

// follow is one watch of etcd's. It returns when that has ended and what it sent is delivered.
func (f *follower) follow(ctx context.Context) (err error) {
	if f.last.tick == unknownTick {
		if f.last.tick, err = f.s.tickAt(ctx, f.last.revision); err != nil {
			return err
		}
	}
	// With the leader required, a member that is cut off from the others ends the watch instead of staying silent.
	watching, leave := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer leave()
	// From the last revision and not from the next one, and all of the store's keys: see the package's invariants.
	in := f.s.client.Watch(watching, f.s.prefix, clientv3.WithPrefix(), clientv3.WithRev(max(f.last.revision, 1)))
	q := newQueue(f.s.prefix, f.prefix, f.last)
	for {
		var out chan<- store.Batch
		var head store.Batch
		if len(q.whole) > 0 {
			out, head = f.c, q.whole[0].Batch
		} else if in == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case out <- head:
			q.pop()
		case r, ok := <-in:
			switch {
			case !ok:
				err, in = errEnded, nil
			case r.Err() != nil:
				err, in = r.Err(), nil
			default:
				if err = q.add(r.Events); err != nil {
					leave()
					in = nil
				}
			}
			if q.bytes > queueBytes && in != nil {
				leave()
				err, in = errBehind, nil
			}
		}
		f.last = q.sent
	}
}

// tickAt returns the version of the tick's key at a revision: how many commits were made until then.
func (s *Store) tickAt(ctx context.Context, revision int64) (int64, error) {
	if revision == 0 {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	r, err := s.client.Get(ctx, s.prefix+tickKey, clientv3.WithRev(revision), clientv3.WithKeysOnly())
	switch {
	case errors.Is(err, rpctypes.ErrFutureRev):
		return unknownTick, nil
	case err != nil:
		return unknownTick, err
	case len(r.Kvs) == 0:
		return 0, nil
	}
	return r.Kvs[0].Version, nil
}
