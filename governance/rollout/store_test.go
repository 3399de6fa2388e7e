package rollout

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-mesh/sluice/governance/store"
)

// memory is a store in memory, for tests in a bubble of their own time.
type memory struct {
	mu      sync.Mutex
	entries map[string]store.Entry
	log     []store.Batch
	more    chan struct{}
	term    int64 // of who leads; 0: nobody
	terms   int64
	free    chan struct{}
}

func newMemory() *memory {
	return &memory{entries: make(map[string]store.Entry), more: make(chan struct{}), free: make(chan struct{})}
}

func (m *memory) Cluster() string                      { return "test" }
func (m *memory) Compact(context.Context, int64) error { return nil }
func (m *memory) Close() error                         { return nil }
func (m *memory) Leader(context.Context, string) (string, error) {
	return "", nil
}

func (m *memory) Get(_ context.Context, key string) (store.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[key]
	if !ok {
		return store.Entry{}, store.ErrNotFound
	}
	return e, nil
}

func (m *memory) List(_ context.Context, prefix string) ([]store.Entry, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []store.Entry
	for key, e := range m.entries {
		if strings.HasPrefix(key, prefix) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b store.Entry) int { return strings.Compare(a.Key, b.Key) })
	return out, int64(len(m.log)), nil
}

func (m *memory) Commit(_ context.Context, t store.Txn) (int64, error) {
	if err := t.Check(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range t.If {
		have := m.entries[c.Key].Revision
		if strings.HasPrefix(c.Key, store.LeaderPrefix) {
			have = m.term
		}
		if have != c.Revision {
			return 0, &store.ConflictError{Key: c.Key, Want: c.Revision, Have: have}
		}
	}
	b := store.Batch{Revision: int64(len(m.log)) + 1}
	for _, op := range t.Then {
		e := store.Entry{Key: op.Key, Value: op.Value, Revision: b.Revision}
		if op.Delete {
			delete(m.entries, op.Key)
		} else {
			m.entries[op.Key] = e
		}
		b.Changes = append(b.Changes, store.Change{Entry: e, Deleted: op.Delete})
	}
	m.log = append(m.log, b)
	close(m.more)
	m.more = make(chan struct{})
	return b.Revision, nil
}

type memoryWatch chan store.Batch

func (w memoryWatch) C() <-chan store.Batch { return w }
func (w memoryWatch) Err() error            { return nil }

func (m *memory) Watch(ctx context.Context, prefix string, after int64) store.Watch {
	w := make(memoryWatch)
	go func() {
		defer close(w)
		for {
			m.mu.Lock()
			news, more := m.log[min(after, int64(len(m.log))):], m.more
			m.mu.Unlock()
			for _, b := range news {
				after = b.Revision
				one := store.Batch{Revision: b.Revision}
				for _, c := range b.Changes {
					if strings.HasPrefix(c.Key, prefix) {
						one.Changes = append(one.Changes, c)
					}
				}
				if len(one.Changes) == 0 {
					continue
				}
				select {
				case w <- one:
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-more:
			case <-ctx.Done():
				return
			}
		}
	}()
	return w
}

type memoryLead struct {
	m    *memory
	term int64
	lost chan struct{}
	once sync.Once
}

func (m *memory) Lead(ctx context.Context, _, _ string) (store.Leadership, error) {
	for {
		m.mu.Lock()
		if m.term == 0 {
			m.terms++
			m.term = m.terms
			l := &memoryLead{m: m, term: m.term, lost: make(chan struct{})}
			m.mu.Unlock()
			return l, nil
		}
		free := m.free
		m.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (l *memoryLead) Lost() <-chan struct{} { return l.lost }
func (l *memoryLead) Guard() store.Cond {
	return store.Cond{Key: store.LeaderPrefix + "rollouts", Revision: l.term}
}

func (l *memoryLead) Resign(context.Context) error {
	l.once.Do(func() {
		l.m.mu.Lock()
		defer l.m.mu.Unlock()
		l.m.term = 0
		close(l.lost)
		close(l.m.free)
		l.m.free = make(chan struct{})
	})
	return nil
}

var errKilled = errors.New("the connection is gone")

// mortal is a store that dies at a commit of a leader: before it, or after it without saying so. Then nothing works any more.
type mortal struct {
	store.Store
	mu       sync.Mutex
	left     int // commits until then
	after    bool
	immortal bool
	dead     chan struct{}
}

func (s *mortal) gone() bool {
	select {
	case <-s.dead:
		return true
	default:
		return false
	}
}

func (s *mortal) Commit(ctx context.Context, t store.Txn) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone() {
		return 0, errKilled
	}
	if guarded := slices.ContainsFunc(t.If, func(c store.Cond) bool { return strings.HasPrefix(c.Key, store.LeaderPrefix) }); guarded {
		s.left--
	}
	if s.left == 0 && !s.immortal {
		close(s.dead)
		if s.after {
			s.Store.Commit(ctx, t)
		}
		return 0, errKilled
	}
	return s.Store.Commit(ctx, t)
}

func (s *mortal) Get(ctx context.Context, key string) (store.Entry, error) {
	if s.gone() {
		return store.Entry{}, errKilled
	}
	return s.Store.Get(ctx, key)
}
