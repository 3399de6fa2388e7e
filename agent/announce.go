package agent

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/resources"
)

// withdrawTime is how long an agent that stops waits for registries to forget what it announced. What is not withdrawn by
// then goes with the session or the lease.
const withdrawTime = 2 * time.Second

// announcer tells registries of the services that the agent exports to them.
type announcer struct {
	a *Agent

	mu   sync.Mutex
	list []*announced // guarded by mu; replaced whole
}

// announced is one of them.
type announced struct {
	of     *exported
	node   discovery.Node // guarded by announcer.mu
	handle *discovery.Registration
	done   func() // with the registry
}

// newAnnouncer opens the registries of exports. It announces nothing yet.
func newAnnouncer(a *Agent) (*announcer, error) {
	n := &announcer{a: a}
	for i, x := range a.exports.list {
		if x.Registry == "" {
			continue
		}
		if err := n.add(x); err != nil {
			n.close()
			return nil, fmt.Errorf("agent.exports[%d]: %w", i, err)
		}
	}
	return n, nil
}

// add opens the registry of an export, and announces it as not available yet.
func (n *announcer) add(x *exported) error {
	source, done, err := n.a.registries.use(x.Registry)
	if err != nil {
		return err
	}
	one := &announced{of: x, node: discovery.Node{Service: n.a.serviceOf(&x.ExportConfig), Address: x.Address, Weight: x.Weight}, done: done}
	if one.handle, err = source.Register(one.node); err != nil {
		done()
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(slices.Clone(n.list), one)
	return nil
}

// remove withdraws an export, and waits a while for the registry to confirm it.
func (n *announcer) remove(x *exported) {
	n.mu.Lock()
	i := slices.IndexFunc(n.list, func(one *announced) bool { return one.of == x })
	if i < 0 {
		n.mu.Unlock()
		return
	}
	one := n.list[i]
	n.list = slices.Delete(slices.Clone(n.list), i, i+1)
	n.mu.Unlock()
	n.withdrawAll([]*announced{one})
	one.done()
}

// serviceOf returns what an export is called in a registry: as the agent's own resource of that name is, where there is one, in the
// protocol that the export's kind says.
func (a *Agent) serviceOf(e *config.ExportConfig) discovery.Service {
	s := resources.Service{Group: e.Group, Path: e.Resource, Protocol: e.Kind}
	if m := a.set.get(e.Resource); m != nil {
		set := m.Settings
		for _, f := range m.faces() {
			if f.Spec.Kind == e.Kind {
				set = f.Settings
			}
		}
		if named, ok := set.(resources.Registered); ok {
			s = named.RegisteredAs(e.Resource, e.Group)
		}
	}
	if e.Service != "" {
		s.Path = e.Service
	}
	if e.Version != "" {
		s.Version = e.Version
	}
	return discovery.Service(s)
}

// update announces services as they are.
func (n *announcer) update() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, one := range n.list {
		one.node.Available = n.a.exports.up(one.of)
		if err := one.handle.Update(one.node); err != nil {
			n.a.log.Warn("a service cannot be announced as it is", "service", one.node.Service, "address", one.node.Address, "error", err)
		}
	}
}

// withdraw takes everything back, and waits a while for the registries to confirm it.
func (n *announcer) withdraw() {
	n.mu.Lock()
	list := n.list
	n.mu.Unlock()
	n.withdrawAll(list)
}

func (n *announcer) withdrawAll(list []*announced) {
	ctx, cancel := context.WithTimeout(context.Background(), withdrawTime)
	defer cancel()
	var all sync.WaitGroup
	for _, one := range list {
		all.Go(func() {
			if err := one.handle.Withdraw(ctx); err != nil {
				n.a.log.Warn("a service could not be withdrawn in time; it goes when the registry notices", "service", one.node.Service, "address", one.node.Address, "error", err)
			}
		})
	}
	all.Wait()
}

// close lets go of the registries, which withdraws what was not yet.
func (n *announcer) close() {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, one := range n.list {
		one.done()
	}
	n.list = nil
}

// behind returns why nobody would be served at an address of the agent itself: no endpoint of the resource behind it is up;
// "" when one is, or the address is not the agent's.
func (a *Agent) behind(e *config.ExportConfig) string {
	m := a.set.get(e.Resource)
	if m == nil || !a.listensOn(m, e.Address) {
		return ""
	}
	why := "it has no endpoint"
	for _, ep := range m.run.Endpoints() {
		if ep.State == "up" {
			return ""
		}
		why = ep.Address + " is " + ep.State
		if ep.Why != "" {
			why += ": " + ep.Why
		}
	}
	return "nothing behind resource " + e.Resource + " is up: " + why
}

// listensOn reports whether a resource listens on the port of an address.
func (a *Agent) listensOn(m *member, address string) bool {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	for _, l := range append(a.set.addresses(m.declared), m.everywhere()...) {
		if _, p, err := net.SplitHostPort(l); err == nil && p == port {
			return true
		}
	}
	return false
}
