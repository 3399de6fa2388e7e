package resources

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Role is what an endpoint may be used for.
type Role uint8

const (
	RoleAny Role = iota // unknown, or all alike
	RolePrimary
	RoleReplica
)

// String returns the word of config and metrics.
func (r Role) String() string {
	switch r {
	case RolePrimary:
		return "primary"
	case RoleReplica:
		return "replica"
	}
	return "any"
}

// ParseRole is the inverse of String; the empty string is RoleAny.
func ParseRole(s string) (Role, error) {
	switch s {
	case "", "any":
		return RoleAny, nil
	case "primary":
		return RolePrimary, nil
	case "replica":
		return RoleReplica, nil
	}
	return 0, fmt.Errorf("unknown role %q: use primary, replica or any", s)
}

// Endpoint is one address of a resource. The same Endpoint lives as long as its resource lists the address in the same
// group, whatever else changes; state is kept with it and goes with it.
type Endpoint struct {
	Resource string
	Group    string
	IDC      string
	Address  string // host:port, or unix:/path
	ID       int    // dense and unique within the resource while the endpoint lives; for arrays
	GroupID  int    // likewise for its group

	weight atomic.Int32
	role   atomic.Uint32
	gone   atomic.Bool

	// Inflight counts calls routed here and not ended.
	Inflight atomic.Int32
	// State belongs to the cluster: health, ejection, latency.
	State any
}

// Weight returns the endpoint's share, 0 to 10000; 100 is the default.
func (e *Endpoint) Weight() int32 { return e.weight.Load() }

// SetWeight changes the share.
func (e *Endpoint) SetWeight(w int32) { e.weight.Store(w) }

// Role returns the role as last configured or discovered.
func (e *Endpoint) Role() Role { return Role(e.role.Load()) }

// SetRole changes the role.
func (e *Endpoint) SetRole(r Role) { e.role.Store(uint32(r)) }

// Gone reports that the endpoint is no longer part of its resource, or is drained: nothing new may be sent there, and
// drivers close their connections to it as they become free.
func (e *Endpoint) Gone() bool { return e.gone.Load() }

// SetGone marks the endpoint as gone, or as back.
func (e *Endpoint) SetGone(g bool) { e.gone.Store(g) }

// Health is what a probe learnt.
type Health struct {
	Ready   bool          // it answers and may be used
	Role    Role          // RoleAny: the server does not say
	Lag     time.Duration // behind its primary, when it is a replica and says so
	Version string
	Detail  string // why it is not ready, or what else is worth showing
	Weight  int    // its share of the group\'s traffic, as the server says itself; 0: it does not say
	// Epoch is the number of the promotion that made a server primary, where the kind has such numbers and the server
	// tells its own: of two that say "primary" the one with the higher number is right. 0: unknown.
	Epoch uint64
	// Stale says that a replica is too far behind its primary to be read from, as its resource's settings have it. It stays
	// up: it only gets no reads until it has caught up.
	Stale bool
}

// Partitioned is an optional capability of a [Resource]: whether the endpoints of a group hold different parts of the
// data, so that each of them is the primary of its part. Of all other resources whose servers say that they are
// primaries, a group has one that is written to.
type Partitioned interface {
	Partitioned() bool
}

// Places says where a key of a partitioned resource lives: one partition of one group. A nil Primary means that the
// partition has none now. Next is the same for another group.
type Places struct {
	GroupID  int
	Primary  *Endpoint
	Replicas []*Endpoint
	Next     *Places
}
