package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/sluice-mesh/sluice/governance/store"
)

// Bounds of what a watch takes from the log in one transaction.
const (
	readRevisions = 1024 // looked at
	readBytes     = 4 << 20
)

// watchRoom is how many batches wait in the channel of a watch.
const watchRoom = 16

type watch struct {
	c   chan store.Batch
	err error // written before c is closed
}

func (w *watch) C() <-chan store.Batch { return w.c }

func (w *watch) Err() error {
	return w.err
}

// Watch sends what changes under a prefix after a revision.
func (s *Store) Watch(ctx context.Context, prefix string, after int64) store.Watch {
	w := &watch{c: make(chan store.Batch, watchRoom)}
	err := store.CheckPrefix(prefix)
	if err == nil && after < 0 {
		err = fmt.Errorf("revision %d is negative", after)
	}
	if err == nil {
		err = s.start(func() { s.follow(ctx, w, prefix, after) })
	}
	if err != nil {
		w.end(prefix, err)
	}
	return w
}

// start runs f in a goroutine that Close waits for.
func (s *Store) start(f func()) error {
	s.wakeMu.Lock() // Close waits for work only after it was added or refused
	defer s.wakeMu.Unlock()
	if s.closed() {
		return store.ErrClosed
	}
	s.work.Go(f)
	return nil
}

func (w *watch) end(prefix string, err error) {
	if err != nil {
		w.err = fmt.Errorf("watch %s*: %w", prefix, err)
	}
	close(w.c)
}

// follow is the goroutine of a watch.
func (s *Store) follow(ctx context.Context, w *watch, prefix string, cursor int64) {
	for {
		wake := s.awake() // before reading: what comes after the end that is read wakes it
		p, err := s.read(prefix, cursor)
		if err != nil || ctx.Err() != nil {
			if ctx.Err() != nil {
				err = nil
			}
			w.end(prefix, err)
			return
		}
		for _, b := range p.batches {
			select {
			case w.c <- b:
			case <-ctx.Done():
				w.end(prefix, nil)
				return
			case <-s.closing:
				w.end(prefix, store.ErrClosed)
				return
			}
		}
		cursor = p.cursor
		if p.more {
			continue
		}
		select {
		case <-wake:
		case <-ctx.Done():
			w.end(prefix, nil)
			return
		case <-s.closing:
			w.end(prefix, store.ErrClosed)
			return
		}
	}
}

// part is a part of the log.
type part struct {
	batches []store.Batch
	cursor  int64 // the last revision that was looked at
	more    bool
}

// read takes what follows a revision from the log, in copies.
func (s *Store) read(prefix string, after int64) (p part, err error) {
	p.cursor = after
	errStop := errors.New("enough")
	err = s.view(func(tx *bbolt.Tx) error {
		n, err := readMeta(tx)
		if err != nil {
			return err
		}
		if after < n.compacted {
			return fmt.Errorf("after revision %d: %w: the log begins after %d", after, store.ErrCompacted, n.compacted)
		}
		size, looked := 0, 0
		c := tx.Bucket(bucketLog).Cursor()
		for k, v := c.Seek(revisionKey(after + 1)); k != nil; k, v = c.Next() {
			if looked++; looked > readRevisions || size > readBytes {
				return errStop
			}
			revision, err := decodeRevision(k)
			if err != nil {
				return err
			}
			changes, err := matching(prefix, revision, v)
			if err != nil {
				return err
			}
			if len(changes) > 0 {
				p.batches = append(p.batches, store.Batch{Revision: revision, Changes: changes})
				size += len(v)
			}
			p.cursor = revision
		}
		return nil
	})
	if errors.Is(err, errStop) {
		p.more, err = true, nil
	}
	return p, err
}

// matching decodes the changes of a revision that are under a prefix.
func matching(prefix string, revision int64, rec []byte) (changes []store.Change, err error) {
	pre := []byte(prefix)
	err = decodeChanges(revision, rec, func(key []byte, deleted bool, created int64, value []byte) {
		if !bytes.HasPrefix(key, pre) {
			return
		}
		c := store.Change{Entry: store.Entry{Key: string(key), Revision: revision, Created: created}, Deleted: deleted}
		if !deleted {
			c.Value = append([]byte{}, value...) // not nil: it is there
		}
		changes = append(changes, c)
	})
	return changes, err
}

// awake returns a channel that is closed when the log grows.
func (s *Store) awake() <-chan struct{} {
	s.wakeMu.Lock()
	defer s.wakeMu.Unlock()
	return s.wake
}

func (s *Store) wakeAll() {
	s.wakeMu.Lock()
	defer s.wakeMu.Unlock()
	close(s.wake)
	s.wake = make(chan struct{})
}
