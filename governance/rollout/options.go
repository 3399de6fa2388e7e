package rollout

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/governance/store"
)

// Options say what rollouts work with. Store, Commands, Fleet, Series and Resources are required; without Documents there are
// no releases. All of them are called from any goroutine, with no lock held.
type Options struct {
	Store     store.Store
	Commands  Commands
	Fleet     Fleet
	Series    Series
	Resources func() []Info // those that there are, whoever defines them, as command.Options has them
	Documents Documents
	Log       *slog.Logger     // default: slog.Default()
	Now       func() time.Time // the wall clock; default: time.Now
	Me        string           // name of this process among the centres; default: "center"
	// Actor marks a context with who makes a change, for a log of changes; default: not at all.
	Actor func(ctx context.Context, who, what, target, why string) context.Context

	Grace   time.Duration // that agents have to come back to a centre that takes over. Default 30 s
	AckWait time.Duration // how long agents may take to answer. Default 1 min
	Settle  time.Duration // after which what the fleet says of a change is taken for all that it will say. Default 3 s
	Poll    time.Duration // between two looks at agents and guards. Default 1 s
	Late    time.Duration // how much later than calls their numbers come. Default 12 s
}

// Commands is package command's, as far as it is needed here. The records of commands are written by this package itself.
type Commands interface {
	// Check returns a command with its defaults, and the names of the resources that it selects now.
	Check(c command.Command) (command.Command, []string, error)
	// Conflicts says which commands in force are about the same calls.
	Conflicts(c command.Command) []say.Sentence
}

// Fleet is what agents say.
type Fleet interface {
	// Agents returns all agents that are connected or were not long ago.
	Agents() []Agent
	// Ordered says which agents hold a command.
	Ordered(id string) Acks
	// Applied says which agents run what they should of a resource.
	Applied(resource string) Acks
	// Endpoints returns the endpoints of a resource as each connected agent sees them.
	Endpoints(resource string) []Endpoint
	// Whole returns why not all agents are seen as they are now; nil: they are.
	Whole() error
}

// Agent is an agent as the centre sees it.
type Agent struct {
	command.AgentInfo
	Wants     []string // resources that it takes from the centre
	Owns      []string // resources of its own file
	Connected bool
	Behind    bool // something was not sent, not answered, or is not in force
}

// Acks is what agents said of a change. Each connected agent that has to do with it is in one of Applied, Refused and Behind.
type Acks struct {
	Applied int
	Refused []Refusal
	Behind  []string
}

// Refusal is an agent's no.
type Refusal struct {
	Agent    string
	Resource string
	Message  string
}

// Endpoint is an endpoint as one agent sees it.
type Endpoint struct {
	Agent   string
	Group   string
	Address string
	Role    string
	State   string // "up" when it is sound
	Detail  string
	Lag     time.Duration // behind its primary
}

// Info is a resource.
type Info struct {
	Name   string
	Kind   string
	Labels map[string]string
	Groups []Group
}

// Group is a group of a resource.
type Group struct {
	Name   string
	IDC    string // empty: the group's name
	Weight int    // in force
	// Connections that the group has now, and that its endpoints take together at most; 0: not known.
	Connections, MaxConnections int
}

func (g Group) idc() string { return cmp.Or(g.IDC, g.Name) }

// Series is what was called.
type Series interface {
	// Window returns the calls of a window as one.
	Window(w Window) (Numbers, error)
	// Peak returns the most calls a second, over a minute, that a group took in a time; 0 for none.
	Peak(resource, group string, from, to time.Time) (float64, error)
}

// Window says which calls, and when.
type Window struct {
	Resource  string
	Group     string   // "": all; not together with agents
	Agents    []string // nil: all
	NotAgents []string
	From, To  time.Time
}

// Numbers are the calls of a window.
type Numbers struct {
	Calls  uint64
	Failed uint64 // neither answered nor refused by a rule or an operator
	P99    time.Duration
}

// Documents are the registry's.
type Documents interface {
	// Newest returns the number of the newest version of a resource's document.
	Newest(resource string) (int, bool)
	// Back makes version `from` the newest one again, as a new version, if `to` is the newest; else it changes nothing.
	Back(ctx context.Context, resource string, from, to int, author, why string) error
}

func (o *Options) fill() error {
	if o.Store == nil || o.Commands == nil || o.Fleet == nil || o.Series == nil || o.Resources == nil {
		return errors.New("rollouts: store, commands, fleet, series and resources are needed")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Actor == nil {
		o.Actor = func(ctx context.Context, _, _, _, _ string) context.Context { return ctx }
	}
	o.Me = cmp.Or(o.Me, "center")
	o.Grace = cmp.Or(o.Grace, 30*time.Second)
	o.AckWait = cmp.Or(o.AckWait, time.Minute)
	o.Settle = cmp.Or(o.Settle, 3*time.Second)
	o.Poll = cmp.Or(o.Poll, time.Second)
	o.Late = cmp.Or(o.Late, 12*time.Second)
	return nil
}

// info is the resource as commands select it.
func (i *Info) info() command.ResourceInfo {
	r := command.ResourceInfo{Name: i.Name, Kind: i.Kind, Labels: i.Labels, Groups: make([]string, 0, len(i.Groups))}
	for _, g := range i.Groups {
		r.AddGroup(g.Name, g.IDC)
	}
	return r
}
