package control

import (
	"encoding/json"
	"fmt"
)

// Version of the protocol. A centre refuses an agent of another one, and says which it speaks.
const Version = 1

// Type says what a frame holds. Agents send the lower half, centres the upper.
type Type uint8

// The frames.
const (
	TypeHello  Type = 1 // Hello: the first frame, sent once
	TypeResult Type = 2 // Result: what became of an Update
	TypeReport Type = 3 // counters and histograms since the last one, in the form of metrics/report
	TypeState  Type = 4 // State: resources and endpoints as the agent sees them
	TypeAnswer Type = 5 // Answer: to an Ask
	TypeExport Type = 6 // Export: services that the agent vouches for; replaces the one before
	TypePing   Type = 7 // Clock: the agent's; answered with TypePong

	TypeWelcome Type = 129 // Welcome: answers Hello
	TypeUpdate  Type = 130 // Update: resources and commands
	TypeAsk     Type = 131 // Ask: a question about what the agent sees
	TypeCancel  Type = 132 // Cancel: the asker does not want more answers
	TypeTune    Type = 133 // Tune: how often to report
	TypePong    Type = 134 // Clock: the centre's
	TypeBye     Type = 135 // Bye: the centre closes the link, and says why
)

var typeNames = map[Type]string{
	TypeHello: "Hello", TypeResult: "Result", TypeReport: "Report", TypeState: "State", TypeAnswer: "Answer", TypeExport: "Export",
	TypePing: "Ping", TypeWelcome: "Welcome", TypeUpdate: "Update", TypeAsk: "Ask", TypeCancel: "Cancel", TypeTune: "Tune",
	TypePong: "Pong", TypeBye: "Bye",
}

// String names the type, for errors and logs.
func (t Type) String() string {
	if name, ok := typeNames[t]; ok {
		return name
	}
	return fmt.Sprintf("frame of type %d", uint8(t))
}

