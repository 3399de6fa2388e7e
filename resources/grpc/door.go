package grpc

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/resources"
)

// door is an address at which services are called.
type door struct {
	lobby  resources.Lobby
	gates  []*gate // one for each loop, by its number
	turn   atomic.Uint32
	index  atomic.Pointer[index]
	idle   atomic.Int64 // how long a client may be silent, in ns
	window atomic.Int64 // what a client may send of a call before it has to wait, in bytes
	conns  atomic.Int32
}

// gate is the part of a door that lives on one loop. Everything in it is used on that loop only.
type gate struct {
	d      *door
	number int
	loop   *loop.Loop
	conns  *conn // doubly linked
	sweep  loop.Timer

	// Scratch.
	head request
	out  []byte
}

// OpenDoor implements resources.Sharing.
func (d *Driver) OpenDoor(lobby resources.Lobby) (resources.Door, error) {
	o := &door{lobby: lobby}
	o.index.Store(newIndex(nil))
	o.window.Store(defaultWindow)
	lobby.Loops().Each(func(i int, l *loop.Loop) {
		g := &gate{d: o, number: i, loop: l}
		g.sweep.F = g.onSweep
		o.gates = append(o.gates, g)
	})
	return o, nil
}

// Lead implements resources.Door.
func (d *door) Lead(to []resources.Resource) {
	window, idle := int64(0), int64(0)
	for _, m := range to {
		r := m.(*Resource)
		window, idle = max(window, int64(r.set.Window)), max(idle, int64(r.rt.Policy().IdleTimeout))
	}
	if len(to) > 0 {
		d.window.Store(window)
		d.idle.Store(idle)
	}
	d.index.Store(newIndex(to))
}

// Serve implements resources.Door: it hands the connection to a loop and returns.
func (d *door) Serve(nc net.Conn) {
	g := d.gates[int(d.turn.Add(1)-1)%len(d.gates)]
	d.conns.Add(1)
	co := &conn{g: g, calls: make(map[uint32]*call)}
	if err := g.loop.Attach(nc, co.attached); err != nil {
		d.conns.Add(-1)
	}
}

// Shutdown implements resources.Door. Clients are told to go elsewhere (GOAWAY), first with the highest number of a stream, so
// that what they send meanwhile is still worked on, and when they have shown that they heard it, with the number of
// their last one (RFC 9113, section 6.8). A connection ends with its last call.
func (d *door) Shutdown(ctx context.Context) error {
	return resources.CloseDoor(ctx, &d.conns, func(bool) {
		for _, g := range d.gates {
			g.loop.Post(g.drain)
		}
	}, func() {
		for _, g := range d.gates {
			g.loop.Post(g.cut)
		}
	}, "clients were cut that waited for an answer")
}

func (g *gate) drain() {
	for co := g.conns; co != nil; {
		next := co.next
		co.drain()
		co = next
	}
}

func (g *gate) cut() {
	for co := g.conns; co != nil; {
		next := co.next
		co.conn.Close(errDone)
		co = next
	}
}

const sweepEvery = int64(1e9)

// onSweep ends connections that were silent for too long, and those that began a frame and do not end it.
func (g *gate) onSweep(now int64) {
	idle := g.d.idle.Load()
	for co := g.conns; co != nil; {
		next := co.next
		begun := co.partial
		if !co.greeted || co.blocks.Open() {
			begun = max(begun, co.since)
		}
		switch {
		case co.ending > 0:
			if now-co.ending > int64(resources.DefaultHandshakeTimeout) {
				co.conn.Close(errDone)
			}
		case begun > 0 && now-begun > int64(resources.DefaultHandshakeTimeout):
			co.conn.Close(errors.New("the client began something and does not end it"))
		case co.draining > 0:
			co.drain()
		case len(co.calls) == 0 && idle > 0 && now-co.last > idle:
			co.goAway(co.newest) // which means that what it sends now was not begun
			co.close()
		}
		co = next
	}
	if g.conns != nil {
		g.loop.Set(&g.sweep, now+sweepEvery)
	}
}
