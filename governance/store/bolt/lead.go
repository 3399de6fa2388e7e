package bolt

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/sluice-mesh/sluice/governance/store"
)

// offices is who leads. One process has the file, so it is kept in memory and ends with it; within the process each name
// has one leader at a time.
type offices struct {
	mu     sync.Mutex
	closed bool
	terms  int64                  // given out so far: a term is never given twice
	held   map[string]*leadership // by name
}

type leadership struct {
	s    *Store
	name string
	me   string
	term int64
	lost chan struct{}
	stop func() bool // ends the watch over the context; set under offices.mu
}

// Lead returns at once, unless somebody else in this process leads under that name.
func (s *Store) Lead(ctx context.Context, name, me string) (store.Leadership, error) {
	l, err := s.lead(ctx, name, me)
	if err != nil {
		return nil, fmt.Errorf("lead %s: %w", name, err)
	}
	return l, nil
}

func (s *Store) lead(ctx context.Context, name, me string) (*leadership, error) {
	if err := store.CheckName("the name of the leadership", name); err != nil {
		return nil, err
	}
	if err := store.CheckName("the leader", me); err != nil {
		return nil, err
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l, before, err := s.offices.take(ctx, s, name, me)
		if l != nil || err != nil {
			return l, err
		}
		select {
		case <-before.lost:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take makes me the leader, or returns who is.
func (o *offices) take(ctx context.Context, s *Store, name, me string) (l, before *leadership, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil, nil, store.ErrClosed
	}
	if h := o.held[name]; h != nil {
		return nil, h, nil
	}
	o.terms++
	l = &leadership{s: s, name: name, me: me, term: o.terms, lost: make(chan struct{})}
	o.held[name] = l
	l.stop = context.AfterFunc(ctx, l.end)
	return l, nil, nil
}

// term returns the term of a leader's key, 0 when nobody leads. The caller holds mu.
func (o *offices) term(key string) int64 {
	name, ok := strings.CutPrefix(key, store.LeaderPrefix)
	if l := o.held[name]; ok && l != nil {
		return l.term
	}
	return 0
}

// close ends all leaderships and lets nobody lead any more.
func (o *offices) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for _, h := range o.held {
		o.free(h)
	}
}

// free ends a leadership, if it has not ended. The caller holds mu.
func (o *offices) free(l *leadership) {
	if o.held[l.name] == l {
		delete(o.held, l.name)
		l.stop()
		close(l.lost)
	}
}

func (l *leadership) end() {
	l.s.offices.mu.Lock()
	defer l.s.offices.mu.Unlock()
	l.s.offices.free(l)
}

// Lost is closed when the leadership has ended, for whatever reason.
func (l *leadership) Lost() <-chan struct{} { return l.lost }

// Guard holds while the leadership does.
func (l *leadership) Guard() store.Cond {
	return store.Cond{Key: store.LeaderPrefix + l.name, Revision: l.term}
}

// Resign ends the leadership; the next one that waits gets it.
func (l *leadership) Resign(context.Context) error {
	l.end()
	return nil
}

// Leader returns who leads.
func (s *Store) Leader(ctx context.Context, name string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("leader of %s: %w", name, err)
	}
	s.offices.mu.Lock()
	defer s.offices.mu.Unlock()
	if s.offices.closed {
		return "", fmt.Errorf("leader of %s: %w", name, store.ErrClosed)
	}
	if h := s.offices.held[name]; h != nil {
		return h.me, nil
	}
	return "", nil
}
