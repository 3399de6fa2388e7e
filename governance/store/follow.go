package store

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
)

// Pauses after a watch, or a leader's work, that failed; they double.
const (
	firstPause = 20 * time.Millisecond
	mostPause  = 5 * time.Second
	leaveTime  = 2 * time.Second // to give a leadership back
)

// Follower is who keeps in memory what a prefix of a store holds.
type Follower struct {
	Store  Store
	Prefix string
	Known  func() (keys []string, after int64) // what is in memory, and the newest revision that was applied
	Apply  func(Batch)                         // takes over what changed
	What   string                              // in the log: "the commands"
	Log    *slog.Logger
}

// Follow applies changes until ctx ends or the store is closed. A watch that fails is replaced, after all was read anew.
func (f *Follower) Follow(ctx context.Context) {
	var retry time.Duration // none after a watch that worked
	for ctx.Err() == nil {
		_, after := f.Known()
		w := f.Store.Watch(ctx, f.Prefix, after)
		for b := range w.C() {
			f.Apply(b)
			retry = 0
		}
		err := w.Err()
		for ctx.Err() == nil {
			if err != nil {
				f.Log.Warn("the centre lost sight of the store and reads it anew", "what", f.What, "error", err, "retry", retry)
			}
			if errors.Is(err, ErrClosed) || !clock.Sleep(ctx, retry) {
				return
			}
			retry = min(max(2*retry, firstPause), mostPause)
			if err = f.List(ctx); err == nil {
				break
			}
		}
	}
}

// List reads all anew and applies it, as changes: what is there, and which of the known keys are gone.
func (f *Follower) List(ctx context.Context) error {
	known, after := f.Known()
	entries, revision, err := f.Store.List(ctx, f.Prefix)
	if err != nil {
		return err
	}
	if revision < after {
		return errors.New("the store went back: it lists an older revision than one that was seen")
	}
	b := Batch{Revision: revision, Changes: make([]Change, 0, len(entries))}
	there := make(map[string]struct{}, len(entries))
	for _, e := range entries {
		there[e.Key] = struct{}{}
		b.Changes = append(b.Changes, Change{Entry: e})
	}
	for _, key := range known {
		if _, ok := there[key]; !ok {
			b.Changes = append(b.Changes, Change{Entry: Entry{Key: key, Revision: revision}, Deleted: true})
		}
	}
	f.Apply(b)
	return nil
}

// Reign does what only the leader may do, whenever this process leads, until ctx ends or the store is closed. work returns when
// its ctx ends, when the leadership is lost, or with an error, after which somebody leads anew. what is for the log.
func Reign(ctx context.Context, s Store, office, me, what string, log *slog.Logger, work func(context.Context, Leadership) error) {
	retry := firstPause
	for ctx.Err() == nil {
		l, err := s.Lead(ctx, office, me)
		if err == nil {
			retry = firstPause
			err = work(ctx, l)
			leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
			l.Resign(leave) // what is not given back ends by itself
			cancel()
		}
		if errors.Is(err, ErrClosed) || ctx.Err() != nil {
			return
		}
		if err != nil {
			log.Warn("what only one centre does is not done for now", "what", what, "error", err, "retry", retry)
		}
		if !clock.Sleep(ctx, retry) {
			return
		}
		retry = min(2*retry, mostPause)
	}
}
