package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync/atomic"

	"pgregory.net/rapid"

	"github.com/sluice-mesh/sluice/governance/store"
)

// model is what a store should hold under a prefix of its own, and how it came to that.
type model struct {
	*rapid.T
	l       *lab
	prefix  string
	keys    map[string]store.Entry
	history []store.Batch
	oldest  int64 // a watch may go back to it
	newest  int64
}

// Any sequence of commits, with and without conditions that hold, reads and compactions does what it does to a map; and a
// watch from any revision that is left sends what happened.
func testModel(l *lab) {
	var runs atomic.Int64
	rapid.Check(l.T, func(t *rapid.T) {
		m := &model{T: t, l: l, prefix: fmt.Sprintf("model-%d/", runs.Add(1)), keys: map[string]store.Entry{}, newest: l.revision()}
		m.oldest = m.newest
		t.Repeat(map[string]func(*rapid.T){
			"commit":  m.commit,
			"compact": m.compact,
			"get":     m.get,
			"":        m.check,
		})
		m.watch()
	})
}

func (m *model) key(t *rapid.T) string {
	return m.prefix + rapid.SampledFrom([]string{"a", "b", "c/1", "c/2", "c"}).Draw(t, "key")
}

func (m *model) handle(t *rapid.T) store.Store {
	return []store.Store{m.l.a, m.l.b}[rapid.IntRange(0, 1).Draw(t, "handle")]
}

func (m *model) commit(t *rapid.T) {
	txn := store.Txn{}
	var conflict *store.ConflictError
	for range rapid.IntRange(0, 2).Draw(t, "conditions") {
		c := store.Cond{Key: m.key(t)}
		have := m.keys[c.Key].Revision
		c.Revision = rapid.SampledFrom([]int64{have, have, have, 0, have + 1, m.newest}).Draw(t, "revision")
		if c.Revision != have && conflict == nil {
			conflict = &store.ConflictError{Key: c.Key, Want: c.Revision, Have: have}
		}
		txn.If = append(txn.If, c)
	}
	for _, key := range rapid.SliceOfNDistinct(rapid.Custom(m.key), 1, 3, rapid.ID[string]).Draw(t, "changes") {
		op := store.Op{Key: key, Delete: rapid.IntRange(0, 3).Draw(t, "delete") == 0}
		if !op.Delete {
			op.Value = rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "value")
		}
		txn.Then = append(txn.Then, op)
	}
	rev, err := m.handle(t).Commit(m.l.ctx, txn)
	if conflict != nil {
		var got *store.ConflictError
		if !errors.As(err, &got) || *got != *conflict {
			t.Fatalf("commit %v: revision %d, error %v, want %v", txn, rev, err, conflict)
		}
		return
	}
	if err != nil {
		t.Fatalf("commit %v: %v", txn, err)
	}
	m.apply(t, txn, rev)
}

func (m *model) apply(t *rapid.T, txn store.Txn, rev int64) {
	b := store.Batch{Revision: rev}
	for _, op := range txn.Then {
		old, there := m.keys[op.Key]
		c := store.Change{Entry: store.Entry{Key: op.Key, Revision: rev}, Deleted: op.Delete}
		switch {
		case op.Delete && !there:
			continue
		case op.Delete:
			delete(m.keys, op.Key)
		default:
			c.Value, c.Created = append([]byte{}, op.Value...), rev
			if there {
				c.Created = old.Created
			}
			m.keys[op.Key] = c.Entry
		}
		b.Changes = append(b.Changes, c)
	}
	if len(b.Changes) == 0 {
		return
	}
	if rev <= m.newest {
		t.Fatalf("revision %d follows %d", rev, m.newest)
	}
	m.newest = rev
	m.history = append(m.history, b)
}

func (m *model) compact(t *rapid.T) {
	before := rapid.Int64Range(m.oldest, m.newest+1).Draw(t, "before")
	if err := m.handle(t).Compact(m.l.ctx, before); err != nil {
		t.Fatalf("compact before %d: %v", before, err)
	}
	m.oldest = max(m.oldest, before-1)
}

func (m *model) get(t *rapid.T) {
	key := m.key(t)
	want, there := m.keys[key]
	e, err := m.handle(t).Get(m.l.ctx, key)
	switch {
	case !there && errors.Is(err, store.ErrNotFound):
	case err != nil || !there || show(e) != show(want):
		t.Fatalf("get %s: %s, error %v, want %s (there: %v)", key, show(e), err, show(want), there)
	}
}

// check compares lists with the model, after every step.
func (m *model) check(t *rapid.T) {
	prefix := m.prefix + rapid.SampledFrom([]string{"", "c", "c/", "x"}).Draw(t, "prefix")
	list, rev, err := m.handle(t).List(m.l.ctx, prefix)
	if err != nil || rev < m.newest {
		t.Fatalf("list %s: revision %d of %d, error %v", prefix, rev, m.newest, err)
	}
	var got, want []string
	for _, e := range list {
		got = append(got, show(e))
	}
	if !sort.SliceIsSorted(list, func(i, j int) bool { return list[i].Key < list[j].Key }) {
		t.Fatalf("list %s is not in order: %q", prefix, got)
	}
	for _, e := range m.keys {
		if strings.HasPrefix(e.Key, prefix) {
			want = append(want, show(e))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("list %s is\n  %q, want\n  %q", prefix, got, want)
	}
}

// watch compares the history with what watches from several revisions send.
func (m *model) watch() {
	after := rapid.Int64Range(m.oldest, m.newest).Draw(m.T, "after")
	w := m.l.watch(m.handle(m.T), m.prefix, after)
	defer w.cancel()
	for _, b := range m.history {
		if b.Revision <= after {
			continue
		}
		if got := text(w.next()); got != text(b) {
			m.Fatalf("a watch after revision %d sent\n  %q, want\n  %q", after, got, text(b))
		}
	}
	if m.oldest > 0 && len(m.history) > 0 && m.history[0].Revision < m.oldest {
		w := m.l.watch(m.l.a, m.prefix, m.history[0].Revision-1)
		defer w.cancel()
		if err := w.ends(); !errors.Is(err, store.ErrCompacted) {
			m.Fatalf("a watch from revision %d, before %d: %v", m.history[0].Revision, m.oldest, err)
		}
	}
}
