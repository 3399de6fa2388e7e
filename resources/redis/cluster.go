package redis

import (
	"context"
	"errors"
	"net"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
)

// slotMap says where the slots of the clusters are, one cluster for each group. It is immutable.
type slotMap struct {
	places  [resp.Slots]*resources.Places
	servers []*resources.Endpoint // primaries, in the order of their slots
}

// partitioned reports whether a key belongs to one of the resource's servers.
func (r *Resource) partitioned() bool {
	return r.set.Topology == topologyCluster || r.set.Topology == topologyHashed
}

// place returns where a slot lives; nil when that is not known, so that any server may be asked: it redirects.
func (r *Resource) place(slot uint16) *resources.Places {
	if m := r.slots.Load(); m != nil {
		return m.places[slot]
	}
	return nil
}

// servers returns the servers that hold a part of the data each, in a stable order, in the group that the call goes to.
func (r *Resource) servers(c *resources.Call) []*resources.Endpoint {
	var all []*resources.Endpoint
	if r.set.Topology == topologyCluster {
		if m := r.slots.Load(); m != nil {
			all = m.servers
		}
	} else {
		for _, ep := range r.rt.Endpoints() {
			if ep.Role() != resources.RoleReplica && !ep.Gone() {
				all = append(all, ep)
			}
		}
	}
	group := r.rt.Group(c)
	var out []*resources.Endpoint
	for _, ep := range all {
		if ep.GroupID == group {
			out = append(out, ep)
		}
	}
	return out
}

// refresh asks the topology's watcher to look again soon.
func (r *Resource) refresh() {
	select {
	case r.wantMap <- struct{}{}:
	default:
	}
}

// redirected follows MOVED and ASK of a cluster: "MOVED 3999 127.0.0.1:6381". The server did not execute the request.
func (sh *shard) redirected(c *call, said string, req []byte) bool {
	if sh.r.set.Topology != topologyCluster || c.moves >= maxMoves {
		return false
	}
	f := strings.Fields(said)
	if len(f) != 3 {
		return false
	}
	if f[0] == "MOVED" {
		sh.r.refresh()
	}
	addr := f[2]
	if strings.HasPrefix(addr, ":") { // the server does not know its own address: the same host
		host, _, err := net.SplitHostPort(c.Endpoint.Address)
		if err != nil {
			return false
		}
		addr = net.JoinHostPort(host, addr[1:])
	}
	var to *resources.Endpoint
	for _, ep := range sh.rt.Endpoints() {
		if ep.Address == addr && ep.GroupID == c.Endpoint.GroupID {
			to = ep
		}
	}
	if to == nil {
		sh.r.refresh()
		return false // not known yet: the client retries, as it does with a cluster
	}
	c.moves++
	c.asked = f[0] == "ASK"
	c.Redirect, c.Sent = to, resources.SentNothing
	c.Fault = resources.NewFault(resources.Unavailable, resources.FromUpstream, sh.rt.Name(), c.Endpoint.Address+" answered "+said)
	c.Outcome = resources.OutcomeOf(c.Fault)
	sh.again(c, req, append(append([]byte{'-'}, said...), '\r', '\n'))
	return true
}

// slotRange is a line of CLUSTER SLOTS.
type slotRange struct {
	from, to int
	nodes    []string // the primary first
}

// parseSlots reads CLUSTER SLOTS: an array of ranges, each first slot, last slot and nodes; a node is host, port, id and,
// since 7.0, more. An empty host means the one that was asked.
func parseSlots(v resp.Value, asked string) ([]slotRange, error) {
	host, _, err := net.SplitHostPort(asked)
	if err != nil {
		return nil, err
	}
	var out []slotRange
	for _, e := range v.Elems {
		if len(e.Elems) < 3 {
			return nil, errors.New("CLUSTER SLOTS: a range has fewer than three elements")
		}
		r := slotRange{from: int(e.Elems[0].Int), to: int(e.Elems[1].Int)}
		if r.from < 0 || r.to < r.from || r.to >= resp.Slots {
			return nil, errors.New("CLUSTER SLOTS: the range " + strconv.Itoa(r.from) + "-" + strconv.Itoa(r.to) + " is none")
		}
		for _, n := range e.Elems[2:] {
			if len(n.Elems) < 2 {
				return nil, errors.New("CLUSTER SLOTS: a node has fewer than two elements")
			}
			h := n.Elems[0].Str
			if h == "" || h == "?" {
				h = host
			}
			r.nodes = append(r.nodes, net.JoinHostPort(h, strconv.FormatInt(n.Elems[1].Int, 10)))
		}
		out = append(out, r)
	}
	if len(out) == 0 {
		return nil, errors.New("CLUSTER SLOTS: no slot is served")
	}
	sort.Slice(out, func(i, j int) bool { return out[i].from < out[j].from })
	return out, nil
}

// Watch implements resources.Topology.
func (r *Resource) Watch(ctx context.Context, group string, seeds []string, report func([]resources.Member)) error {
	switch r.set.Topology {
	case topologySentinel:
		return r.watchSentinels(ctx, seeds, report)
	case topologyCluster:
		return r.watchCluster(ctx, group, seeds, report)
	}
	<-ctx.Done()
	return ctx.Err()
}

