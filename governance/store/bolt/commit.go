package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"go.etcd.io/bbolt"

	"github.com/sluice-mesh/sluice/governance/store"
)

// Bounds of the commits that share one transaction of bbolt.
const (
	groupCount = 64
	groupBytes = 8 << 20
)

// request is a Commit that waits for the committer.
type request struct {
	change func(*batch) error // run inside the transaction; an error for which mine is true concerns this request alone
	size   int
	answer chan answer // with room for one
}

type answer struct {
	revision int64
	err      error
}

// batch is one transaction of bbolt while the committer fills it.
type batch struct {
	s       *Store
	tx      *bbolt.Tx
	n       numbers
	changed bool
}

// Commit makes the changes of t in one revision.
func (s *Store) Commit(ctx context.Context, t store.Txn) (int64, error) {
	if err := t.Check(); err != nil {
		return 0, fmt.Errorf("commit: %w", err)
	}
	size := 0
	for _, op := range t.Then {
		size += len(op.Key) + len(op.Value)
	}
	revision, err := s.do(ctx, size, func(b *batch) error { return b.commit(t) })
	if err != nil {
		return 0, fmt.Errorf("commit: %w", err)
	}
	return revision, nil
}

// Compact forgets what was before a revision.
func (s *Store) Compact(ctx context.Context, before int64) error {
	_, err := s.do(ctx, 0, func(b *batch) error {
		if before > b.n.revision+1 {
			return &refusal{fmt.Errorf("the store is at revision %d", b.n.revision)}
		}
		return b.trim(func() bool { return b.n.compacted < before-1 })
	})
	if err != nil {
		return fmt.Errorf("compact before revision %d: %w", before, err)
	}
	return nil
}

// do hands a change to the committer and waits until it is on disk.
func (s *Store) do(ctx context.Context, size int, change func(*batch) error) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if s.closed() {
		return 0, store.ErrClosed
	}
	r := &request{change: change, size: size, answer: make(chan answer, 1)}
	select {
	case s.queue <- r:
		a := <-r.answer // it is being made: what becomes of it is known soon, and ctx cannot undo it
		return a.revision, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-s.closing:
		return 0, store.ErrClosed
	}
}

// committer is the one goroutine that writes.
func (s *Store) committer() {
	var broken error
	for {
		var group []*request
		select {
		case r := <-s.queue:
			group = append(group, r)
		case <-s.closing:
			return
		}
		for size := group[0].size; len(group) < groupCount && size < groupBytes; {
			select {
			case r := <-s.queue:
				group, size = append(group, r), size+r.size
				continue
			default:
			}
			break
		}
		if broken == nil {
			broken = s.apply(group)
			continue
		}
		for _, r := range group {
			r.answer <- answer{err: store.Failed(fmt.Errorf("%s is not written any more, since a write failed: %w; start the centre again", s.path, broken))}
		}
	}
}

// errNothing makes bbolt roll back a transaction in which nothing changed, which saves two syncs.
var errNothing = errors.New("nothing changed")

// refusal is an error that is an answer to one request: the others of its group are not concerned.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }

// apply makes the changes of a group in one transaction and answers. It returns an error when the store must not be
// written any more.
func (s *Store) apply(group []*request) (broken error) {
	s.offices.mu.Lock() // guards hold, or not, until the commit is done
	defer s.offices.mu.Unlock()
	answers := make([]answer, len(group))
	err := guard(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			return s.fill(tx, group, answers)
		})
	})
	switch {
	case errors.Is(err, errNothing):
	case err != nil:
		if !harmless(err) {
			broken = err
		}
		for i := range answers {
			answers[i] = answer{err: store.Failed(fmt.Errorf("write %s: %w", s.path, err))}
		}
	default:
		s.wakeAll()
	}
	for i, r := range group {
		r.answer <- answers[i]
	}
	return broken
}

func (s *Store) fill(tx *bbolt.Tx, group []*request, answers []answer) error {
	n, err := readMeta(tx)
	if err != nil {
		return err
	}
	b := &batch{s: s, tx: tx, n: n}
	for i, r := range group {
		err := r.change(b)
		var no *refusal
		switch {
		case errors.As(err, &no):
			answers[i] = answer{err: no.error}
		case err != nil:
			return err
		default:
			answers[i] = answer{revision: b.n.revision}
		}
	}
	if !b.changed {
		return errNothing
	}
	err = b.trim(func() bool {
		return b.n.revision-b.n.compacted > s.opt.Keep || b.n.logBytes > s.opt.KeepBytes && b.n.compacted < b.n.revision-1
	})
	if err != nil {
		return err
	}
	return writeMeta(tx, b.n)
}

// harmless reports whether a failed transaction left the disk as it was: a write was refused for lack of room. A write
// error has the file's name, a failed sync has not; and after that nobody knows what is on the disk.
func harmless(err error) bool {
	var path *fs.PathError
	if !errors.As(err, &path) {
		return false
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// commit makes one Txn, or refuses it before anything is changed.
func (b *batch) commit(t store.Txn) error {
	for _, c := range t.If {
		have, err := b.revisionOf(c.Key)
		if err != nil {
			return err
		}
		if err := c.Holds(have); err != nil {
			return &refusal{err}
		}
	}
	revision := b.n.revision + 1
	changes := make([]store.Change, 0, len(t.Then))
	for _, op := range t.Then {
		c, ok, err := changeKey(b.tx, revision, op)
		if err != nil {
			return fmt.Errorf("change %s: %w", op.Key, err)
		}
		if ok {
			changes = append(changes, c)
		}
	}
	if len(changes) == 0 {
		return nil
	}
	rec := encodeChanges(revision, changes)
	if err := b.tx.Bucket(bucketLog).Put(revisionKey(revision), rec); err != nil {
		return err
	}
	b.n.revision, b.n.logBytes, b.changed = revision, b.n.logBytes+int64(len(rec)), true
	return nil
}

// revisionOf returns the revision of a key's last change, 0 when there is none. A leader's key is held in memory.
func (b *batch) revisionOf(key string) (int64, error) {
	if store.Internal(key) {
		return b.s.offices.term(key), nil
	}
	rec := b.tx.Bucket(bucketKeys).Get([]byte(key))
	if rec == nil {
		return 0, nil
	}
	e, err := decodeValue([]byte(key), rec)
	return e.Revision, err
}

// trim removes the first revision from the log while more says so.
func (b *batch) trim(more func() bool) error {
	log := b.tx.Bucket(bucketLog)
	for more() {
		key := revisionKey(b.n.compacted + 1)
		rec := log.Get(key)
		if rec == nil {
			return fmt.Errorf("%w: revision %d is not in the log", errDamaged, b.n.compacted+1)
		}
		b.n.logBytes -= int64(len(rec))
		if err := log.Delete(key); err != nil {
			return err
		}
		b.n.compacted++
		b.changed = true
	}
	return nil
}
