package motan

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/motan1"
	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/resources"
)

// door is an address at which services are called.
type door struct {
	lobby resources.Lobby
	gates []*gate // one for each loop, by its number
	turn  atomic.Uint32
	index atomic.Pointer[index]
	max   atomic.Int64 // longest metadata and body, in bytes
	idle  atomic.Int64 // how long a client may be silent, in ns
	conns atomic.Int32

	// What leads is made of, by one change of the agent at a time.
	members []resources.Resource
	guests  []*resources.Guest
}

// gate is the part of a door that lives on one loop. Everything in it is used on that loop only.
type gate struct {
	d      *door
	number int
	loop   *loop.Loop
	conns  *conn // doubly linked
	sweep  loop.Timer

	// Scratch.
	frame    motan2.Frame
	request  incoming
	request1 motan1.Request
	out      []byte
}

// OpenDoor implements resources.Sharing.
func (d *Driver) OpenDoor(lobby resources.Lobby) (resources.Door, error) {
	o := &door{lobby: lobby}
	o.index.Store(newIndex(nil, nil))
	o.max.Store(motan2.DefaultMax)
	lobby.Loops().Each(func(i int, l *loop.Loop) {
		g := &gate{d: o, number: i, loop: l}
		g.sweep.F = g.onSweep
		o.gates = append(o.gates, g)
	})
	return o, nil
}

// Lead implements resources.Door.
func (d *door) Lead(to []resources.Resource) {
	d.members = to
	d.led()
}

// Host implements resources.Hosting.
func (d *door) Host(guests []*resources.Guest) {
	d.guests = guests
	d.led()
}

// led makes the index anew.
func (d *door) led() {
	largest, idle := int64(0), int64(0)
	for _, m := range d.members {
		r := m.(*Resource)
		largest, idle = max(largest, int64(r.set.MaxContent)), max(idle, int64(r.rt.Policy().IdleTimeout))
	}
	for _, g := range d.guests {
		largest, idle = max(largest, int64(g.Settings.(*Settings).MaxContent)), max(idle, int64(g.Spec.Policy.IdleTimeout))
	}
	if largest > 0 {
		d.max.Store(largest)
		d.idle.Store(idle)
	}
	d.index.Store(newIndex(d.members, d.guests))
}

// Serve implements resources.Door: it hands the connection to a loop and returns.
func (d *door) Serve(nc net.Conn) {
	g := d.gates[int(d.turn.Add(1)-1)%len(d.gates)]
	d.conns.Add(1)
	co := &conn{g: g}
	if err := g.loop.Attach(nc, co.attached); err != nil {
		d.conns.Add(-1)
	}
}

// quiet is how long a client must have been silent to be one that is not about to send a request: longer than a busy machine keeps a
// program waiting that has one on its way.
const quiet = int64(1e9)

// Shutdown implements resources.Door. Motan has no word for "I am going away": a client that sends while its connection is
// closed loses the call. So connections are closed when nothing is under way and the client has been silent for a
// moment; the others when half of the time is over, after an answer. Agents understand the answers that they get meanwhile
// (motan2.Exception.Leaving) and close their connections themselves.
func (d *door) Shutdown(ctx context.Context) error {
	return resources.CloseDoor(ctx, &d.conns, func(late bool) {
		want := quiet
		if late {
			want = 0
		}
		for _, g := range d.gates {
			g.loop.Post(func() { g.drain(want) })
		}
	}, func() {
		for _, g := range d.gates {
			g.loop.Post(g.cut)
		}
	}, "clients were cut that waited for an answer")
}

// drain closes the connections that nothing is under way on and that have been silent for a time in ns.
func (g *gate) drain(silent int64) {
	for co := g.conns; co != nil; {
		next := co.next
		if co.n == 0 && co.conn.Pending() == 0 && co.conn.Buffered() == 0 && g.loop.Now()-co.last >= silent && !co.conn.Unread() {
			co.conn.Close(errDone)
		}
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

// onSweep ends connections that were silent for too long, and those that began a request and do not end it.
func (g *gate) onSweep(now int64) {
	idle := g.d.idle.Load()
	for co := g.conns; co != nil; {
		next := co.next
		switch {
		case co.n > 0 || co.conn.Pending() > 0:
		case co.partial > 0 && now-co.partial > int64(resources.DefaultHandshakeTimeout)+int64(co.conn.Buffered())*int64(time.Second)/slowest,
			idle > 0 && now-co.last > idle:
			co.conn.Close(errDone)
		}
		co = next
	}
	if g.conns != nil {
		g.loop.Set(&g.sweep, now+sweepEvery)
	}
}

// slowest is the least rate of a request that takes long, in bytes for each second.
const slowest = 1024
