package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/sluice-mesh/sluice/governance/store"
)

// Options are settings of a store; the zero value is good.
type Options struct {
	// Keep is how many revisions a watch may go back at most; default 10,000.
	Keep int64
	// KeepBytes is how big the log of them may get, whatever Keep says; default 64 MiB. The last revision is kept in any case.
	KeepBytes int64
}

// Store is a store.Store in one file.
type Store struct {
	opt     Options
	path    string
	cluster string
	db      *bbolt.DB

	queue   chan *request // to the committer
	closing chan struct{} // closed by Close
	work    sync.WaitGroup

	offices offices

	wakeMu sync.Mutex
	wake   chan struct{} // closed and replaced when the log grows or is compacted

	closeOnce sync.Once
	closeErr  error
}

var _ store.Store = (*Store)(nil)

// Open opens the store in a folder; it makes both if they do not exist (0700, the file 0600). The file is read as a whole, to
// find damage before it does harm.
func Open(dir string, o Options) (*Store, error) {
	if o.Keep <= 0 {
		o.Keep = 10_000
	}
	if o.KeepBytes <= 0 {
		o.KeepBytes = 64 << 20
	}
	db, err := openFile(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{opt: o, path: db.Path(), db: db, queue: make(chan *request), closing: make(chan struct{}), wake: make(chan struct{})}
	s.offices.held = map[string]*leadership{}
	err = s.view(func(tx *bbolt.Tx) error {
		s.cluster = string(tx.Bucket(bucketMeta).Get(metaCluster))
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.work.Go(s.committer)
	return s, nil
}

// Cluster returns the identity that the file was given when it was made.
func (s *Store) Cluster() string { return s.cluster }

// Close ends watches and leaderships, waits for the commit that is being made, and closes the file.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.offices.close()
		s.wakeMu.Lock()
		close(s.closing) // nobody adds to work from here on
		s.wakeMu.Unlock()
		s.work.Wait()
		if err := s.db.Close(); err != nil {
			s.closeErr = fmt.Errorf("close %s: %w", s.path, err)
		}
	})
	return s.closeErr
}

func (s *Store) closed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// view runs f in a transaction that reads.
func (s *Store) view(f func(*bbolt.Tx) error) error {
	if s.closed() {
		return store.ErrClosed
	}
	err := guard(func() error { return s.db.View(f) })
	switch {
	case errors.Is(err, berrors.ErrDatabaseNotOpen):
		return store.ErrClosed
	case errors.Is(err, errDamaged):
		return store.Failed(fmt.Errorf("%s: %w", s.path, err))
	}
	return err
}

// Get returns one key.
func (s *Store) Get(ctx context.Context, key string) (store.Entry, error) {
	e, err := s.get(ctx, key)
	if err != nil {
		return e, fmt.Errorf("get %s: %w", key, err)
	}
	return e, nil
}

func (s *Store) get(ctx context.Context, key string) (e store.Entry, err error) {
	if err := store.CheckKey(key); err != nil {
		return e, err
	}
	if err := ctx.Err(); err != nil {
		return e, err
	}
	err = s.view(func(tx *bbolt.Tx) error {
		k := []byte(key)
		rec := tx.Bucket(bucketKeys).Get(k)
		if rec == nil {
			return store.ErrNotFound
		}
		e, err = decodeValue(k, rec)
		e.Value = append([]byte{}, e.Value...)
		return err
	})
	return e, err
}

// List returns the keys with a prefix.
func (s *Store) List(ctx context.Context, prefix string) ([]store.Entry, int64, error) {
	list, revision, err := s.list(ctx, prefix)
	if err != nil {
		return nil, 0, fmt.Errorf("list %s*: %w", prefix, err)
	}
	return list, revision, nil
}

func (s *Store) list(ctx context.Context, prefix string) (list []store.Entry, revision int64, err error) {
	if err := store.CheckPrefix(prefix); err != nil {
		return nil, 0, err
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	err = s.view(func(tx *bbolt.Tx) error {
		n, err := readMeta(tx)
		if err != nil {
			return err
		}
		revision = n.revision
		p := []byte(prefix)
		c := tx.Bucket(bucketKeys).Cursor()
		for k, v := c.Seek(p); k != nil && bytes.HasPrefix(k, p); k, v = c.Next() {
			e, err := decodeValue(k, v)
			if err != nil {
				return err
			}
			e.Value = append([]byte{}, e.Value...)
			list = append(list, e)
		}
		return nil
	})
	return slices.Clip(list), revision, err
}
