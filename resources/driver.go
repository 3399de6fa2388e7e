package resources

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/internal/loop"
)

// Driver makes resources of one kind.
type Driver interface {
	// Kind is the word of the `kind:` key.
	Kind() string
	// Settings decodes the `settings:` of a resource, fills in defaults and checks bounds. raw decodes into the
	// struct it is given, strictly, and may be called once; it is never nil.
	Settings(raw func(into any) error) (Settings, error)
	// Ops returns the operations that the kind knows without asking a server.
	Ops() []OpInfo
	// Open makes a resource. It starts what the resource needs; Close ends it.
	Open(Settings, Runtime) (Resource, error)
}

// TLSNegotiator is an optional capability of a [Driver] whose protocol begins in clear and changes over to TLS by its own
// messages. Connections then come as they are, Runtime.Dial does no TLS handshake, and the driver does both.
type TLSNegotiator interface {
	NegotiatesTLS()
}

// Alike is an optional capability of a [Driver] whose servers are all alike, as those of services are: none is a primary, and a call
// may go to any of a group, whatever it does. Roles of endpoints mean nothing then.
type Alike interface {
	Alike()
}

// TLSNamed is an optional capability of a [Driver] whose protocol has a name in TLS (ALPN, RFC 7301), which clients and servers
// may insist on.
type TLSNamed interface {
	TLSProtocol() string
}

// Settings is a kind's own configuration, as its driver decoded it. It is compared with reflect.DeepEqual to find out
// whether a new spec changes it.
type Settings any

// Resource is one open resource: the driver's half. It is a [Server] as well, unless its driver is [Sharing].
type Resource interface {
	// Probe opens a health check of one endpoint. It does not dial before Check is called.
	Probe(ep *Endpoint) Probe
	// AppendStop appends the native answer for a call that a filter or the agent ended: fault, empty or fixed.
	AppendStop(dst []byte, c *Call, s *Stop) []byte
	// Update tells the driver that its endpoints, groups or timeouts changed. Changed Settings re-open the resource.
	Update()
	// Shutdown stops the resource: sessions end at their boundaries until ctx is done, then they are cut.
	Shutdown(ctx context.Context) error
}

// Server is a [Resource] that has its addresses alone.
type Server interface {
	// Serve takes over a client's connection. It may serve it on the calling goroutine or hand it to a loop and return
	// at once; either way the driver closes conn and then calls Runtime.Closed(s), exactly once.
	Serve(conn net.Conn, s *Session)
}

// Probe checks one endpoint. Check is called from one goroutine at a time, with a deadline in ctx.
type Probe interface {
	Check(ctx context.Context) (Health, error)
	Close()
}

// Topology is an optional capability of a [Resource]: endpoints that the servers themselves know of (Sentinel, cluster
// slots, brokers) take the place of a group's configured ones, which then are only the seeds.
type Topology interface {
	// Discovers reports whether the resource's settings ask for that; otherwise the configured endpoints are used.
	Discovers() bool
	// Watch reports the members of a group each time they change, until ctx is done. It must report the full set.
	Watch(ctx context.Context, group string, seeds []string, report func([]Member)) error
}

// Member is an endpoint that a Topology or a [Finder] found.
type Member struct {
	Address string
	Role    Role
	Weight  int // its share of the group's traffic; 0: not said, which is 100
}