// Discovers reports whether the topology finds endpoints by itself, so that those of the config are seeds only.
func (r *Resource) Discovers() bool {
	return r.set.Topology == topologySentinel || r.set.Topology == topologyCluster
}

const (
	lookEvery = 5 * time.Second        // at topologies that nothing hints at
	lookLeast = 200 * time.Millisecond // between two looks, whatever hints
)

// pause waits for the next look: a hint, or the time.
func (r *Resource) pause(ctx context.Context, every time.Duration) error {
	least, most := time.NewTimer(lookLeast), time.NewTimer(every)
	defer least.Stop()
	defer most.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-least.C:
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.wantMap:
	case <-most.C:
	}
	return nil
}

// SeedsOnly tells the cluster that seeds serve no calls: sentinels know servers and are none.
func (r *Resource) SeedsOnly() bool { return r.set.Topology == topologySentinel }

// watchCluster reads the slots from any node that answers.
func (r *Resource) watchCluster(ctx context.Context, group string, seeds []string, report func([]resources.Member)) error {
	known := seeds
	every := lookEvery
	for {
		ranges, err := r.readSlots(ctx, known)
		if err != nil && len(seeds) > 0 {
			ranges, err = r.readSlots(ctx, seeds)
		}
		if err != nil {
			r.rt.Log("warn", "the slots of the cluster cannot be read; the last known ones stay", "group", group, "error", err)
			every = time.Second
		} else {
			every = lookEvery
			var members []resources.Member
			known, members = membersOf(ranges)
			report(members)
			r.storeSlots(group, ranges)
		}
		if err := r.pause(ctx, every); err != nil {
			return err
		}
	}
}

func membersOf(ranges []slotRange) (addrs []string, members []resources.Member) {
	seen := map[string]bool{}
	for _, rg := range ranges {
		for i, n := range rg.nodes {
			if seen[n] {
				continue
			}
			seen[n] = true
			role := resources.RoleReplica
			if i == 0 {
				role = resources.RolePrimary
			}
			addrs = append(addrs, n)
			members = append(members, resources.Member{Address: n, Role: role})
		}
	}
	return addrs, members
}

func (r *Resource) readSlots(ctx context.Context, addrs []string) ([]slotRange, error) {
	err := errors.New("no address is known")
	for _, addr := range addrs {
		var v resp.Value
		v, err = r.ask(ctx, addr, r.base, "CLUSTER", "SLOTS")
		if err != nil {
			continue
		}
		var ranges []slotRange
		if ranges, err = parseSlots(v, addr); err == nil {
			return ranges, nil
		}
	}
	return nil, err
}

// ask sends one command on a connection of its own.
func (r *Resource) ask(ctx context.Context, addr string, as login, args ...string) (resp.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.rt.Policy().ConnectTimeout)+time.Second)
	defer cancel()
	nc, fault := r.rt.Dial(ctx, &resources.Endpoint{Resource: r.rt.Name(), Address: addr, ID: -1})
	if fault != nil {
		return resp.Value{}, fault
	}
	defer func() { _ = nc.Close() }()
	if err := handshake(ctx, nc, attr{user: as.user, password: as.password}, false); err != nil {
		return resp.Value{}, err
	}
	v, err := (&client{nc: nc}).do(ctx, args...)
	if err == nil && v.IsError() {
		err = errors.New(addr + " answered " + v.Str)
	}
	return v, err
}

// storeSlots puts one group's ranges into the map.
func (r *Resource) storeSlots(group string, ranges []slotRange) {
	r.mapMu.Lock()
	defer r.mapMu.Unlock()
	by := map[string]*resources.Endpoint{}
	id := -1
	for _, ep := range r.rt.Endpoints() {
		if ep.Group == group {
			by[ep.Address] = ep
			id = ep.GroupID
		}
	}
	m := &slotMap{}
	if old := r.slots.Load(); old != nil {
		for i, p := range old.places {
			m.places[i] = without(p, id)
		}
		for _, ep := range old.servers {
			if ep.GroupID != id {
				m.servers = append(m.servers, ep)
			}
		}
	}
	seen := map[*resources.Endpoint]bool{}
	for _, rg := range ranges {
		p := resources.Places{Primary: by[rg.nodes[0]], GroupID: id}
		for _, n := range rg.nodes[1:] {
			if ep := by[n]; ep != nil {
				p.Replicas = append(p.Replicas, ep)
			}
		}
		if p.Primary != nil && !seen[p.Primary] {
			seen[p.Primary] = true
			m.servers = append(m.servers, p.Primary)
		}
		shared := map[*resources.Places]*resources.Places{}
		for i := rg.from; i <= rg.to; i++ {
			rest := m.places[i]
			if shared[rest] == nil {
				q := p
				q.Next = rest
				shared[rest] = &q
			}
			m.places[i] = shared[rest]
		}
	}
	r.slots.Store(m)
}

// without returns the places of all groups but one.
func without(p *resources.Places, group int) *resources.Places {
	if p == nil {
		return nil
	}
	rest := without(p.Next, group)
	if p.GroupID == group {
		return rest
	}
	if rest == p.Next {
		return p
	}
	q := *p
	q.Next = rest
	return &q
}
