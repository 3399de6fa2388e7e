package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/internal/clock"
)

// Times of the connection.
const (
	requestTimeout = 5 * time.Second        // of reading and writing
	leaveTime      = time.Second            // of withdrawing everything
	firstPause     = 100 * time.Millisecond // after a failure
	longestPause   = 2 * time.Second
	closest        = 100 * time.Millisecond // between two looks at the connection, however often it is suspected
)

// atOnce is how many requests the keeper has under way.
const atOnce = 16

var errExpired = errors.New("the agent was not heard of for too long, and its checks in Consul have expired")

// keep prolongs what is announced and knows whether Consul is there, until the source is closed.
func (s *Source) keep() {
	pause := firstPause
	for s.life.Err() == nil {
		wait := s.opt.TTL / 3
		if err := s.renewal(); err != nil && s.life.Err() == nil {
			s.down(err)
			wait = pause/2 + rand.N(pause/2)
			pause = min(2*pause, longestPause)
		} else {
			pause = firstPause
		}
		if !clock.Sleep(s.life, min(closest, wait)) {
			return
		}
		t := time.NewTimer(wait - min(closest, wait))
		select {
		case <-t.C:
		case <-s.renew:
		case <-s.life.Done():
		}
		t.Stop()
	}
}

// renewal asks Consul's agent what it has of ours, prolongs that, has the rest announced again, and asks whether there is a
// leader, without which nobody hears of it.
func (s *Source) renewal() error {
	start := time.Now()
	ours, err := s.ours(s.life)
	if err != nil {
		return err
	}
	s.answered(start)
	for _, a := range s.nodes.List() {
		if !ours[idOf(a.Node)] {
			s.nodes.CheckOne(a.Node)
		}
	}
	s.beat(ours)
	ctx, cancel := s.brief(s.life)
	defer cancel()
	leader, err := s.ask(ctx, http.MethodGet, "/v1/status/leader", nil, nil)
	if err == nil && len(leader.body) <= len(`""`) {
		err = errors.New("there is no leader in Consul")
	}
	if err != nil {
		return err
	}
	s.connected()
	return nil
}

// brief is the time of one of the keeper's requests: they come three times in a TTL.
func (s *Source) brief(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, min(max(s.opt.TTL/3, time.Second), requestTimeout))
}

// ours returns the IDs of the services that Consul's agent has and this source announced.
func (s *Source) ours(ctx context.Context) (map[string]bool, error) {
	ctx, cancel := s.brief(ctx)
	defer cancel()
	a, err := s.ask(ctx, http.MethodGet, "/v1/agent/services", url.Values{"filter": {"Meta." + ownerMeta + ` == "` + s.owner + `"`}}, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for services: %w", err)
	}
	var all map[string]service
	if err := json.Unmarshal(a.body, &all); err != nil {
		return nil, fmt.Errorf("the services of Consul's agent: %w", err)
	}
	out := make(map[string]bool, len(all))
	for id, v := range all {
		if v.Meta[ownerMeta] == s.owner { // versions before 1.5 know no filter
			out[id] = true
		}
	}
	return out, nil
}

// beat prolongs the checks of services.
func (s *Source) beat(ids map[string]bool) {
	s.mu.Lock()
	var list []*entry
	for id := range ids {
		if e := s.entries[id]; e != nil {
			list = append(list, e)
		}
	}
	s.mu.Unlock()
	each(list, func(e *entry) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if !e.registered {
			return
		}
		ctx, cancel := s.brief(s.life)
		defer cancel()
		if err := s.check(ctx, e.id, e.available); err != nil && s.life.Err() == nil {
			s.log.Debug("a check in Consul could not be prolonged", "service", e.id, "error", err)
		}
	})
}

// each does something with each of a list, a few at a time.
func each[T any](list []T, do func(T)) {
	var all sync.WaitGroup
	work := make(chan T)
	for range min(len(list), atOnce) {
		all.Go(func() {
			for one := range work {
				do(one)
			}
		})
	}
	for _, one := range list {
		work <- one
	}
	close(work)
	all.Wait()
}

// answered notes that Consul's agent has answered a request that was sent at start. A session begins with the first answer,
// and when checks may have expired since the last one.
func (s *Source) answered(start time.Time) {
	s.mu.Lock()
	first := s.session == 0
	over := !first && start.Sub(s.heard) > s.opt.TTL
	if first || over {
		s.session++
	}
	s.heard = start
	s.mu.Unlock()
	if over {
		s.nodes.Lost(errExpired)
	}
}

// connected notes that Consul serves.
func (s *Source) connected() {
	s.mu.Lock()
	server, session := s.opt.Agents[s.agent], s.session
	if s.epoch.Err() != nil && s.life.Err() == nil {
		s.epoch, s.lost = context.WithCancel(s.life)
	}
	select {
	case <-s.up:
	default:
		close(s.up)
	}
	s.mu.Unlock()
	fresh := s.health.Status().Sessions < session
	if s.health.Up(server, fresh) {
		s.log.Info("connected to Consul", "agent", server, "checks expired", fresh && session > 1)
		s.nodes.Check()
	} else if fresh {
		s.nodes.Check()
	}
}

// down notes that Consul does not serve. All requests that wait end; the next attempt is at another agent if there is one.
func (s *Source) down(err error) {
	s.mu.Lock()
	server := s.opt.Agents[s.agent]
	var r *refused
	if len(s.opt.Agents) > 1 && !errors.As(err, &r) {
		s.agent = (s.agent + 1) % len(s.opt.Agents)
		s.heard = time.Time{} // that one has nothing of ours
	}
	s.lost()
	select {
	case <-s.up:
		s.up = make(chan struct{})
	default:
	}
	s.mu.Unlock()
	s.http.CloseIdleConnections()
	s.health.Failed(server, err)
	if s.health.Down() {
		s.log.Warn("Consul is gone; the last nodes stay", "agent", server, "error", err)
	}
}

// suspect has the keeper look at the connection now.
func (s *Source) suspect() {
	select {
	case s.renew <- struct{}{}:
	default: // it will look anyway
	}
}

// leave withdraws everything that is still ours.
func (s *Source) leave() {
	if !s.health.Status().Connected {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	s.mu.Lock()
	announced := len(s.entries) > 0
	s.mu.Unlock()
	if !announced {
		return
	}
	ours, err := s.ours(ctx)
	var mu sync.Mutex
	each(slices.Collect(maps.Keys(ours)), func(id string) {
		if e := s.deregister(ctx, id); e != nil {
			mu.Lock()
			defer mu.Unlock()
			err = e
		}
	})
	if err != nil {
		s.log.Info("not all services could be withdrawn from Consul; their checks expire by themselves", "error", err)
	}
}

var _ discovery.Back = back{}
