package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/internal/clock"
)

const (
	settle = 100 * time.Millisecond // after a change, before it is reported: what changes in one go is one report
	closer = 50 * time.Millisecond  // between two readings of a group that changes all the time, or twice as long as taking it in takes
)

// group is a group of services that is watched, by any number of watches.
type group struct {
	name string
	stop context.CancelFunc // of its reader

	users int // guarded by Source.mu

	mu        sync.Mutex
	read      bool                       // guarded by mu: contents are there
	contents  map[string]content         // guarded by mu: by path; replaced whole
	listeners map[chan struct{}]struct{} // guarded by mu: filled after each reading
}

// Watch is the method of discovery.Source.
func (s *Source) Watch(ctx context.Context, of discovery.Service, report func(discovery.Report)) error {
	if err := discovery.Check(of); err != nil {
		return err
	}
	defer s.health.Watching()()
	g, wake, leave, err := s.join(of.Group)
	if err != nil {
		return err
	}
	defer leave()
	lister := discovery.Lister{Service: of}
	for {
		select {
		case <-wake:
		case <-ctx.Done():
			return nil
		case <-s.life.Done():
			return discovery.ErrClosed
		}
		if ctx.Err() != nil {
			return nil
		}
		g.mu.Lock()
		c, known := g.contents[of.Path]
		g.mu.Unlock()
		if r, ok := lister.Report(c.nodes, c.unread, known); ok {
			s.health.Reported()
			report(r)
		}
		clock.Sleep(ctx, settle)
	}
}

// join returns a group, with what is filled after each reading and is now if there was one. leave is called at the end.
func (s *Source) join(name string) (g *group, wake chan struct{}, leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		return nil, nil, nil, discovery.ErrClosed
	}
	g = s.groups[name]
	if g == nil {
		ctx, stop := context.WithCancel(s.life)
		g = &group{name: name, stop: stop, listeners: make(map[chan struct{}]struct{})}
		s.groups[name] = g
		s.run.Go(func() { s.follow(ctx, g) })
	}
	g.users++
	wake = make(chan struct{}, 1)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listeners[wake] = struct{}{}
	if g.read {
		wake <- struct{}{}
	}
	return g, wake, func() { s.part(g, wake) }, nil
}

// part undoes join.
func (s *Source) part(g *group, wake chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.mu.Lock()
	delete(g.listeners, wake)
	g.mu.Unlock()
	if g.users--; g.users == 0 {
		delete(s.groups, g.name)
		g.stop()
	}
}

// follow reads a group again and again, until ctx ends.
func (s *Source) follow(ctx context.Context, g *group) {
	path := "/v1/health/service/" + url.PathEscape(servicePrefix+g.name)
	_ = s.poll(ctx, path, url.Values{}, func(a answer) error { // it ends with ctx
		var list []instance
		if err := json.Unmarshal(a.body, &list); err != nil {
			return fmt.Errorf("the services of group %s: %w", g.name, err)
		}
		contents := read(g.name, list)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.read, g.contents = true, contents
		for l := range g.listeners {
			select {
			case l <- struct{}{}:
			default: // it will look anyway
			}
		}
		return nil
	})
}

// poll calls take with what is at a path, when Consul has told it and then each time that its index grew, until ctx ends.
func (s *Source) poll(ctx context.Context, path string, query url.Values, take func(answer) error) error {
	pause := firstPause
	for {
		connected, done, err := s.await(ctx)
		switch {
		case errors.Is(err, discovery.ErrClosed):
			return err
		case err != nil:
			return nil
		}
		err = s.readings(connected, path, query, func(a answer) error {
			pause = firstPause
			return take(a)
		})
		done()
		if ctx.Err() != nil {
			continue // await tells what ended
		}
		s.log.Debug("reading from Consul begins again", "path", path, "error", err)
		_ = s.away(err)
		clock.Sleep(ctx, pause/2+rand.N(pause/2))
		pause = min(2*pause, longestPause)
	}
}

// readings reads until it fails. It begins without an index: that of servers that lost their data may be a lower one.
func (s *Source) readings(ctx context.Context, path string, query url.Values, take func(answer) error) error {
	index := uint64(0)
	for {
		a, err := s.wait(ctx, path, maps.Clone(query), index)
		if err != nil && !absent(err) {
			return err
		}
		if a.index < index {
			a.index = 0
		}
		start := time.Now()
		if a.index != index || index == 0 {
			if err := take(a); err != nil {
				return err
			}
		}
		if index = a.index; !clock.Sleep(ctx, max(closer, 2*time.Since(start))) {
			return ctx.Err()
		}
	}
}
