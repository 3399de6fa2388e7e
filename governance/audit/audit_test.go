package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/governance/store/bolt"
)

func opened(t *testing.T) (*Log, store.Store, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := bolt.Open(dir, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	note := filepath.Join(dir, "audit.head")
	return Wrap(s, Options{Center: "c1", File: note}), s, note
}

func put(key, value string) store.Txn {
	return store.Txn{Then: []store.Op{{Key: key, Value: []byte(value)}}}
}

func TestEntries(t *testing.T) {
	l, _, _ := opened(t)
	ctx := By(t.Context(), Actor{Who: "ann", What: "publish", Target: "feed-cache", Why: "tc is ready"})
	if _, err := l.Commit(ctx, put("resources/feed-cache", "a secret text")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Commit(t.Context(), put("commands/1", "x")); err != nil {
		t.Fatal(err)
	}
	got, err := l.Entries(t.Context(), 0, 10)
	if err != nil || len(got) != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if e := got[1]; e.N != 1 || e.Who != "ann" || e.What != "publish" || e.Target != "feed-cache" || e.Why != "tc is ready" || e.Center != "c1" {
		t.Errorf("got %+v", e)
	}
	if text, _ := json.Marshal(got); strings.Contains(string(text), "secret") {
		t.Errorf("the log holds a value: %s", text)
	}
	if e := got[0]; e.Who != "center" || e.Keys[0].Key != "commands/1" {
		t.Errorf("got %+v", e)
	}
	if page, err := l.Entries(t.Context(), 2, 10); err != nil || len(page) != 1 || page[0].N != 1 {
		t.Errorf("a page: %+v, %v", page, err)
	}
	if n, err := l.Verify(t.Context()); n != 2 || err != nil {
		t.Errorf("verified %d, %v", n, err)
	}
}

// What is refused leaves no entry, and its own conflict comes first.
func TestRefusedCommitsLeaveNoEntry(t *testing.T) {
	l, _, _ := opened(t)
	_, err := l.Commit(t.Context(), store.Txn{If: []store.Cond{{Key: "x", Revision: 7}}, Then: []store.Op{{Key: "x", Value: []byte("1")}}})
	var lost *store.ConflictError
	if !errors.As(err, &lost) || lost.Key != "x" {
		t.Fatalf("got %v", err)
	}
	for _, key := range []string{"audit/0000000000000001", "audit.head"} {
		if _, err := l.Commit(t.Context(), put(key, "forged")); err == nil {
			t.Errorf("%s can be written", key)
		}
	}
	if got, err := l.Entries(t.Context(), 0, 10); err != nil || len(got) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestConcurrentCommits(t *testing.T) {
	l, s, note := opened(t)
	other := Wrap(s, Options{Center: "c2", File: note + ".2"})
	var all sync.WaitGroup
	for i := range 8 {
		log := l
		if i%2 == 1 {
			log = other
		}
		all.Go(func() {
			for j := range 10 {
				if _, err := log.Commit(t.Context(), put(fmt.Sprintf("k/%d/%d", i, j), "x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, log := range []*Log{l, other} {
		if n, err := log.Verify(t.Context()); n != 80 || err != nil {
			t.Errorf("verified %d, %v", n, err)
		}
	}
}

// Whatever is done to the log behind our back is found.
func TestTampering(t *testing.T) {
	const count = 5
	at := func(n int) string { return name(uint64(n)) }
	edit := func(t *testing.T, s store.Store, n int, change func(*Entry)) {
		t.Helper()
		kv, err := s.Get(t.Context(), at(n))
		if err != nil {
			t.Fatal(err)
		}
		var e Entry
		json.Unmarshal(kv.Value, &e)
		change(&e)
		data, _ := json.Marshal(e)
		raw(t, s, store.Op{Key: at(n), Value: data})
	}
	for name, c := range map[string]struct {
		do func(t *testing.T, s store.Store)
		at uint64
	}{
		"edited":        {func(t *testing.T, s store.Store) { edit(t, s, 3, func(e *Entry) { e.Who = "bob" }) }, 3},
		"removed":       {func(t *testing.T, s store.Store) { raw(t, s, store.Op{Key: at(2), Delete: true}) }, 2},
		"garbage":       {func(t *testing.T, s store.Store) { raw(t, s, store.Op{Key: at(4), Value: []byte("{")}) }, 4},
		"end removed":   {func(t *testing.T, s store.Store) { raw(t, s, store.Op{Key: at(count), Delete: true}) }, count},
		"rewritten all": {rewrite, 3},
		"cut short": {func(t *testing.T, s store.Store) {
			kv, _ := s.Get(t.Context(), at(count-1))
			var e Entry
			json.Unmarshal(kv.Value, &e)
			h, _ := json.Marshal(head{e.N, e.Hash})
			raw(t, s, store.Op{Key: at(count), Delete: true}, store.Op{Key: headKey, Value: h})
		}, count},
	} {
		t.Run(name, func(t *testing.T) {
			l, s, _ := opened(t)
			for i := range count {
				if _, err := l.Commit(t.Context(), put(fmt.Sprint("k", i), "x")); err != nil {
					t.Fatal(err)
				}
			}
			c.do(t, s)
			_, err := l.Verify(t.Context())
			var broken *BrokenError
			if !errors.As(err, &broken) {
				t.Fatalf("not found: %v", err)
			}
			if name != "rewritten all" && broken.N != c.at {
				t.Errorf("found at %d, not %d: %v", broken.N, c.at, err)
			}
		})
	}
}

func raw(t *testing.T, s store.Store, ops ...store.Op) {
	t.Helper()
	if _, err := s.Commit(t.Context(), store.Txn{Then: ops}); err != nil {
		t.Fatal(err)
	}
}

// rewrite forges an entry and computes all hashes after it anew: only the note outside of the store gives it away.
func rewrite(t *testing.T, s store.Store) {
	entries, _, err := s.List(context.Background(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	before := ""
	var last Entry
	for i, kv := range entries {
		var e Entry
		json.Unmarshal(kv.Value, &e)
		if i == 2 {
			e.Who = "nobody"
		}
		e.Hash = e.chained(before)
		before, last = e.Hash, e
		data, _ := json.Marshal(e)
		raw(t, s, store.Op{Key: kv.Key, Value: data})
	}
	h, _ := json.Marshal(head{last.N, last.Hash})
	raw(t, s, store.Op{Key: headKey, Value: h})
}

func TestNoteCannotBeWritten(t *testing.T) {
	l, _, note := opened(t)
	if err := os.Mkdir(note, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Commit(t.Context(), put("k", "x")); err != nil {
		t.Errorf("a change fails for the note: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"n":1,"hash":"x"}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decode(1, data)
		if err == nil && e.N != 1 {
			t.Errorf("entry %d was taken for 1", e.N)
		}
	})
}
