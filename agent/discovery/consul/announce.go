package consul

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"github.com/sluice-mesh/sluice/agent/discovery"
)

// forget is how long Consul keeps a service whose check has expired, at least; it takes no less than a minute.
const forget = "1m"

// entry is a service that we announced. Its mu is held while Consul is asked about it, so that what is announced and what is
// prolonged do not overtake each other.
type entry struct {
	id string

	mu         sync.Mutex
	registered bool // as far as we know
	available  bool // as it was registered
	session    int  // in which it stood; 0 for never
}

// back writes nodes.
type back struct{ s *Source }

// entry returns what is known of a service, and the session that there is now; 0 while there is no connection.
func (s *Source) entry(id string) (*entry, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[id]
	if e == nil {
		e = &entry{id: id}
		s.entries[id] = e
	}
	select {
	case <-s.up:
		return e, s.session
	default:
		return e, 0
	}
}

// Announce is the method of discovery.Back.
func (b back) Announce(ctx context.Context, n discovery.Node) error {
	s := b.s
	want, err := write(n, s.owner)
	if err != nil {
		return err
	}
	e, session := s.entry(want.ID)
	if session == 0 {
		return discovery.ErrAway
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	e.mu.Lock()
	defer e.mu.Unlock()
	got, there, err := s.service(ctx, want.ID)
	if err != nil {
		return s.away(err)
	}
	ours := there && got.Meta[ownerMeta] == s.owner
	if there && !ours && e.session == session {
		e.registered = false
		return fmt.Errorf("%w: %s is in Consul", discovery.ErrHeld, want.ID)
	}
	if right := ours && want.same(got) && e.registered && e.available == n.Available; !right {
		if err := s.register(ctx, want, n.Available); err != nil {
			return s.away(err)
		}
		e.registered, e.available, e.session = true, n.Available, session
	}
	return s.away(s.check(ctx, want.ID, n.Available))
}

// Withdraw is the method of discovery.Back.
func (b back) Withdraw(ctx context.Context, n discovery.Node) error {
	s := b.s
	e, session := s.entry(idOf(n))
	if session == 0 {
		return discovery.ErrAway
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	e.mu.Lock()
	defer e.mu.Unlock()
	got, there, err := s.service(ctx, e.id)
	if err == nil && there && got.Meta[ownerMeta] == s.owner {
		err = s.deregister(ctx, e.id)
	}
	if err != nil {
		return s.away(err)
	}
	e.registered = false
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, e.id)
	return nil
}

// service returns what Consul's agent has of an ID.
func (s *Source) service(ctx context.Context, id string) (v service, there bool, err error) {
	a, err := s.ask(ctx, http.MethodGet, "/v1/agent/service/"+url.PathEscape(id), nil, nil)
	switch {
	case absent(err):
		return service{}, false, nil
	case err != nil:
		return service{}, false, err
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		return service{}, false, fmt.Errorf("service %s: %w", id, err)
	}
	return v, true, nil
}

// register writes a service. Consul lets one that is not available stay however long it is so, and its check keeps the state that
// it has.
func (s *Source) register(ctx context.Context, want service, available bool) error {
	want.Check = &ttlCheck{TTL: s.opt.TTL.String(), Status: critical}
	if available {
		want.Check.Status, want.Check.DeregisterCriticalServiceAfter = passing, forget
	}
	_, err := s.ask(ctx, http.MethodPut, "/v1/agent/service/register", nil, want)
	return err
}

// check sets the state of a service's check and prolongs it. A critical one is what Java's servers are before they are
// available.
func (s *Source) check(ctx context.Context, id string, available bool) error {
	state := map[string]string{"Status": critical, "Output": "not available"}
	if available {
		state = map[string]string{"Status": passing}
	}
	_, err := s.ask(ctx, http.MethodPut, "/v1/agent/check/update/"+url.PathEscape("service:"+id), nil, state)
	return err
}

// deregister has Consul's agent forget a service, if it has it.
func (s *Source) deregister(ctx context.Context, id string) error {
	_, err := s.ask(ctx, http.MethodPut, "/v1/agent/service/deregister/"+url.PathEscape(id), nil, nil)
	if absent(err) {
		return nil
	}
	return err
}
