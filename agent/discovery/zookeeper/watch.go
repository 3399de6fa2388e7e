package zookeeper

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/agent/discovery"
)

const (
	// settle is how long a watch waits after an event before it reads: what changes in one go is one report, and a node that
	// Java's Motan deletes and makes again was never away.
	settle = 100 * time.Millisecond
	// retry is how long a watch waits after a reading that failed although there is a session.
	retry = 500 * time.Millisecond
	// readers is how many entries of one service are read at once.
	readers = 8
)

// state is one of the two folders of nodes of a watched service, as it was read last.
type state struct {
	path      string
	available bool
	folder    entry
	entries   map[string]entry // by name; only those that were read
}

// Watch is the method of discovery.Source.
func (s *Source) Watch(ctx context.Context, service discovery.Service, report func(discovery.Report)) error {
	if err := discovery.Check(service); err != nil {
		return err
	}
	done, err := s.subscribe(service)
	if err != nil {
		return err
	}
	defer done()
	states := []*state{{path: s.folder(service, serving), available: true}, {path: s.folder(service, unavailable)}}
	lister := discovery.Lister{Service: service}
	return s.follow(ctx, []string{states[0].path, states[1].path}, func() error {
		for _, st := range states {
			if err := s.read(ctx, st); err != nil {
				return err
			}
		}
		found, unread := nodesOf(service, states)
		known := states[0].folder.exists || states[1].folder.exists
		if r, ok := lister.Report(found, unread, known); ok {
			s.health.Reported()
			report(r)
		}
		return nil
	})
}

// follow calls read when there is a session, and again after each event of the paths and of what is right below them, until
// ctx ends. A read that fails is made again.
func (s *Source) follow(ctx context.Context, paths []string, read func() error) error {
	defer s.health.Watching()()
	wake := make(chan struct{}, 1)
	defer s.watches.listen(func() {
		select {
		case wake <- struct{}{}:
		default: // it will read anyway
		}
	}, paths...)()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select { // the pause
		case <-timer.C:
		case <-ctx.Done():
			return nil
		case <-s.life.Done():
			return discovery.ErrClosed
		}
		if err := s.await(ctx); errors.Is(err, discovery.ErrClosed) {
			return err
		} else if err != nil {
			return nil
		}
		select {
		case <-wake: // what it stands for is read now
		default:
		}
		pause := settle
		if err := read(); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if !lost(err) && !errors.Is(err, discovery.ErrAway) && !errors.Is(err, discovery.ErrClosed) {
				s.log.Warn("reading from ZooKeeper failed and is tried again", "path", paths[0], "error", err)
			}
			pause = retry
		} else {
			select {
			case <-wake:
			case <-ctx.Done():
				return nil
			case <-s.life.Done():
				return discovery.ErrClosed
			}
		}
		timer.Reset(pause)
	}
}

// read brings a folder up to date. Only what may have changed is asked for.
func (s *Source) read(ctx context.Context, st *state) (err error) {
	if !s.holds(st.path, st.folder) {
		if st.folder, err = s.children(ctx, st.path); err != nil {
			return err
		}
	}
	entries := make(map[string]entry, len(st.folder.names))
	var stale []string
	for _, name := range st.folder.names {
		if e, ok := st.entries[name]; ok && s.holds(st.path+"/"+name, e) {
			entries[name] = e
		} else {
			stale = append(stale, name)
		}
	}
	found, err := s.getAll(ctx, st.path, stale)
	for name, e := range found {
		entries[name] = e
	}
	st.entries = entries // also what an error left: the next reading goes on from there
	return err
}

// getAll reads entries of a folder, some at once. With an error it returns those that could be read.
func (s *Source) getAll(ctx context.Context, path string, names []string) (map[string]entry, error) {
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		out   = make(map[string]entry, len(names))
		first error
	)
	for part := range slices.Chunk(names, max(1, (len(names)+readers-1)/readers)) {
		all.Go(func() {
			for _, name := range part {
				e, err := s.get(ctx, path+"/"+name)
				mu.Lock()
				if err == nil {
					out[name] = e
				} else if first == nil {
					first = err
				}
				stop := first != nil
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	all.Wait()
	return out, first
}

// nodesOf makes nodes of what was read. A node that is in both folders serves: it is on its way from one to the other.
func nodesOf(service discovery.Service, states []*state) (found []discovery.Node, unread int) {
	seen := make(map[string]bool)
	for _, st := range states {
		for name, e := range st.entries {
			if !e.exists {
				continue // deleted since its folder was read; an event has told so
			}
			n, err := readNode(service, name, e.data, st.available)
			switch {
			case err != nil:
				unread++
			case !seen[n.Address]:
				seen[n.Address] = true
				found = append(found, n)
			}
		}
	}
	return found, unread
}

// ignore drops an error that says that what is wanted is so already.
func ignore(err error, is ...error) error {
	if slices.ContainsFunc(is, func(e error) bool { return errors.Is(err, e) }) {
		return nil
	}
	return err
}