// Hello says who the agent is, what it serves and what it has already.
type Hello struct {
	Protocol    int               `json:"protocol"`
	Name        string            `json:"name"` // unique in the fleet; the certificate names it too
	Application string            `json:"application"`
	IDC         string            `json:"idc,omitempty"`
	Version     string            `json:"version"` // of the program
	Host        string            `json:"host,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Boot        string            `json:"boot"`          // random, of this process: two processes of one name are told apart by it
	Started     int64             `json:"started"`       // Unix time, ms, by the agent's clock
	Now         int64             `json:"now,omitempty"` // as in Clock
	Kinds       []string          `json:"kinds"`
	Wants       []string          `json:"wants,omitempty"` // resources that it serves as the centre says; it gets no others
	Owns        []Owned           `json:"owns,omitempty"`  // resources that its own file defines; the centre steers them by commands alone
	Have        Have              `json:"have"`
}

// Have is the state that the agent runs, so that the centre sends what changed since.
type Have struct {
	Cluster  string `json:"cluster,omitempty"` // the centre's, as Welcome named it; another one's revisions mean nothing
	Revision uint64 `json:"revision"`
}

// Owned is a resource that an agent's file defines. Spec has secrets as references only.
type Owned struct {
	Name string          `json:"name"`
	Hash string          `json:"hash"`
	Spec json.RawMessage `json:"spec"`
	Also bool            `json:"also,omitempty"` // the centre defines it too, and the file wins
}

// Welcome answers Hello.
type Welcome struct {
	Protocol  int    `json:"protocol"`
	Center    string `json:"center"`        // name of the process
	Cluster   string `json:"cluster"`       // of all centres on one store
	Heartbeat int64  `json:"heartbeat"`     // ns; who hears nothing for three of them gives the link up
	Report    int64  `json:"report"`        // ns between two reports
	Now       int64  `json:"now,omitempty"` // as in Clock
}

// Clock is what the sender's clock shows when it sends. The times in Updates are by the centre's, and an agent counts what is left
// of a command by it and not by its own. Versions before it send empty frames, and do not look at what is in them.
type Clock struct {
	Now int64 `json:"now,omitempty"` // Unix time, ms; 0: it is not said
}

// DecodeClock reads the payload of TypePing and TypePong. Of one that is empty it is the zero Clock.
func DecodeClock(t Type, payload []byte) (c Clock, err error) {
	if len(payload) > 0 {
		err = Decode(t, payload, &c)
	}
	return c, err
}

// lastTime is the end of the year 9999, after which times have no text.
const lastTime = 253402300799999

// Said reports whether now, as in Clock, says what a clock shows.
func Said(now int64) bool { return now > 0 && now <= lastTime }

// Update brings resources and commands. Within one link revisions never fall.
type Update struct {
	Revision  uint64            `json:"revision"`
	Full      bool              `json:"full,omitempty"` // what is not in it is gone; else it says what changed
	Resources []Resource        `json:"resources,omitempty"`
	Removed   []string          `json:"removed,omitempty"`
	Commands  []json.RawMessage `json:"commands,omitempty"` // resources.Command, new or changed
	Undone    []string          `json:"undone,omitempty"`   // ids of commands
}

// Resource is one that the agent asked for.
type Resource struct {
	Name     string          `json:"name"`
	Revision uint64          `json:"revision"`          // of its last change
	Hash     string          `json:"hash"`              // see HashOf
	Spec     json.RawMessage `json:"spec"`              // resources.Spec
	Secrets  []Secret        `json:"secrets,omitempty"` // that the spec refers to, by name
}

// Secret is one that the centre keeps for resources. Agents keep it with the resource, in files that only they can read.
type Secret struct {
	Name  string `json:"name"`
	Mark  string `json:"mark"` // another one with each change
	Value string `json:"value"`
}

// Result says what became of an Update, one line for each resource and command in it. A resource is applied whole or not
// at all, whatever becomes of the others.
type Result struct {
	Revision uint64  `json:"revision"`
	Lines    []Line  `json:"lines,omitempty"`
	Pinned   []Count `json:"pinned,omitempty"` // sessions that still are where they were before
}

// Line is what became of one part of an Update.
type Line struct {
	Resource string `json:"resource,omitempty"`
	Command  string `json:"command,omitempty"` // id
	Hash     string `json:"hash,omitempty"`    // of the spec in force; after a refusal that of the one before
	Path     string `json:"path,omitempty"`    // of what was refused, as in groups.yf.endpoints[0]
	Error    string `json:"error,omitempty"`   // empty: it is in force
}

// Count is a number for a resource.
type Count struct {
	Resource string `json:"resource"`
	N        int    `json:"n"`
}

// State is what an agent sees. It holds the resources that changed since the last one, or all of them.
type State struct {
	Full      bool            `json:"full,omitempty"`
	Ready     bool            `json:"ready"`
	Draining  bool            `json:"draining,omitempty"`
	Detail    string          `json:"detail,omitempty"`
	Stale     int64           `json:"stale,omitempty"` // Unix time, ms: it runs what it knew at that time: it had started without a centre
	Resources []ResourceState `json:"resources,omitempty"`
	Removed   []string        `json:"removed,omitempty"`
}

// ResourceState is a resource as one agent sees it.
type ResourceState struct {
	Name      string          `json:"name"`
	Kind      string          `json:"kind"`
	Source    string          `json:"source"` // file, center or http
	Hash      string          `json:"hash"`   // of the spec in force
	Listen    []string        `json:"listen,omitempty"`
	Ready     bool            `json:"ready"`
	Detail    string          `json:"detail,omitempty"`
	Sessions  int             `json:"sessions"`
	Pinned    int             `json:"pinned,omitempty"`
	Upstream  int             `json:"upstream,omitempty"` // connections to its endpoints
	Groups    []GroupState    `json:"groups,omitempty"`
	Endpoints []EndpointState `json:"endpoints,omitempty"`
	Observed  []Count         `json:"observed,omitempty"` // calls that rules in observe mode would have refused since start, by rule
	Found     []Found         `json:"found,omitempty"`    // commands that the agent found elsewhere; the first MostFound
}

// MostFound bounds ResourceState.Found.
const MostFound = 100

// Found is a command that an agent found elsewhere, in a registry, and carries out or says why not.
type Found struct {
	ID      string  `json:"id"`
	Type    string  `json:"type"`
	Summary string  `json:"summary"` // what it does
	Percent float64 `json:"percent,omitempty"`
	Author  string  `json:"author"`
	Why     string  `json:"why,omitempty"`
	Origin  string  `json:"origin"`            // where it was found
	Problem string  `json:"problem,omitempty"` // why it is not in force; "": it is
	Created int64   `json:"created"`           // Unix time in ms at which the agent saw it first, by its clock
}

// GroupState is a group as one agent sees it.
type GroupState struct {
	Name   string `json:"name"`
	IDC    string `json:"idc,omitempty"`
	Weight int    `json:"weight"` // in force
	Sound  int    `json:"sound"`
	Of     int    `json:"of"`
}

// EndpointState is an endpoint as one agent sees it.
type EndpointState struct {
	Group   string `json:"group"`
	Address string `json:"address"`
	Role    string `json:"role,omitempty"`
	State   string `json:"state"`            // up, down, ejected, drained, ...
	Detail  string `json:"detail,omitempty"` // why
	Lag     int64  `json:"lag,omitempty"`    // ns behind its primary
}

// Ask is a question that the agent answers from its own HTTP interface: reads, and dry runs of commands.
type Ask struct {
	ID     uint64          `json:"id"`
	Method string          `json:"method"` // GET, or POST for a dry run
	Path   string          `json:"path"`   // with its query
	Body   json.RawMessage `json:"body,omitempty"`
}

// Answer answers an Ask. A stream has several, of which all but the last say More.
type Answer struct {
	ID     uint64 `json:"id"`
	Status int    `json:"status"` // HTTP's
	Body   []byte `json:"body,omitempty"`
	More   bool   `json:"more,omitempty"`
}

// Cancel ends an Ask.
type Cancel struct {
	ID uint64 `json:"id"`
}

// Tune changes how often the agent reports.
type Tune struct {
	Report int64 `json:"report"` // ns
}

// Bye says why the centre closes a link.
type Bye struct {
	Why   string `json:"why"`
	Fatal bool   `json:"fatal,omitempty"` // trying again will not help until somebody changes something
	Retry int64  `json:"retry,omitempty"` // ns to wait first; the agent adds jitter
}

// Export is what an agent vouches for: services beside it that others may call. They are in the registry while the link
// stands and for a grace period after it.
type Export struct {
	Services []Service `json:"services"`
}

// Service is an endpoint that an agent vouches for.
type Service struct {
	Resource string            `json:"resource"`
	Kind     string            `json:"kind"`
	Group    string            `json:"group"`
	IDC      string            `json:"idc,omitempty"`
	Address  string            `json:"address"`
	Role     string            `json:"role,omitempty"`
	Weight   int               `json:"weight,omitempty"`
	Up       bool              `json:"up"`
	Detail   string            `json:"detail,omitempty"` // why it is not up
	Meta     map[string]string `json:"meta,omitempty"`
}

// JoinRequest asks a centre for a certificate: POST /v1/join. The token is in the Authorization header.
type JoinRequest struct {
	Name string `json:"name"` // the agent's
	CSR  string `json:"csr"`  // PEM
}

// JoinAnswer holds the certificate. Renewals are asked for with the certificate itself, at POST /v1/renew.
type JoinAnswer struct {
	Certificate string `json:"certificate"`   // PEM
	CA          string `json:"ca"`            // PEM
	Expires     int64  `json:"expires"`       // Unix time, ms
	Now         int64  `json:"now,omitempty"` // as in Clock
}

// Paths of the centre that agents call. The link is asked for with POST, `Upgrade: sluice-control/1` and
// `Connection: Upgrade`; after status 101 both sides send frames.
const (
	PathLink  = "/v1/link"
	PathJoin  = "/v1/join"
	PathRenew = "/v1/renew"
	Upgrade   = "sluice-control/1"
)
