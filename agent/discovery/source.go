package discovery

import (
	"context"
	"errors"
	"time"
)

// ErrClosed is returned by what runs, or is begun, when its source is closed.
var ErrClosed = errors.New("the discovery source is closed")

// Source is a registry of services. All methods may be called from any goroutine.
type Source interface {
	// Watch calls report with the complete list of a service's nodes, first when the registry has told it and then each time
	// that it changed, until ctx ends; it then returns nil. Changes within 100 ms are one report. Calls of report do not
	// overlap, and no further one is made while one runs. Losing the registry is no reason to return: the error is for a
	// service that has no place in this registry, and ErrClosed.
	Watch(ctx context.Context, s Service, report func(Report)) error

	// Register announces a node until it is withdrawn or the source is closed. It does not wait: while the registry is away
	// the announcement is made when it returns. The error is for a node that cannot be written, for one that is announced
	// already, and ErrClosed.
	Register(n Node) (*Registration, error)

	// Status is how the source does.
	Status() Status

	// Close withdraws what is announced, as far as the registry can be reached within a second, and ends everything.
	Close() error
}

// Commander is an optional capability of a [Source]: a registry that also keeps Motan's commands, one JSON document for each
// group and for each application of agents. What they mean is not known here.
type Commander interface {
	// WatchCommands calls report with the document, first when the registry has told it and then each time that it changed,
	// until ctx ends. Nil means that there is none. Otherwise it is like Watch.
	WatchCommands(ctx context.Context, s Scope, report func(json []byte)) error

	// PutCommands writes the document. Nil writes one without commands: motan-go does not notice when a document goes.
	PutCommands(ctx context.Context, s Scope, json []byte) error
}

// NoCommands is a document without commands.
const NoCommands = `{"clientCommandList":[]}`

// Scope is what a document of commands is for: the callers of a group, or the agents of an application. One of the two is set.
type Scope struct {
	Group       string
	Application string
}

// Report is what a registry says of a service.
type Report struct {
	// Nodes are the nodes that can serve the service, by address, available or not. The slice belongs to the receiver; the
	// parameters of nodes do not and are never changed.
	Nodes []Node
	// Others counts nodes of the same path and group that have another version or protocol.
	Others int
	// Unread counts entries that nobody can make a node of; they are left out.
	Unread int
	// Unknown says that the registry has no place for the service: nobody has announced it, as far as the registry remembers.
	Unknown bool
	// Emptied says that there are no nodes now and that the report before this one had some.
	Emptied bool
}

// Status is how a source does.
type Status struct {
	Connected bool
	Since     time.Time // of Connected, or of its contrary: "gone since"
	Server    string    // connected to, or tried last
	Error     string    // why it is not connected; "" while it is
	Sessions  int       // begun so far; each one after the first means that announcements were lost
	Watches   int       // that run
	Reports   int64     // made by all watches
	Announced []Announced
}
