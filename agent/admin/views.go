package admin

import (
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// Status is what GET /v1/status answers: enough to draw a live view with one request a second.
type Status struct {
	Name        string             `json:"name"`
	Application string             `json:"application"`
	IDC         string             `json:"idc"`
	Version     string             `json:"version"`
	Started     time.Time          `json:"started"`
	Uptime      resources.Duration `json:"uptime"`
	Revision    uint64             `json:"revision"` // raised by each change of resources or commands
	Ready       bool               `json:"ready"`
	Draining    bool               `json:"draining"`
	Detail      string             `json:"detail,omitempty"` // why it is not ready
	Center      *Center            `json:"center,omitempty"` // absent when the config names none
	Registries  []Registry         `json:"registries,omitempty"`
	Resources   []Resource         `json:"resources"`
	Commands    []Command          `json:"commands"` // active
}

// Registry is a registry of services that resources or exports name.
type Registry struct {
	Address   string      `json:"address"`
	Connected bool        `json:"connected"`
	Since     time.Time   `json:"since"`           // of being connected, or of not being
	Error     string      `json:"error,omitempty"` // why it is not
	Watches   int         `json:"watches"`         // groups whose endpoints it knows
	Announced []Announced `json:"announced,omitempty"`
}

// Announced is an export as it is announced in a registry.
type Announced struct {
	Service   string `json:"service"`
	Address   string `json:"address"`
	Available bool   `json:"available"`
	Stands    bool   `json:"stands"` // the registry has it like this
	Error     string `json:"error,omitempty"`
}

// Center is the link to the governance centre.
type Center struct {
	Connected   bool       `json:"connected"`
	URL         string     `json:"url"`            // linked to, or tried last
	Name        string     `json:"name,omitempty"` // of the centre's process
	Cluster     string     `json:"cluster,omitempty"`
	Revision    uint64     `json:"revision"`              // of what it said, as far as that is in force
	Since       time.Time  `json:"since"`                 // of being connected, or of not being
	Stale       *time.Time `json:"stale,omitempty"`       // what the agent runs was last known to be the centre's at this time; absent: it is now
	Error       string     `json:"error,omitempty"`       // why it is not connected
	Certificate *time.Time `json:"certificate,omitempty"` // end of the agent's certificate
	Unkept      string     `json:"unkept,omitempty"`      // why what is in force is not on disk
}

// Agent is one line of GET /v1/agents; an agent lists itself.
type Agent struct {
	Name        string             `json:"name"`
	Application string             `json:"application"`
	IDC         string             `json:"idc"`
	Version     string             `json:"version"`
	Uptime      resources.Duration `json:"uptime"`
	Revision    uint64             `json:"revision"`
	Ready       bool               `json:"ready"`
	Resources   int                `json:"resources"`
}

// Rate is per second: of resources and groups over the last second, of operations over the last ten to twenty.
type Rate struct {
	Calls  float64 `json:"calls"`
	Errors float64 `json:"errors"` // calls that did not end ok
}

// Latency holds quantiles of the last ten to twenty seconds; 0: there were no calls.
type Latency struct {
	P50 resources.Duration `json:"p50"`
	P95 resources.Duration `json:"p95"`
	P99 resources.Duration `json:"p99"`
}

// Resource is a resource as it goes.
type Resource struct {
	Name        string     `json:"name"`
	Kind        string     `json:"kind"`
	Listen      []string   `json:"listen"` // as bound: with the port that the system chose for port 0
	Ready       bool       `json:"ready"`
	Detail      string     `json:"detail,omitempty"`
	Source      string     `json:"source"` // file, center, or http when it was changed over HTTP
	ETag        string     `json:"etag"`
	Rate        Rate       `json:"rate"`
	Latency     Latency    `json:"latency"`
	Inflight    int64      `json:"inflight"`
	Sessions    int64      `json:"sessions"`
	Pinned      int64      `json:"pinned"`
	Connections int64      `json:"connections"` // upstream
	Commands    int        `json:"commands"`    // active
	Groups      []Group    `json:"groups"`
	Endpoints   []Endpoint `json:"endpoints,omitempty"`
	// Of GET /v1/resources/NAME only: the Spec, and what filters say of themselves.
	Config  any            `json:"config,omitempty"`
	Filters map[string]any `json:"filters,omitempty"`
}

// Group is a pool of endpoints as it goes.
type Group struct {
	Name    string  `json:"name"`
	IDC     string  `json:"idc,omitempty"`
	Weight  int     `json:"weight"` // in force: of the newest switch of all calls, else of the spec
	Sound   int     `json:"sound"`  // endpoints that may be used
	Of      int     `json:"of"`     // endpoints that have a weight and are not drained
	Rate    Rate    `json:"rate"`
	Latency Latency `json:"latency"`
}

// Endpoint is an address as it goes.
type Endpoint struct {
	Group       string             `json:"group"`
	Address     string             `json:"address"`
	IDC         string             `json:"idc,omitempty"`
	Role        string             `json:"role"`
	State       string             `json:"state"`            // up, down, ejected, drained, or another word that the cluster gives
	Detail      string             `json:"detail,omitempty"` // why
	Weight      int                `json:"weight"`
	WeightFrom  string             `json:"weight-from,omitempty"` // who said it: config, registry or, of itself while it runs, server; nobody: the usual one
	Share       resources.Percent  `json:"share"`                 // of the resource's calls, by the weights in force
	Inflight    int64              `json:"inflight"`
	Connections int64              `json:"connections"`
	Latency     resources.Duration `json:"latency"` // moving average
	Lag         resources.Duration `json:"lag,omitempty"`
	Version     string             `json:"version,omitempty"`
}

// Operation is what was called, by group.
type Operation struct {
	Op      string  `json:"op"`
	Text    string  `json:"text,omitempty"` // what it is, when its name does not say so: a statement without its literals
	Class   string  `json:"class"`
	Group   string  `json:"group,omitempty"` // empty: the calls were not routed
	Calls   int64   `json:"calls"`           // since the agent started
	Errors  int64   `json:"errors"`
	Rate    Rate    `json:"rate"`
	Latency Latency `json:"latency"`
}

// Session is a client's connection.
type Session struct {
	ID     uint64             `json:"id"`
	Client string             `json:"client"`
	Caller string             `json:"caller,omitempty"`
	User   string             `json:"user,omitempty"`
	IDC    string             `json:"idc,omitempty"`
	Age    resources.Duration `json:"age"`
	Calls  uint64             `json:"calls"`
	LastOp string             `json:"last-op,omitempty"`
	Pins   []string           `json:"pins,omitempty"`
	Why    string             `json:"why,omitempty"` // it is pinned: "a temporary table, CREATE 0123456789abcdef"
}

// Command is an active command with what is worth reading of it.
type Command struct {
	resources.Command
	Summary  string `json:"summary"`            // what it does: "tc=100"
	Matching string `json:"matching,omitempty"` // its match as K=V pairs
	Origin   string `json:"origin,omitempty"`   // where it was found, of one that was not given here: registry and path
	Problem  string `json:"problem,omitempty"`  // why one that was found is not in force; "": it is
}

// NewCommand adds the readable parts.
func NewCommand(c resources.Command) Command {
	return Command{Command: c, Summary: c.Summary(), Matching: c.Match.String()}
}

// Preview is the answer of a dry run.
type Preview struct {
	Command Command  `json:"command"`
	Effect  any      `json:"effect"` // in numbers
	Text    []string `json:"text"`   // the same in sentences
}

// Event is one observed call.
type Event struct {
	Time     time.Time          `json:"time"`
	Op       string             `json:"op"`
	Class    string             `json:"class"`
	Caller   string             `json:"caller,omitempty"`
	User     string             `json:"user,omitempty"`
	Client   string             `json:"client,omitempty"`
	Group    string             `json:"group,omitempty"`
	Endpoint string             `json:"endpoint,omitempty"`
	Outcome  string             `json:"outcome"`
	Latency  resources.Duration `json:"latency"`
	Attempt  int                `json:"attempt"`
	Request  int64              `json:"request-bytes"`
	Response int64              `json:"response-bytes"`
	Text     string             `json:"text,omitempty"`
	Fault    string             `json:"fault,omitempty"`
	Stages   Stages             `json:"stages"`
}

// Stages is what a call's time went to, in µs. They add up to Total; resources.Stages says what belongs to which.
type Stages struct {
	Receive int64 `json:"receive-us"`
	Route   int64 `json:"route-us"`
	Send    int64 `json:"send-us"`
	Wait    int64 `json:"wait-us"`
	Reply   int64 `json:"reply-us"`
	Total   int64 `json:"total-us"`
}
