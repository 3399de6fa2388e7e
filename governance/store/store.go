package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Errors that callers tell apart with errors.Is.
var (
	ErrNotFound  = errors.New("not found")
	ErrConflict  = errors.New("changed meanwhile")
	ErrCompacted = errors.New("that revision is gone")
	ErrClosed    = errors.New("the store is closed")
	// ErrFailed is a failure of the store itself, and no mistake of whoever asks. After a Commit it may be open whether the changes
	// were made.
	ErrFailed = errors.New("the store failed")
)

// failure is an error that is ErrFailed.
type failure struct{ error }

func (f failure) Is(target error) bool { return target == ErrFailed }
func (f failure) Unwrap() error        { return f.error }

// Failed makes an error ErrFailed, with the text that it has.
func Failed(err error) error { return failure{err} }

// Entry is a key with its value. Values belong to the caller.
type Entry struct {
	Key      string
	Value    []byte
	Revision int64 // of its last change
	Created  int64 // revision at which it came to be
}

// Cond is what must hold for a Txn.
type Cond struct {
	Key      string
	Revision int64 // of the key's last change; 0: the key must not exist
}

// Op is one change of a Txn: a value, or the end of a key.
type Op struct {
	Key    string
	Value  []byte
	Delete bool
}

// Txn changes several keys at once, if all conditions hold. All its changes have one revision. A key may be changed once in
// a Txn.
type Txn struct {
	If   []Cond
	Then []Op
}

// ConflictError says which condition of a Txn did not hold. It is ErrConflict.
type ConflictError struct {
	Key  string
	Want int64
	Have int64 // 0: there is none
}

func (e *ConflictError) Error() string {
	switch {
	case e.Want == 0:
		return fmt.Sprintf("%s exists already (revision %d)", e.Key, e.Have)
	case e.Have == 0:
		return fmt.Sprintf("%s is gone: it was at revision %d", e.Key, e.Want)
	}
	return fmt.Sprintf("%s changed meanwhile: it was at revision %d and is at %d", e.Key, e.Want, e.Have)
}

// Is makes it ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// Change is one key that changed; Value is nil when it is gone.
type Change struct {
	Entry
	Deleted bool
}

// Batch is all that changed at one revision, within the prefix that is watched.
type Batch struct {
	Revision int64
	Changes  []Change
}

// Store keeps the centre's state. All methods may be called from any goroutine, and return an error that says which key and
// why. Keys are paths without a leading slash, such as resources/feed-cache.
//
// Revisions are global and grow by every Txn that changes something.
type Store interface {
	// Cluster is the store's identity: random, made with it, the same for all centres on it.
	Cluster() string
	// Get returns one key, or ErrNotFound.
	Get(ctx context.Context, key string) (Entry, error)
	// List returns the keys with a prefix in order, and the revision at which they all held.
	List(ctx context.Context, prefix string) ([]Entry, int64, error)
	// Commit changes keys and returns the revision of the change, when it is safe on disk. A condition that does not hold is
	// a *ConflictError, and nothing is changed. When the outcome is not known (the connection to etcd was lost), the error
	// is ErrFailed.
	Commit(ctx context.Context, t Txn) (int64, error)
	// Watch sends what changes under a prefix after a revision, in order and without gaps, until ctx ends or the watch
	// fails; then the channel is closed, and Err of the watch says why. A revision that was compacted gives ErrCompacted:
	// List anew.
	Watch(ctx context.Context, prefix string, after int64) Watch
	// Compact forgets what was before a revision; the newest value of each key stays.
	Compact(ctx context.Context, before int64) error
	// Lead waits until this process is the one that leads, for what must run once. The Leadership ends with ctx, with Resign
	// or when it is lost.
	Lead(ctx context.Context, name, me string) (Leadership, error)
	// Leader returns who leads, "" when nobody does.
	Leader(ctx context.Context, name string) (string, error)
	Close() error
}

// Watch is a stream of changes.
type Watch interface {
	C() <-chan Batch
	Err() error // after C is closed; nil when ctx ended
}

// Leadership is held by one process at a time. What a leader changes it does with Guard among the conditions, so that one
// that was replaced without knowing it changes nothing.
type Leadership interface {
	Lost() <-chan struct{}
	Guard() Cond
	Resign(ctx context.Context) error
}

// Bounds of what may be stored: etcd's defaults, which hold for every store.
const (
	MaxValue   = 1 << 20
	MaxKey     = 512
	MaxChanges = 128 // of a Txn, conditions included
	// LeaseTime is how long a leader that is gone stands in the way of another.
	LeaseTime = 10 * time.Second
)
