package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

// patience is how long the suite waits for what must happen soon.
const patience = 30 * time.Second

// Back is an implementation under test.
type Back struct {
	// Fresh makes a place without data and returns what opens a store on it, as often as it is called. The suite closes
	// what it opens.
	Fresh func(t *testing.T) func() (store.Store, error)
	// Shared says that a store may be opened again on the same data before the first is closed.
	Shared bool
}

// Run tests a back.
func Run(t *testing.T, b Back) {
	for _, c := range []struct {
		name string
		f    func(*lab)
	}{
		{"Get", testGet},
		{"List", testList},
		{"Commit", testCommit},
		{"CommitDeletes", testDelete},
		{"Conditions", testConditions},
		{"Bounds", testBounds},
		{"Internal", testInternal},
		{"ValuesAreCopies", testCopies},
		{"Reopen", testReopen},
		{"Close", testClose},
		{"Cancel", testCancel},
		{"Watch", testWatch},
		{"WatchFromAnyRevision", testWatchFrom},
		{"WatchPrefix", testWatchPrefix},
		{"WatchSlowly", testWatchSlow},
		{"WatchDuringCommits", testWatchDuring},
		{"WatchEnds", testWatchEnds},
		{"Compact", testCompact},
		{"CompactTombstone", testCompactTombstone},
		{"Counter", testCounter},
		{"ReadsAreFresh", testFresh},
		{"Transfers", testTransfers},
		{"Model", testModel},
		{"Lead", testLead},
		{"LeadGuard", testGuard},
		{"LeadQueue", testLeadQueue},
		{"LeadEndsWithContext", testLeadContext},
		{"LeadEndsWithClose", testLeadClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &lab{T: t, ctx: t.Context(), back: b, open: b.Fresh(t)}
			l.a = l.must(l.open())
			l.b = l.a
			if b.Shared {
				l.b = l.must(l.open())
			}
			c.f(l)
		})
	}
}

// lab is a test with a store: two handles on the same data, which are the same one where the back is not shared.
type lab struct {
	*testing.T
	ctx  context.Context
	back Back
	open func() (store.Store, error)
	a, b store.Store
}

func (l *lab) must(s store.Store, err error) store.Store {
	l.Helper()
	if err != nil {
		l.Fatalf("open: %v", err)
	}
	l.Cleanup(func() {
		if err := s.Close(); err != nil {
			l.Errorf("close: %v", err)
		}
	})
	return s
}

func put(key, value string) store.Op { return store.Op{Key: key, Value: []byte(value)} }

func del(key string) store.Op { return store.Op{Key: key, Delete: true} }

// commit makes changes without condition and returns their revision.
func (l *lab) commit(ops ...store.Op) int64 {
	l.Helper()
	rev, err := l.a.Commit(l.ctx, store.Txn{Then: ops})
	if err != nil {
		l.Fatalf("commit: %v", err)
	}
	return rev
}

// revision returns the store's.
func (l *lab) revision() int64 {
	l.Helper()
	_, rev, err := l.a.List(l.ctx, "none/")
	if err != nil {
		l.Fatalf("list: %v", err)
	}
	return rev
}

// get returns what a key holds, in a form to compare: "value@revision created".
func (l *lab) get(s store.Store, key string) string {
	l.Helper()
	e, err := s.Get(l.ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return "none"
	}
	if err != nil {
		l.Fatalf("get %s: %v", key, err)
	}
	return show(e)
}

func show(e store.Entry) string {
	return fmt.Sprintf("%s=%s@%d+%d", e.Key, e.Value, e.Revision, e.Created)
}

func shown(key, value string, revision, created int64) string {
	return show(store.Entry{Key: key, Value: []byte(value), Revision: revision, Created: created})
}

func (l *lab) equal(what string, got, want any) {
	l.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		l.Errorf("%s is\n  %s, want\n  %s", what, g, w)
	}
}

// isErr fails the test unless err is the wanted one, with a text that has all words.
func (l *lab) isErr(what string, err, want error) {
	l.Helper()
	if !errors.Is(err, want) {
		l.Errorf("%s: error is %v, want %v", what, err, want)
	}
}

// watching is a Watch that ends with the test.
type watching struct {
	l *lab
	store.Watch
	cancel context.CancelFunc
}

func (l *lab) watch(s store.Store, prefix string, after int64) *watching {
	ctx, cancel := context.WithCancel(l.ctx)
	l.Cleanup(cancel)
	return &watching{l, s.Watch(ctx, prefix, after), cancel}
}

// next returns the next batch and fails the test when there is none.
func (w *watching) next() store.Batch {
	w.l.Helper()
	select {
	case b, ok := <-w.C():
		if !ok {
			w.l.Fatalf("the watch ended: %v", w.Err())
		}
		return b
	case <-time.After(patience):
		w.l.Fatalf("the watch sent nothing for %v", patience)
	}
	return store.Batch{}
}

// expect compares the next batches, written as by text.
func (w *watching) expect(want ...string) {
	w.l.Helper()
	for _, s := range want {
		if got := text(w.next()); got != s {
			w.l.Fatalf("the watch sent\n  %s, want\n  %s", got, s)
		}
	}
}

// ends waits until the watch has ended and returns its error.
func (w *watching) ends() error {
	w.l.Helper()
	deadline := time.After(patience)
	for {
		select {
		case _, ok := <-w.C():
			if !ok {
				return w.Err()
			}
		case <-deadline:
			w.l.Fatalf("the watch did not end within %v", patience)
		}
	}
}

// text writes a batch in one line: "7: a=1+5 b=gone".
func text(b store.Batch) string {
	s := fmt.Sprintf("%d:", b.Revision)
	for _, c := range b.Changes {
		switch {
		case c.Revision != b.Revision:
			s += fmt.Sprintf(" %s HAS REVISION %d", c.Key, c.Revision)
		case c.Deleted && c.Value == nil && c.Created == 0:
			s += fmt.Sprintf(" %s=gone", c.Key)
		case c.Deleted || c.Value == nil:
			s += fmt.Sprintf(" %s=%q DELETED %v created %d", c.Key, c.Value, c.Deleted, c.Created)
		default:
			s += fmt.Sprintf(" %s=%s+%d", c.Key, c.Value, c.Created)
		}
	}
	return s
}
