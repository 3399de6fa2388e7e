package resources

import (
	"context"
	"errors"
	"net"
	"reflect"

	"github.com/sluice-mesh/sluice/internal/loop"
)

// Sharing is an optional capability of a [Driver]: resources of its kind may listen on one address, because each request
// names the service that it is for. The connections to an address then belong to its [Door], whether one resource listens
// there or many, and its resources are no [Server].
type Sharing interface {
	// Apart returns an error when requests for the two could not be told apart. It says why, without their names.
	Apart(a, b Declared) error
	// OpenDoor begins to serve an address; nothing comes before the first Lead.
	OpenDoor(Lobby) (Door, error)
}

// Declared is a resource as a driver gets to know it before it is opened.
type Declared struct {
	Spec     *Spec
	Settings Settings
}

// Door serves the clients of an address that resources share: it finds out whom each request is for.
type Door interface {
	// Lead says which resources are behind the address from now on, all of the driver's own. Requests that are under way
	// stay where they are.
	Lead(to []Resource)
	// Serve takes over a client's connection, as Server.Serve does.
	Serve(net.Conn)
	// Shutdown ends the connections at their boundaries until ctx is done, then it cuts them. The resources are open until
	// it has returned.
	Shutdown(ctx context.Context) error
}

// Lobby is the agent's half of a [Door].
type Lobby interface {
	// Address is where clients connect, for what they are told.
	Address() string
	// Loops are the event loops of the process.
	Loops() *loop.Group
	// Enter makes a session of a client at a resource that the door leads to, as if the client had connected to it alone;
	// the door ends it by Runtime.Closed. The identity may be nil: then it is the agent's application. A fault says why
	// there can be no session.
	Enter(r Resource, client net.Addr, id *Identity) (*Session, *Fault)
	// Metadata is what applications have others know of this agent and the services beside it while it runs, by name. Nil:
	// nobody can say anything. It is not changed.
	Metadata() map[string]string
}

// Share returns nil when two resources may listen on one address, else why not. A driver that is nil shares with nobody.
func Share(da, db Driver, a, b Declared) error {
	s, ok := da.(Sharing)
	switch {
	case !ok || db == nil || da.Kind() != db.Kind():
		return errTaken
	case !reflect.DeepEqual(a.Spec.TLS, b.Spec.TLS):
		return errors.New("resources that share an address must have the same tls")
	}
	return s.Apart(a, b)
}

var errTaken = errors.New("choose another")
