package runtime

import (
	"cmp"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/agent/cluster"
	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/resources"
)

// Status is a resource as people see it.
type Status struct {
	Name       string              `json:"name"`
	Kind       string              `json:"kind"`
	Listen     []string            `json:"listen"`
	Ready      bool                `json:"ready"`
	Draining   bool                `json:"draining"`
	Revision   uint64              `json:"revision"` // rises with each change of policy, commands or operations
	Rates      Rates               `json:"rates"`
	Sessions   int64               `json:"sessions"`
	Pinned     map[string]int64    `json:"pinned_sessions"` // by pin; those that are 0 are left out
	Begun      int64               `json:"calls_begun"`
	Open       int64               `json:"calls_open"` // begun and not ended: 0 at rest
	Retries    map[string]int64    `json:"retries"`    // by kind
	Upstream   int64               `json:"upstream_connections"`
	Mismatches int64               `json:"reply_mismatches"` // must stay 0
	Groups     []GroupStatus       `json:"groups"`
	Commands   []resources.Command `json:"commands"`
	Filters    map[string]any      `json:"filters"` // what filters say of themselves, by name
}

// GroupStatus is one group.
type GroupStatus struct {
	Name     string `json:"name"`
	IDC      string `json:"idc"`
	Weight   int    `json:"weight"`   // of the spec
	InForce  int    `json:"in_force"` // weight for ordinary calls: of the newest switch of all, else the spec's
	Sound    int    `json:"sound"`    // endpoints that may be used
	Of       int    `json:"of"`       // endpoints that have a weight and are not drained
	Panics   bool   `json:"panics"`   // more than half are out, so that all are used
	Rates    Rates  `json:"rates"`    //
	Inflight int64  `json:"inflight"` // calls
	Upstream int64  `json:"upstream_connections"`
}

// EndpointStatus is one endpoint.
type EndpointStatus = cluster.Status

// OperationStatus is one operation of one group. Group is "none" for calls that ended before they were routed.
type OperationStatus struct {
	Op    string `json:"op"`
	Text  string `json:"text"` // what it is, when its name does not say so
	Class string `json:"class"`
	Group string `json:"group"`
	Rates Rates  `json:"rates"`
}

// SessionStatus is one client connection.
type SessionStatus struct {
	ID     uint64    `json:"id"`
	Client string    `json:"client"`
	Caller string    `json:"caller"`
	User   string    `json:"user"`
	IDC    string    `json:"idc"`
	Pins   []string  `json:"pins"`
	Why    string    `json:"why"` // it is pinned, in words; "" where nobody says
	Calls  uint64    `json:"calls"`
	LastOp string    `json:"last_op"`
	Since  time.Time `json:"since"`
}

// Status returns what the resource is doing.
func (r *Resource) Status() Status {
	sn := r.snapshot.Load()
	all := r.traffic.by(r.metrics, func(cellKey) cellKey { return cellKey{} })
	st := Status{
		Name: r.name, Kind: r.kind, Listen: sn.spec.Listen, Ready: r.Ready(), Draining: r.draining.Load(),
		Revision: sn.generation, Rates: all[cellKey{}], Sessions: r.sessionGauge.Load(), Pinned: map[string]int64{},
		Open: r.accounts.open(), Begun: r.accounts.begun(), Retries: map[string]int64{}, Mismatches: r.mismatches.Load(),
		Groups: r.groups(sn), Commands: slices.Clone(sn.commands), Filters: sn.chain.Status(),
	}
	if st.Commands == nil {
		st.Commands = []resources.Command{}
	}
	for i, g := range r.pinGauges {
		if n := g.Load(); n != 0 {
			st.Pinned[resources.PinName(i)] = n
		}
	}
	for kind := retryFailover; kind < numRetries; kind++ {
		for _, c := range r.retries[kind] {
			st.Retries[retryNames[kind]] += c.Load()
		}
	}
	for _, g := range st.Groups {
		st.Upstream += g.Upstream
	}
	return st
}

// groups returns the groups by name.
func (r *Resource) groups(sn *snapshot) []GroupStatus {
	by := r.traffic.by(r.metrics, func(k cellKey) cellKey { return cellKey{group: k.group} })
	inForce := sn.ordinary()
	view := r.cluster.View()
	endpoints := r.cluster.Status()
	out := []GroupStatus{}
	for _, p := range view.Pools {
		if p == nil {
			continue
		}
		l := p.List(resources.RoleAny)
		g := GroupStatus{
			Name: p.Name, IDC: p.IDC, Weight: sn.spec.Groups[p.Name].Share(), InForce: int(inForce.weight(p.ID)),
			Sound: l.Sound, Of: l.Of, Panics: l.Panics(), Rates: by[cellKey{group: p.Name}],
		}
		for _, e := range endpoints {
			if e.Group == p.Name {
				g.Inflight += int64(e.Inflight)
				g.Upstream += e.Connections
			}
		}
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b GroupStatus) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Endpoints returns the endpoints, by group and address.
func (r *Resource) Endpoints() []EndpointStatus {
	out := r.cluster.Status()
	slices.SortFunc(out, func(a, b EndpointStatus) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Address, b.Address))
	})
	return out
}

// Operations returns the operations that were called since the agent started, the busiest first.
func (r *Resource) Operations() []OperationStatus {
	out := []OperationStatus{}
	for k, v := range r.traffic.by(r.metrics, func(k cellKey) cellKey { return k }) {
		if v.Total > 0 {
			o := OperationStatus{Op: k.op, Class: k.class, Group: k.group, Rates: v}
			if id, ok := r.ops.Lookup(k.op); ok {
				o.Text = r.ops.Info(id).Text
			}
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b OperationStatus) int {
		return cmp.Or(-cmp.Compare(a.Rates.Calls, b.Rates.Calls), -cmp.Compare(a.Rates.Total, b.Rates.Total),
			cmp.Compare(a.Op, b.Op), cmp.Compare(a.Group, b.Group))
	})
	return out
}

// Sessions returns the client connections, the oldest first.
func (r *Resource) Sessions() []SessionStatus {
	out := []SessionStatus{}
	r.sessions.each(func(s *resources.Session) {
		id := s.Identity()
		pins := resources.PinNames(s.Pins())
		if pins == nil {
			pins = []string{}
		}
		out = append(out, SessionStatus{
			ID: s.ID, Client: s.Client, Caller: id.Caller, User: id.User, IDC: id.IDC, Pins: pins, Why: s.PinReason(), Calls: s.Calls.Load(),
			LastOp: r.ops.Info(resources.OpID(s.LastOp.Load())).Name, Since: clock.Wall(s.Opened),
		})
	})
	slices.SortFunc(out, func(a, b SessionStatus) int { return cmp.Compare(a.ID, b.ID) })
	return out
}
