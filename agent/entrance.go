package agent

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sluice-mesh/sluice/agent/gateway"
	"github.com/sluice-mesh/sluice/agent/listen"
	"github.com/sluice-mesh/sluice/agent/runtime"
	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/resources"
)

// entrance is an address of resources that can share it: the agent's half of a [resources.Door].
type entrance struct {
	address string
	loops   *loop.Group
	driver  resources.Sharing
	door    resources.Door
	inner   bool                     // nobody connects to it but gateways
	said    func() map[string]string // see Metadata

	behind atomic.Pointer[map[resources.Resource]*runtime.Resource]
}

func openEntrance(driver resources.Sharing, address string, loops *loop.Group, said func() map[string]string) (*entrance, error) {
	e := &entrance{address: address, loops: loops, driver: driver, said: said}
	e.behind.Store(&map[resources.Resource]*runtime.Resource{})
	var err error
	e.door, err = driver.OpenDoor(e)
	return e, err
}

// lead makes members those behind the address.
func (e *entrance) lead(members []*member) {
	behind := make(map[resources.Resource]*runtime.Resource, len(members))
	halves := make([]resources.Resource, 0, len(members))
	for _, m := range members {
		behind[m.run.Half()] = m.run
		halves = append(halves, m.run.Half())
	}
	e.behind.Store(&behind)
	e.door.Lead(halves)
}

// Address implements [resources.Lobby].
func (e *entrance) Address() string { return e.address }

// Loops implements [resources.Lobby].
func (e *entrance) Loops() *loop.Group { return e.loops }

// Metadata implements [resources.Lobby].
func (e *entrance) Metadata() map[string]string { return e.said() }

// Enter implements [resources.Lobby].
func (e *entrance) Enter(r resources.Resource, client net.Addr, id *resources.Identity) (*resources.Session, *resources.Fault) {
	run := (*e.behind.Load())[r]
	if run == nil { // it was replaced or removed a moment ago
		return nil, resources.NewFault(resources.Unavailable, resources.FromAgent, e.address, "the resource is being closed")
	}
	return run.Enter(client, id)
}

// sharing returns the driver of a resource that can share its address; nil when it cannot.
func (d *declared) sharing() resources.Sharing {
	s, _ := d.Driver.(resources.Sharing)
	return s
}

// enter opens the entrances that are missing for the addresses of a resource that can share them, and for what it accepts besides
// its own protocol.
func (p *plan) enter(d *declared) error {
	for _, f := range d.faces() {
		driver, ok := f.Driver.(resources.Sharing)
		if !ok {
			continue
		}
		for _, a := range f.Spec.Listen {
			key := listenKey(d.Spec.Name, a)
			if err := p.entrance(key, driver, p.listeners[key].Addr().String()); err != nil {
				return err
			}
		}
	}
	if d.Spec.Accept == nil {
		return nil
	}
	return p.converts(d)
}

// entrance takes over or opens an entrance.
func (p *plan) entrance(key string, driver resources.Sharing, address string) error {
	if e := p.set.entrances[key]; e != nil && e.driver == driver {
		p.entrances[key] = e
	}
	if p.entrances[key] != nil {
		return nil
	}
	e, err := openEntrance(driver, address, p.set.loops, p.set.said)
	if err != nil {
		return err
	}
	p.entrances[key] = e
	p.entered = append(p.entered, e)
	return nil
}

// leadEntrances lets the entrances lead to the resources of the plan, and their listeners to them.
func (p *plan) leadEntrances() {
	type leads struct {
		members []*member
		guests  []*resources.Guest
		certs   *listen.Certificates
	}
	behind := make(map[string]*leads)
	at := func(key string) *leads {
		if behind[key] == nil {
			behind[key] = &leads{}
		}
		return behind[key]
	}
	for _, name := range slices.Sorted(maps.Keys(p.members)) {
		m := p.members[name]
		for i, f := range m.faces() {
			if _, ok := f.Driver.(resources.Sharing); !ok {
				continue
			}
			for _, a := range f.Spec.Listen {
				l := at(listenKey(name, a))
				l.certs = m.certs // of all the same: see resources.Share
				if i == 0 {
					l.members = append(l.members, m)
				} else {
					l.guests = append(l.guests, p.gateways[name].guest)
				}
			}
		}
		if m.Spec.Accept != nil {
			l := at(innerKey(name))
			l.members = append(l.members, m)
		}
	}
	for key, e := range p.entrances {
		l := behind[key]
		e.lead(l.members)
		if h, ok := e.door.(resources.Hosting); ok {
			h.Host(l.guests)
		}
		if !e.inner {
			p.listeners[key].Handle(e.door.Serve, l.certs)
		}
	}
}

// closeDoors ends the clients' connections of some entrances and gateways, at their boundaries until ctx is done, then by force:
// first those of clients, then those of gateways, which are needed until then. It reports whether none was cut.
func closeDoors(ctx context.Context, entrances []*entrance, gateways []*gateway.HTTP) bool {
	var cut atomic.Bool
	for _, inner := range []bool{false, true} {
		var all sync.WaitGroup
		end := func(shutdown func(context.Context) error) {
			all.Go(func() {
				if shutdown(ctx) != nil {
					cut.Store(true)
				}
			})
		}
		for _, e := range entrances {
			if e.inner == inner {
				end(e.door.Shutdown)
			}
		}
		for _, g := range gateways {
			if !inner {
				end(g.Shutdown)
			}
		}
		all.Wait()
	}
	return !cut.Load()
}
