package motan

import (
	"errors"
	"maps"
	"slices"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/resources"
)

// visit is a client at a guest: a service of another kind, which is given requests as they are and answers with frames.
type visit struct {
	resources.Visit
	guest *resources.Guest
	conn  *conn
	asks  map[*ask]struct{} // under way
}

// ask is a request that a guest has. Only the client's loop uses it.
type ask struct {
	v      *visit
	id     uint64 // of the request, as the client sent it
	oneway bool
	cancel func()
}

// ask gives a request to a guest.
func (co *conn) ask(ix *index, g *resources.Guest, q *incoming) {
	if q.v1 != 0 {
		co.refuse(q.head, q.v1, motan2.CodeDecode, g.Spec.Name+" speaks another protocol, and calls in Motan1 are not converted: use motan2")
		return
	}
	v := co.visit(ix, g)
	a := &ask{v: v, id: q.head.ID, oneway: q.head.Type&motan2.TypeOneway != 0}
	v.asks[a] = struct{}{}
	co.n++
	a.cancel = v.Ask(q.raw, func(frame []byte) {
		co.g.loop.Post(func() { a.answered(frame) })
	})
}

// visit returns the client's visit of a guest. Those of guests that are gone end when nothing of them is under way.
func (co *conn) visit(ix *index, g *resources.Guest) *visit {
	for _, v := range co.visits {
		if v.guest == g {
			return v
		}
	}
	co.visits = slices.DeleteFunc(co.visits, func(v *visit) bool {
		gone := len(v.asks) == 0 && !ix.has(v.guest)
		if gone {
			v.Close()
		}
		return gone
	})
	v := &visit{Visit: g.Enter(co.conn.Remote()), guest: g, conn: co, asks: map[*ask]struct{}{}}
	co.visits = append(co.visits, v)
	return v
}

// has reports whether a guest is there.
func (ix *index) has(g *resources.Guest) bool {
	for _, e := range ix.byService[g.Settings.(*Settings).service(g.Spec.Name)] {
		if e.guest == g {
			return true
		}
	}
	return false
}

// answered gives the client an answer, which nobody waits for any more when the request was canceled.
func (a *ask) answered(frame []byte) {
	co := a.v.conn
	if _, waits := a.v.asks[a]; !waits {
		return
	}
	a.over()
	if !a.oneway && !co.conn.Closed() {
		out := co.conn.Out(len(frame))
		at := len(out)
		out = append(out, frame...)
		motan2.SetID(out[at:], a.id)
		co.conn.SetOut(out)
		if co.conn.Pending() > maxUnread {
			co.conn.Close(errors.New("the client does not read its answers"))
		}
	}
	co.finished()
}

// over takes a request out of those that are under way.
func (a *ask) over() {
	delete(a.v.asks, a)
	co := a.v.conn
	co.n--
	co.last = co.g.loop.Now()
}

// cancel ends the requests that are under way; those without an answer only if all is true.
func (v *visit) cancel(all bool) {
	for a := range maps.Clone(v.asks) {
		if all || !a.oneway {
			a.over()
			a.cancel()
		}
	}
}
