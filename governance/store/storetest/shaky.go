package storetest

import (
	"context"
	"errors"
	"sync"

	"github.com/sluice-mesh/sluice/governance/store"
)

// Shaky is a store whose watches can be broken, and whose commits can be held up, for tests of what lives on one.
type Shaky struct {
	store.Store

	mu      sync.Mutex
	watches []context.CancelFunc // guarded by mu: breaks them
	before  func(store.Txn)      // guarded by mu: called before each commit
}

// Watch implements store.Store.
func (s *Shaky) Watch(ctx context.Context, prefix string, after int64) store.Watch {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches = append(s.watches, cancel)
	return brokenWatch{s.Store.Watch(ctx, prefix, after), ctx}
}

// BreakWatches ends all watches that run, with an error.
func (s *Shaky) BreakWatches() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cancel := range s.watches {
		cancel()
	}
	s.watches = nil
}

type brokenWatch struct {
	store.Watch
	ctx context.Context
}

func (w brokenWatch) Err() error {
	if w.ctx.Err() != nil {
		return errors.New("the watch was broken")
	}
	return w.Watch.Err()
}

// Commit implements store.Store.
func (s *Shaky) Commit(ctx context.Context, t store.Txn) (int64, error) {
	s.mu.Lock()
	before := s.before
	s.mu.Unlock()
	if before != nil {
		before(t)
	}
	return s.Store.Commit(ctx, t)
}

// OnCommit has f called before each commit; nil: nothing.
func (s *Shaky) OnCommit(f func(store.Txn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}
