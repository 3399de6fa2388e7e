package audit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

const (
	prefix  = "audit/"
	headKey = "audit.head"
	// tries is how often a commit that lost the race for the next number is tried again. Each loss means that somebody else
	// won, so it takes a crowd to lose all of them.
	tries = 50
)

// Actor is who makes a change, and what it is about in words.
type Actor struct {
	Who    string // a user, a token, or the centre itself
	What   string // "switch", "publish", "log in"
	Target string // what it is about: a resource, a command
	Why    string
}

type actorKey struct{}

// By returns a context whose commits are logged as the actor's.
func By(ctx context.Context, a Actor) context.Context { return context.WithValue(ctx, actorKey{}, a) }

// Of returns the actor of a context; one that names nobody is the centre's own work.
func Of(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a
}

// Entry is one line of the log.
type Entry struct {
	N      uint64    `json:"n"`
	At     time.Time `json:"at"`
	Center string    `json:"center"` // which one wrote it
	Who    string    `json:"who"`
	What   string    `json:"what"`
	Target string    `json:"target,omitempty"`
	Why    string    `json:"why,omitempty"`
	Keys   []Key     `json:"keys,omitempty"`
	Hash   string    `json:"hash,omitempty"` // of this entry and the one before
}

// Key is one changed key of an entry.
type Key struct {
	Key    string `json:"key"`
	Before int64  `json:"before,omitempty"` // revision that the change was conditional on
	Value  string `json:"value"`            // first half of the value's SHA-256; "deleted"
}

type head struct {
	N    uint64 `json:"n"`
	Hash string `json:"hash"`
}

// Options say where and how the log is kept.
type Options struct {
	Center string // name of this process
	File   string // keeps the newest number and hash outside of the store; "": nowhere
	Log    *slog.Logger
	Now    func() time.Time
}

// Log is the store with its log. It is a [store.Store].
type Log struct {
	store.Store
	o Options

	mu     sync.Mutex
	newest head  // noted in the file; guarded by mu
	failed error // of the last attempt to note it; guarded by mu
}

// Wrap returns the store with its log. An outside note (Options.File) that the log does not agree with is reported by Verify, not
// here: the centre must start.
func Wrap(s store.Store, o Options) *Log {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Log{Store: s, o: o}
}

// Commit implements store.Store, with one more entry in the log.
func (l *Log) Commit(ctx context.Context, t store.Txn) (int64, error) {
	if len(t.Then) == 0 {
		return l.Store.Commit(ctx, t)
	}
	for _, op := range t.Then {
		if op.Key == headKey || strings.HasPrefix(op.Key, prefix) {
			return 0, fmt.Errorf("%s belongs to the audit log: it is written with the changes that it tells of", op.Key)
		}
	}
	for range tries {
		at, last, err := l.head(ctx)
		if err != nil {
			return 0, err
		}
		e := l.entry(ctx, t, last)
		value, err := json.Marshal(e)
		if err != nil {
			return 0, fmt.Errorf("audit: %w", err)
		}
		next, _ := json.Marshal(head{e.N, e.Hash}) // two plain fields
		with := store.Txn{
			If:   append(slices.Clone(t.If), store.Cond{Key: headKey, Revision: at}),
			Then: append(slices.Clone(t.Then), store.Op{Key: name(e.N), Value: value}, store.Op{Key: headKey, Value: next}),
		}
		rev, err := l.Store.Commit(ctx, with)
		var lost *store.ConflictError
		if errors.As(err, &lost) && lost.Key == headKey {
			continue
		}
		if err == nil {
			l.note(head{e.N, e.Hash})
		}
		return rev, err
	}
	return 0, fmt.Errorf("audit: %d times in a row somebody else was first: %w", tries, store.ErrConflict)
}

func name(n uint64) string { return fmt.Sprintf("%s%016d", prefix, n) }

// head returns the newest number and hash, and the revision of the key that holds them.
func (l *Log) head(ctx context.Context) (int64, head, error) {
	e, err := l.Store.Get(ctx, headKey)
	if errors.Is(err, store.ErrNotFound) {
		return 0, head{}, nil
	}
	if err != nil {
		return 0, head{}, fmt.Errorf("audit: %w", err)
	}
	var h head
	if err := json.Unmarshal(e.Value, &h); err != nil {
		return 0, head{}, store.Failed(fmt.Errorf("audit: %s cannot be read, and nothing can be changed until it is restored: %w", headKey, err))
	}
	return e.Revision, h, nil
}

