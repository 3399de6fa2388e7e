package redis

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// probe checks one server on a connection that it keeps: ROLE says whether it is a primary or a replica, and how it is.
type probe struct {
	r  *Resource
	ep *resources.Endpoint
	cl *client
}

// Partitioned implements resources.Partitioned: the servers of a cluster, and those of a hashed pool, are all primaries.
func (r *Resource) Partitioned() bool { return r.partitioned() }

// Probe implements resources.Resource.
func (r *Resource) Probe(ep *resources.Endpoint) resources.Probe { return &probe{r: r, ep: ep} }

// Close implements resources.Probe.
func (p *probe) Close() {
	if p.cl != nil {
		_ = p.cl.nc.Close()
		p.cl = nil
	}
}

// Check implements resources.Probe.
func (p *probe) Check(ctx context.Context) (resources.Health, error) {
	if p.cl == nil {
		nc, fault := p.r.rt.Dial(ctx, p.ep)
		if fault != nil {
			return resources.Health{}, fault
		}
		if err := handshake(ctx, nc, attr{user: p.r.base.user, password: p.r.base.password}, false); err != nil {
			_ = nc.Close()
			return resources.Health{}, err
		}
		p.cl = &client{nc: nc}
	}
	v, err := p.cl.do(ctx, "ROLE")
	if err != nil {
		p.Close()
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			err = errors.New("no answer to ROLE in time")
		}
		return resources.Health{}, err
	}
	if v.IsError() {
		return answered(v.Str), nil
	}
	h := resources.Health{Ready: true}
	if len(v.Elems) == 0 {
		return h, nil
	}
	switch v.Elems[0].Str {
	case "master":
		h.Role = resources.RolePrimary
	case "slave":
		h.Role = resources.RoleReplica
		if len(v.Elems) > 3 && v.Elems[3].Str != "connected" {
			h.Detail = "replication: " + v.Elems[3].Str
			h.Lag = time.Hour // not known, and growing
		}
	case "sentinel":
		if p.r.set.Topology == topologySentinel {
			return resources.Health{Detail: "no sentinel has told yet who the primary is"}, nil
		}
		return resources.Health{Detail: "this is a sentinel; set settings.topology to sentinel"}, nil
	}
	return h, nil
}

// answered says how a server is that answers ROLE with an error. One that wants a login works: clients may bring theirs.
func answered(text string) resources.Health {
	word, _, _ := strings.Cut(text, " ")
	switch word {
	case "NOAUTH", "NOPERM", "WRONGPASS":
		return resources.Health{Ready: true, Detail: "the role is not known: " + text + "; settings.login lets the agent ask"}
	case "ERR": // a server without ROLE
		return resources.Health{Ready: true}
	}
	return resources.Health{Detail: text} // LOADING, MASTERDOWN and the like
}
