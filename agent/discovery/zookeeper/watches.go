package zookeeper

import (
	"context"
	"strings"
	"sync"

	"github.com/go-zookeeper/zk"
)

// kind is what a watch of ZooKeeper's tells of.
type kind uint8

const (
	ofData     kind = iota // an entry is made, changed or gone
	ofChildren             // the names below an entry
)

// target is what a watch is on.
type target struct {
	kind kind
	path string
}

// arming is a watch. ZooKeeper tells it once; then it is gone.
type arming struct {
	id    uint64
	armed bool // false: the request that arms it is under way
}

// watches knows which of ZooKeeper's watches are armed and who wants to hear of them.
//
// A value that was read is good as long as the watch that it was read with is armed. The library tells of an event on a channel
// that it may not have given out yet, or only after its callback; so neither is asked. Instead an arming is put down before its
// request leaves, and an event deletes it. What the request brings is good if its arming is still there afterwards: an event
// that comes before the answer was looked at has deleted it, and has woken whoever listens, who then reads again.
//
// Of several who read the same path at once, each reads under the same arming. While it is not armed yet each asks for a watch
// of its own; the server has one for all of them. Once it is armed, reading needs no further one.
type watches struct {
	mu        sync.Mutex
	last      uint64
	armings   map[target]*arming
	listeners map[string]map[*listener]struct{} // by path: of it, and of what is right below
}

// listener is woken by events. wake must not wait.
type listener struct {
	wake func()
}

func newWatches() *watches {
	return &watches{armings: make(map[target]*arming), listeners: make(map[string]map[*listener]struct{})}
}

// listen has wake called after each event of the paths and of what is right below them, until stop is called.
func (w *watches) listen(wake func(), paths ...string) (stop func()) {
	l := &listener{wake}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range paths {
		if w.listeners[p] == nil {
			w.listeners[p] = make(map[*listener]struct{})
		}
		w.listeners[p][l] = struct{}{}
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, p := range paths {
			if delete(w.listeners[p], l); len(w.listeners[p]) == 0 {
				delete(w.listeners, p)
			}
		}
	}
}

// fired takes an event of a path.
func (w *watches) fired(e zk.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Type != zk.EventNodeChildrenChanged {
		delete(w.armings, target{ofData, e.Path})
	}
	if e.Type != zk.EventNodeDataChanged && e.Type != zk.EventNodeCreated {
		delete(w.armings, target{ofChildren, e.Path})
	}
	w.wake(e.Path)
}

// wake wakes those who listen to a path or to what is above it. w.mu is held.
func (w *watches) wake(path string) {
	for l := range w.listeners[path] {
		l.wake()
	}
	if above := path[:max(strings.LastIndexByte(path, '/'), 0)]; above != "" {
		for l := range w.listeners[above] {
			l.wake()
		}
	}
}

// begin returns the arming of a target, a new one if there is none.
func (w *watches) begin(t target) arming {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.armings[t]
	if a == nil {
		w.last++
		a = &arming{id: w.last}
		w.armings[t] = a
	}
	return *a
}

// end notes how a request under an arming ended.
func (w *watches) end(t target, id uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.armings[t]
	switch {
	case a == nil || a.id != id || a.armed:
	case err == nil:
		a.armed = true
	default:
		delete(w.armings, t)
		w.wake(t.path) // of others who rely on it
	}
}

// good reports whether what was read under an arming still holds.
func (w *watches) good(t target, id uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.armings[t]
	return a != nil && a.id == id && a.armed
}

// any reports whether a watch is armed.
func (w *watches) any() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.armings {
		if a.armed {
			return true
		}
	}
	return false
}

// entry is what was read of a path.
type entry struct {
	id     uint64 // of the arming that it was read under
	kind   kind   // of that arming
	exists bool
	data   []byte
	stat   *zk.Stat
	names  []string // of children, when these were read
}

// get reads the data of a path, and arms a watch for it or for its creation.
func (s *Source) get(ctx context.Context, path string) (entry, error) {
	t := target{ofData, path}
	a := s.watches.begin(t)
	e, err := request(ctx, s, func(c *zk.Conn) (e entry, err error) {
		for {
			if a.armed {
				e.data, e.stat, err = c.Get(path)
			} else {
				e.data, e.stat, _, err = c.GetW(path)
			}
			if e.exists = err == nil; err != zk.ErrNoNode {
				return e, err
			}
			if a.armed {
				return entry{}, nil
			}
			if there, _, _, err := c.ExistsW(path); err != nil || !there {
				return entry{}, err
			}
		}
	})
	s.watches.end(t, a.id, err)
	if err != nil {
		return entry{}, err
	}
	e.id, e.kind = a.id, ofData
	return e, nil
}

// children reads the names below a path, and arms a watch for them, or for the creation of the path if it is not there.
func (s *Source) children(ctx context.Context, path string) (entry, error) {
	t := target{ofChildren, path}
	for {
		a := s.watches.begin(t)
		names, err := request(ctx, s, func(c *zk.Conn) (names []string, err error) {
			if a.armed {
				names, _, err = c.Children(path)
			} else {
				names, _, _, err = c.ChildrenW(path)
			}
			return names, err
		})
		s.watches.end(t, a.id, err)
		switch {
		case err == nil:
			return entry{id: a.id, kind: ofChildren, exists: true, names: names}, nil
		case err != zk.ErrNoNode:
			return entry{}, err
		}
		if e, err := s.get(ctx, path); err != nil || !e.exists {
			return e, err
		}
	}
}

// holds reports whether an entry is still what it was when it was read.
func (s *Source) holds(path string, e entry) bool { return s.watches.good(target{e.kind, path}, e.id) }
