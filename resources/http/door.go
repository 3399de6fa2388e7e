package http

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/http1"
	"github.com/sluice-mesh/sluice/resources"
)

// door is an address at which services are called.
type door struct {
	lobby resources.Lobby
	gates []*gate // one for each loop, by its number
	turn  atomic.Uint32
	index atomic.Pointer[index]
	idle  atomic.Int64 // how long a client may be silent, in ns
	conns atomic.Int32
}

// gate is the part of a door that lives on one loop. Everything in it is used on that loop only.
type gate struct {
	d        *door
	number   int
	loop     *loop.Loop
	conns    *conn // doubly linked
	draining bool  // each answer says that the connection ends with it

	// Scratch.
	request http1.Request
	out     []byte
}

// OpenDoor implements resources.Sharing.
func (d *Driver) OpenDoor(lobby resources.Lobby) (resources.Door, error) {
	o := &door{lobby: lobby}
	o.index.Store(newIndex(nil))
	lobby.Loops().Each(func(i int, l *loop.Loop) {
		o.gates = append(o.gates, &gate{d: o, number: i, loop: l})
	})
	return o, nil
}

// Lead implements resources.Door.
func (d *door) Lead(to []resources.Resource) {
	idle := int64(0)
	for _, m := range to {
		idle = max(idle, int64(m.(*Resource).rt.Policy().IdleTimeout))
	}
	if len(to) > 0 {
		d.idle.Store(idle)
	}
	d.index.Store(newIndex(to))
}

// Serve implements resources.Door: it hands the connection to a loop and returns.
func (d *door) Serve(nc net.Conn) {
	g := d.gates[int(d.turn.Add(1)-1)%len(d.gates)]
	d.conns.Add(1)
	_, secure := nc.(*tls.Conn)
	co := &conn{g: g, secure: secure, client: clientOf(nc.RemoteAddr())}
	if err := g.loop.Attach(nc, co.attached); err != nil {
		d.conns.Add(-1)
	}
}

// clientOf returns a client's address as X-Forwarded-For has it; "" when it has none.
func clientOf(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("").String()
	}
	return ""
}

// quiet is for how long a client must have been silent to be one that is not about to send a request, in ns. Those that are
// get the answer to it, and in that the word that the connection ends.
const quiet = int64(1e9)

// Shutdown implements resources.Door. Each answer from now on says that the connection ends with it. Clients that are silent
// are closed after a moment; when half of the time is over all between two requests are.
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
	}, "clients were cut that waited for an answer, or whose connection was upgraded")
}

// drain closes the connections that nothing is under way on and that have been silent for a time in ns.
func (g *gate) drain(silent int64) {
	g.draining = true
	for co := g.conns; co != nil; {
		next := co.next
		if co.between() && co.conn.Pending() == 0 && co.conn.Buffered() == 0 && g.loop.Now()-co.last >= silent && !co.conn.Unread() {
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
