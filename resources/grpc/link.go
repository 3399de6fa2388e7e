package grpc

import "github.com/sluice-mesh/sluice/resources"

// A link is a session of one client at one service, for one application that calls through it. A client has links, a service
// has them linked.
type (
	link   = resources.Link[*shard, *conn]
	links  = resources.Links[*shard, *conn]
	linked = resources.Linked[*shard, *conn]
)

// link returns the client's session at a service for an application. It returns a fault when the service takes no more sessions.
func (co *conn) link(r *Resource, caller string) (*link, *resources.Fault) {
	sh := r.shards[co.g.number]
	if l := co.links.Find(&sh.links, []byte(caller)); l != nil {
		return l, nil
	}
	l, fault := co.links.Enter(co.g.d.lobby, r, &sh.links, co, co.conn.Remote(), caller)
	if l != nil {
		sh.startSweep()
	}
	return l, fault
}