func (l *Log) entry(ctx context.Context, t store.Txn, last head) Entry {
	a := Of(ctx)
	e := Entry{N: last.N + 1, At: l.o.Now().UTC().Round(time.Millisecond), Center: l.o.Center, Who: cmp.Or(a.Who, "center"),
		What: cmp.Or(a.What, "change"), Target: a.Target, Why: a.Why}
	for _, op := range t.Then {
		k := Key{Key: op.Key, Value: "deleted"}
		if !op.Delete {
			sum := sha256.Sum256(op.Value)
			k.Value = hex.EncodeToString(sum[:16])
		}
		for _, c := range t.If {
			if c.Key == op.Key {
				k.Before = c.Revision
			}
		}
		e.Keys = append(e.Keys, k)
	}
	e.Hash = e.chained(last.Hash)
	return e
}

// chained computes the hash of an entry after the one with the hash before.
func (e Entry) chained(before string) string {
	e.Hash = ""
	plain, _ := json.Marshal(e) // plain fields
	h := sha256.New()
	h.Write([]byte(before))
	h.Write([]byte{'\n'})
	h.Write(plain)
	return hex.EncodeToString(h.Sum(nil))
}

// Entries returns up to limit entries, newest first, from the one before `before` on; 0: from the newest.
func (l *Log) Entries(ctx context.Context, before uint64, limit int) ([]Entry, error) {
	_, last, err := l.head(ctx)
	if err != nil {
		return nil, err
	}
	if before == 0 || before > last.N+1 {
		before = last.N + 1
	}
	out := make([]Entry, 0, min(limit, int(before)))
	for n := before - 1; n >= 1 && len(out) < limit; n-- {
		e, err := l.read(ctx, n)
		if err != nil {
			return out, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (l *Log) read(ctx context.Context, n uint64) (Entry, error) {
	kv, err := l.Store.Get(ctx, name(n))
	if errors.Is(err, store.ErrNotFound) {
		return Entry{}, &BrokenError{n, "it is missing"}
	}
	if err != nil {
		return Entry{}, fmt.Errorf("audit: %w", err)
	}
	return decode(n, kv.Value)
}

func decode(n uint64, value []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(value, &e); err != nil {
		return e, &BrokenError{n, "it cannot be read"}
	}
	if e.N != n {
		return e, &BrokenError{n, fmt.Sprintf("it says that it is %d", e.N)}
	}
	return e, nil
}

// BrokenError says at which entry the log was tampered with, or lost.
type BrokenError struct {
	N   uint64
	Why string
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("audit: entry %d is not what was written: %s", e.N, e.Why)
}

// Verify reads the whole chain and returns the number up to which it is good. A *BrokenError says where it is not. What was
// verified before is read again: it may have been changed since.
func (l *Log) Verify(ctx context.Context) (uint64, error) {
	entries, _, err := l.Store.List(ctx, prefix)
	if err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	_, last, err := l.head(ctx)
	if err != nil {
		return 0, err
	}
	noted, err := l.noted()
	if err != nil {
		return 0, err
	}
	good := head{}
	for i, kv := range entries {
		n := uint64(i) + 1
		if kv.Key != name(n) {
			return good.N, &BrokenError{n, "it is missing"}
		}
		e, err := decode(n, kv.Value)
		if err != nil {
			return good.N, err
		}
		if e.chained(good.Hash) != e.Hash {
			return good.N, &BrokenError{n, "its hash does not follow from it and the entry before"}
		}
		good = head{n, e.Hash}
		if noted.N == n && noted.Hash != e.Hash {
			return n - 1, &BrokenError{n, "its hash is another one than the centre noted when it was written: " + l.o.File}
		}
	}
	switch {
	case good.N < last.N: // an entry that came between the two reads makes good.N the larger one
		return good.N, &BrokenError{good.N + 1, fmt.Sprintf("it is missing: %s says that there are %d", headKey, last.N)}
	case good.N < noted.N:
		return good.N, &BrokenError{good.N + 1, fmt.Sprintf("it is missing: %s says that there were %d", l.o.File, noted.N)}
	}
	return good.N, nil
}

// note keeps the newest number and hash outside of the store. That it cannot be kept stops nothing.
func (l *Log) note(h head) {
	if l.o.File == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.N <= l.newest.N {
		return // a later one is noted already
	}
	l.newest = h
	data, _ := json.Marshal(h)
	tmp := l.o.File + ".tmp"
	err := os.WriteFile(tmp, append(data, '\n'), 0o600)
	if err == nil {
		err = os.Rename(tmp, l.o.File)
	}
	if err != nil && l.failed == nil && l.o.Log != nil {
		l.o.Log.Warn("the newest hash of the audit log could not be noted", "file", filepath.Base(l.o.File), "error", err)
	}
	l.failed = err
}

// noted returns what was kept outside of the store.
func (l *Log) noted() (head, error) {
	var h head
	if l.o.File == "" {
		return h, nil
	}
	data, err := os.ReadFile(l.o.File)
	if errors.Is(err, os.ErrNotExist) {
		return h, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &h)
	}
	if err != nil {
		return h, fmt.Errorf("audit: the note of the newest hash cannot be read: %w", err)
	}
	return h, nil
}
