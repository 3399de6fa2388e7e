package command

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
)

// OnChange calls f after commands came, ended or expired, with their ids, sorted, and for each what it is for. f is called
// from one goroutine, with no lock held, and must not wait: expiry is told by the same one. The function that is returned
// ends it.
func (s *Commands) OnChange(f func(ids []string, targets []Selector, revision int64)) (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.nextSub
	s.nextSub++
	s.subs[id] = f
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.subs, id)
	}
}

// keep ends the commands whose time comes, and tells what changed.
func (s *Commands) keep(ctx context.Context) {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		case <-s.wake:
		}
		next.Reset(s.expire())
		s.tell()
	}
}

// expire ends what is over and returns the time until the next one is.
func (s *Commands) expire() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := clock.Now()
	wait := time.Hour
	ended := false
	for id, a := range s.records {
		switch {
		case a.over || a.deadline == 0:
		case a.holds(now):
			wait = min(wait, time.Duration(a.deadline-now))
		default:
			a.over, ended = true, true
			s.pending[id] = a.Target()
		}
	}
	if ended {
		s.publish(s.Revision())
	}
	return wait
}

func (s *Commands) tell() {
	s.mu.Lock()
	ids := slices.Sorted(maps.Keys(s.pending))
	targets := make([]Selector, len(ids))
	for i, id := range ids {
		targets[i] = s.pending[id]
	}
	clear(s.pending)
	revision := s.Revision()
	var subs []func([]string, []Selector, int64)
	for _, id := range slices.Sorted(maps.Keys(s.subs)) {
		subs = append(subs, s.subs[id])
	}
	s.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	for _, f := range subs {
		f(slices.Clone(ids), slices.Clone(targets), revision)
	}
}
