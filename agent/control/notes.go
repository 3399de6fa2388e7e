package control

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"maps"
	"sync"
	"time"
)

// Notes hold what the agent found out and would like to know at its next start, such as the endpoints that discovery
// reported. Unlike a [Store] it promises nothing: changes are written in the background, at most once a second, and one
// that cannot be written is a warning. Its methods may be called from any goroutine and never wait for the disk, but
// for Close.
type Notes struct {
	log  *slog.Logger
	file file // used by the writer only

	mu       sync.Mutex
	notes    map[string]json.RawMessage // guarded by mu
	revision uint64                     // guarded by mu; rises with each change
	closed   bool                       // guarded by mu

	wake chan struct{} // there is something to write
	quit chan struct{}
	done chan struct{}
}

const (
	writeEvery = time.Second      // at most
	writeAgain = 10 * time.Second // after a write that failed
)

// OpenNotes reads the notes in dir, which exists. A file that cannot be read costs the notes in it and is said in the
// log: there is nothing in them that the agent could not find out again. It starts one goroutine, which Close ends.
func OpenNotes(dir string, log *slog.Logger) *Notes {
	n := &Notes{
		log: log, file: file{dir: dir, name: "endpoints.json"}, notes: map[string]json.RawMessage{},
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	now := time.Now()
	revision, problems, err := n.file.load(now, &n.notes)
	for _, p := range problems {
		log.Warn("known endpoints", "problem", p)
	}
	if err != nil {
		log.Warn("known endpoints cannot be read; the agent finds them anew", "error", err)
	}
	if n.notes == nil { // the file held null
		n.notes = map[string]json.RawMessage{}
	}
	n.revision = revision
	if len(problems) > 0 {
		n.revision = max(revision+1, uint64(max(0, now.Unix()))) // as in a Store
	}
	go n.write(revision)
	return n
}

// Get decodes the note of a key and reports whether there is one that fits.
func (n *Notes) Get(key string, into any) bool {
	n.mu.Lock()
	raw, ok := n.notes[key]
	n.mu.Unlock()
	return ok && json.Unmarshal(raw, into) == nil
}

// Put replaces the note of a key. The same value again costs nothing.
func (n *Notes) Put(key string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	n.change(func(notes map[string]json.RawMessage) bool {
		if bytes.Equal(notes[key], raw) {
			return false
		}
		notes[key] = raw
		return true
	})
	return nil
}

// Retain drops the notes whose key is not wanted any more.
func (n *Notes) Retain(wanted func(key string) bool) {
	n.change(func(notes map[string]json.RawMessage) bool {
		before := len(notes)
		maps.DeleteFunc(notes, func(key string, _ json.RawMessage) bool { return !wanted(key) })
		return len(notes) != before
	})
}

func (n *Notes) change(apply func(map[string]json.RawMessage) bool) {
	n.mu.Lock()
	changed := !n.closed && apply(n.notes)
	if changed {
		n.revision++
	}
	n.mu.Unlock()
	if changed {
		n.poke()
	}
}

// Close writes what is not written yet, and ends. Changes after it are dropped.
func (n *Notes) Close() {
	n.mu.Lock()
	already := n.closed
	n.closed = true
	n.mu.Unlock()
	if !already {
		close(n.quit)
	}
	<-n.done
}

// write keeps the file up to date until Close, and then writes what is left. written is the revision that the file
// holds.
func (n *Notes) write(written uint64) {
	defer close(n.done)
	failing := false
	for closing := false; !closing; {
		select {
		case <-n.wake:
		case <-n.quit:
			closing = true
		}
		revision, err := n.save(written)
		switch {
		case err != nil && !failing:
			n.log.Warn("known endpoints cannot be kept: the next start may have to find them anew", "error", err)
		case err == nil && failing:
			n.log.Info("known endpoints are kept again")
		}
		rest := writeEvery
		if failing = err != nil; failing {
			rest = writeAgain
			n.poke()
		} else {
			written = revision
		}
		if !closing {
			n.rest(rest)
		}
	}
}

// rest waits, but not longer than until Close.
func (n *Notes) rest(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-n.quit:
	}
}

func (n *Notes) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// save writes a generation unless the file holds the newest one, and returns its revision.
func (n *Notes) save(written uint64) (uint64, error) {
	n.mu.Lock()
	notes, revision := maps.Clone(n.notes), n.revision
	n.mu.Unlock()
	if revision == written {
		return written, nil
	}
	return revision, n.file.save(revision, time.Now(), notes)
}
