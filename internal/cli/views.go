package cli

import (
	"fmt"
	"strings"
	"time"
)

// Status is the answer of GET /v1/status.
type Status struct {
	Name        string     `json:"name"`
	Application string     `json:"application"`
	IDC         string     `json:"idc"`
	Version     string     `json:"version"`
	Uptime      string     `json:"uptime"`
	Revision    uint64     `json:"revision"`
	Ready       bool       `json:"ready"`
	Draining    bool       `json:"draining"`
	Detail      string     `json:"detail"`
	Resources   []Resource `json:"resources"`
	Commands    []Command  `json:"commands"`
}

// Rate is a number of calls per second.
type Rate struct {
	Calls  float64 `json:"calls"`
	Errors float64 `json:"errors"`
}

// Latency holds quantiles of the last seconds as durations ("1.2ms"); "0s": no calls.
type Latency struct {
	P50 string `json:"p50"`
	P95 string `json:"p95"`
	P99 string `json:"p99"`
}

// Resource is one of GET /v1/resources.
type Resource struct {
	Name        string     `json:"name"`
	Kind        string     `json:"kind"`
	Listen      []string   `json:"listen"`
	Ready       bool       `json:"ready"`
	Detail      string     `json:"detail"`
	Groups      []Group    `json:"groups"`
	Endpoints   []Endpoint `json:"endpoints"`
	Rate        Rate       `json:"rate"`
	Latency     Latency    `json:"latency"`
	Inflight    int64      `json:"inflight"`
	Sessions    int64      `json:"sessions"`
	Pinned      int64      `json:"pinned"`
	Connections int64      `json:"connections"`
	Commands    int        `json:"commands"`
}

// Group is a pool of endpoints within a resource.
type Group struct {
	Name    string  `json:"name"`
	IDC     string  `json:"idc"`
	Weight  int     `json:"weight"`
	Rate    Rate    `json:"rate"`
	Latency Latency `json:"latency"`
}

// Endpoint is one of GET /v1/resources/NAME/endpoints.
type Endpoint struct {
	Group       string `json:"group"`
	Address     string `json:"address"`
	Role        string `json:"role"`
	State       string `json:"state"`
	Detail      string `json:"detail"`
	Weight      int    `json:"weight"`
	Share       string `json:"share"`
	Inflight    int64  `json:"inflight"`
	Connections int64  `json:"connections"`
	Latency     string `json:"latency"`
	Version     string `json:"version"`
}

// Operation is one of GET /v1/resources/NAME/operations.
type Operation struct {
	Op      string  `json:"op"`
	Text    string  `json:"text"`
	Class   string  `json:"class"`
	Group   string  `json:"group"`
	Calls   int64   `json:"calls"`
	Errors  int64   `json:"errors"`
	Rate    Rate    `json:"rate"`
	Latency Latency `json:"latency"`
}

// Session is one of GET /v1/resources/NAME/sessions.
type Session struct {
	ID     uint64   `json:"id"`
	Client string   `json:"client"`
	Caller string   `json:"caller"`
	User   string   `json:"user"`
	Age    string   `json:"age"`
	Calls  uint64   `json:"calls"`
	LastOp string   `json:"last-op"`
	Pins   []string `json:"pins"`
	Why    string   `json:"why"` // it is pinned
}

// Command is one of GET /v1/commands.
type Command struct {
	ID       string     `json:"id"`
	Type     string     `json:"type"`
	Resource string     `json:"resource"`
	Summary  string     `json:"summary"`
	Matching string     `json:"matching"` // the match as K=V pairs
	Author   string     `json:"author"`
	Why      string     `json:"why"`
	Origin   string     `json:"origin"`  // where it was found, of one that was given elsewhere
	Problem  string     `json:"problem"` // why one that was found is not in force
	Created  time.Time  `json:"created"`
	Expires  *time.Time `json:"expires"`
	On       []string   `json:"resources"` // at a centre: those that it is for now
}

// mostShown is how many resources of a command are named.
const mostShown = 3

// Target names what a command is for.
func (c *Command) Target() string {
	if c.Resource != "" || len(c.On) == 0 {
		return c.Resource
	}
	text := strings.Join(c.On[:min(len(c.On), mostShown)], ",")
	if more := len(c.On) - mostShown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// Agent is one of GET /v1/agents.
type Agent struct {
	Name        string `json:"name"`
	Application string `json:"application"`
	IDC         string `json:"idc"`
	Version     string `json:"version"`
	Uptime      string `json:"uptime"`
	Revision    uint64 `json:"revision"`
	Ready       bool   `json:"ready"`
	Resources   int    `json:"resources"`
	// Of a centre.
	Connected *bool      `json:"connected"`
	Behind    bool       `json:"behind"`
	Stale     *time.Time `json:"stale"`
	Clock     string     `json:"clock"`    // how far its clock is ahead, "-1h" when it is behind
	ClockOff  bool       `json:"clockOff"` // too far
}

// Preview is the answer of POST /v1/commands?dry-run=true.
type Preview struct {
	Command Command  `json:"command"`
	Text    []string `json:"text"` // what would happen, a sentence each
}

// Event is one call of GET /v1/observe.
type Event struct {
	Time     time.Time `json:"time"`
	Op       string    `json:"op"`
	Class    string    `json:"class"`
	Caller   string    `json:"caller"`
	User     string    `json:"user"`
	Client   string    `json:"client"`
	Group    string    `json:"group"`
	Endpoint string    `json:"endpoint"`
	Outcome  string    `json:"outcome"`
	Latency  string    `json:"latency"`
	Attempt  int       `json:"attempt"`
	Request  int64     `json:"request-bytes"`
	Response int64     `json:"response-bytes"`
	Text     string    `json:"text"`
	Fault    string    `json:"fault"`
	Agent    string    `json:"agent"` // that a centre has it from
	Stages   Stages    `json:"stages"`
}

// Stages is what the time of an [Event] went to, in µs. They add up to Total.
type Stages struct {
	Receive int64 `json:"receive-us"`
	Route   int64 `json:"route-us"`
	Send    int64 `json:"send-us"`
	Wait    int64 `json:"wait-us"`
	Reply   int64 `json:"reply-us"`
	Total   int64 `json:"total-us"`
}