// Runtime is the agent's half of a resource: what a driver may ask. All methods may be called from any goroutine.
type Runtime interface {
	// Name is the resource's name.
	Name() string
	// Loops are the event loops of the process, for drivers that poll their connections. They outlive the resource.
	Loops() (*loop.Group, error)
	// Ops is the resource's operation table. Drivers add what servers report by Intern, then call OpsChanged.
	Ops() *Ops
	OpsChanged()

	// Begin runs the filters. A Stop means that the call ends without an upstream: answer it with AppendStop, then End.
	Begin(*Call) *Stop
	// Route chooses an endpoint for the call, within c.Place if that is set. A fault means that there is none.
	Route(*Call) (*Endpoint, *Fault)
	// Group says which group a call goes to by commands, weights and its key, before it is routed; its GroupID.
	Group(*Call) int
	// Backup chooses another endpoint for a second copy of a call whose Backup time has come; nil when there is none or
	// the budget is spent. The driver takes the first answer and then calls End once.
	Backup(*Call) *Endpoint
	// Spare asks the budget of extra attempts for n requests that the driver wants to send again to the same endpoint, on
	// another connection: all of them or none. Their calls go on as they were.
	Spare(n int) bool
	// End closes an attempt. Again means that Route has been asked for another endpoint and the request may be sent
	// there; Done that the call is over and OnDone has run.
	End(*Call) Next
	// Boundary says whether a session that is between requests may stay on ep (nil: it holds no endpoint).
	Boundary(s *Session, ep *Endpoint) Move
	// Closed forgets a session.
	Closed(*Session)
	// Pinned records a change of a session's pins.
	Pinned(s *Session, pins Pin)

	// Dial opens a connection to ep within the connect timeout, with the resource's upstream TLS, under the caps that
	// keep a reconnecting crowd from hurting the server. Its outcome counts for the endpoint's health.
	Dial(ctx context.Context, ep *Endpoint) (net.Conn, *Fault)
	// ServerTLS and ClientTLS are for a [TLSNegotiator]: how to answer clients that ask for TLS, and how to ask ep for it;
	// nil: not at all. A client's configuration may change with its files; ask for it with each connection.
	ServerTLS() *tls.Config
	ClientTLS(ep *Endpoint) *tls.Config
	// Connections counts the driver's open upstream connections; mode is "shared", "leased" or "paired".
	Connections(ep *Endpoint, mode string, delta int)
	// Report tells the cluster what a driver learnt of an endpoint outside of calls: its role as the server says it, or
	// that it refused a login.
	Report(ep *Endpoint, h Health)
	// Groups returns the names of the groups that the spec has now, without borrowed ones, sorted. The slice must not be changed.
	Groups() []string
	// Endpoints returns the current endpoints of every group, ordered by ID. The slice must not be changed.
	Endpoints() []*Endpoint
	// Choose picks an endpoint for work that is no call (learning commands, replaying state); nil when none is usable.
	Choose(primary bool) *Endpoint
	// Policy returns the limits and timeouts in force.
	Policy() *Policy
	// Counter returns a counter of the resource, in addition to those that every kind has: a metric's name and pairs of
	// label and value. The same arguments give the same counter; a label with too many values counts as "other".
	Counter(name string, labels ...string) Counter
	// Mismatch counts a reply that could not be matched with its request. It must never happen.
	Mismatch()
	// Dropped counts something that was given up: what is a metric label.
	Dropped(what string)
	// Log writes one line about the resource at the given level ("debug", "info", "warn", "error").
	Log(level, msg string, kv ...any)
}

// Counter counts what a driver wants to be known about. It may be used by all goroutines at once.
type Counter interface{ Add(n int64) }

// Filter is one policy in the chain. Both methods run on the hot path: they must not block, allocate or keep the call.
type Filter interface {
	// OnCall decides before routing; nil means go on.
	OnCall(*Call) *Stop
	// OnDone sees the outcome, exactly once for each OnCall that ran, in reverse order.
	OnDone(*Call)
}

// Timeouts that hold where a policy says nothing (docs: laws of the design).
const (
	DefaultConnectTimeout   = time.Second
	DefaultHandshakeTimeout = 5 * time.Second
	DefaultDrainTimeout     = 30 * time.Second
)

var drivers struct {
	sync.Mutex
	byKind map[string]Driver
}

// Register adds a driver under its kind. It is called from init functions of driver packages and panics on a duplicate.
func Register(d Driver) {
	drivers.Lock()
	defer drivers.Unlock()
	if _, dup := drivers.byKind[d.Kind()]; dup {
		panic("resources: kind " + d.Kind() + " registered twice")
	}
	if drivers.byKind == nil {
		drivers.byKind = make(map[string]Driver)
	}
	drivers.byKind[d.Kind()] = d
}

// DriverOf returns the driver of a kind, or an error that names the kinds there are.
func DriverOf(kind string) (Driver, error) {
	drivers.Lock()
	defer drivers.Unlock()
	if d, ok := drivers.byKind[kind]; ok {
		return d, nil
	}
	var have []string
	for k := range drivers.byKind {
		have = append(have, k)
	}
	sort.Strings(have)
	return nil, fmt.Errorf("unknown kind %q: use one of %s", kind, strings.Join(have, ", "))
}

// Kinds returns the registered kinds, sorted.
func Kinds() []string {
	drivers.Lock()
	defer drivers.Unlock()
	var have []string
	for k := range drivers.byKind {
		have = append(have, k)
	}
	sort.Strings(have)
	return have
}
