package zookeeper

import (
	"cmp"
	"context"
	"net"
	"strconv"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/protocols/motanurl"
	"github.com/sluice-mesh/sluice/resources"
)

// subscription is the entry that names us among the clients of a service.
type subscription struct {
	entry *discovery.Registration
	users int // watches
}

// subscribe names us among the clients of a service until done is called. Not being named is no reason not to watch.
func (s *Source) subscribe(service discovery.Service) (done func(), err error) {
	if s.opt.Subscriber == "" {
		return func() {}, nil
	}
	n := discovery.Node{Service: service, Address: s.opt.Subscriber, Weight: resources.DefaultWeight}
	n.Protocol = cmp.Or(n.Protocol, "motan2")
	place := discovery.Service{Group: service.Group, Path: service.Path}
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subscribers[place]
	if sub == nil {
		sub = &subscription{}
		if sub.entry, err = s.clients.Register(n); err != nil {
			return nil, err
		}
		s.subscribers[place] = sub
	}
	sub.users++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if sub.users--; sub.users == 0 {
			delete(s.subscribers, place)
			over, cancel := context.WithCancel(context.Background())
			cancel()
			_ = sub.entry.Withdraw(over) // begins it; nobody has to wait for it
		}
	}, nil
}

// clientBack writes entries of clients.
type clientBack struct{ s *Source }

// Announce is the method of discovery.Back.
func (b clientBack) Announce(ctx context.Context, n discovery.Node) error {
	host, digits, err := net.SplitHostPort(n.Address)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(digits)
	if err != nil {
		return err
	}
	u := motanurl.URL{Protocol: n.Protocol, Host: host, Port: port, Path: n.Path,
		Params: map[string]string{"group": n.Group, "nodeType": "referer"}}
	if n.Version != "" {
		u.Params["version"] = n.Version
	}
	if b.s.opt.Application != "" {
		u.Params["application"] = b.s.opt.Application
	}
	text, err := u.Append(nil)
	if err != nil {
		return err
	}
	path := b.s.folder(n.Service, client) + "/" + n.Address
	b.s.listenTo(path, func() { b.s.clients.CheckOne(n) }, path)
	return b.s.put(ctx, path, "", text)
}

// Withdraw is the method of discovery.Back.
func (b clientBack) Withdraw(ctx context.Context, n discovery.Node) error {
	path := b.s.folder(n.Service, client) + "/" + n.Address
	if err := b.s.drop(ctx, path); err != nil {
		return err
	}
	b.s.forget(path)
	return nil
}
