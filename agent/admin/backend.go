package admin

import (
	"net/http"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// Backend is what the interface shows and changes. Methods may be called from any goroutine. What they refuse they say
// by an [httpapi.Error]; any other error is answered as an internal one.
type Backend interface {
	Health
	Inventory
	Changes
}

// Health is for the open paths.
type Health interface {
	// Ready reports whether applications should be sent here, and if not, why.
	Ready() (ok bool, detail string)
	// Metrics serves the Prometheus text format.
	Metrics() http.Handler
}

// Inventory is what can be read.
type Inventory interface {
	Status() Status
	Agents() []Agent
	Resources() []Resource
	Resource(name string) (Resource, error)
	Endpoints(name string) ([]Endpoint, error)
	Operations(name string) ([]Operation, error)
	Sessions(name string) ([]Session, error)
	// Spec returns a resource's declaration as JSON, with its entity tag.
	Spec(name string) (spec []byte, etag string, err error)
	Commands() []Command
	// Observe begins to watch calls: those that match and took longer than slowerThan.
	Observe(resource string, match resources.Match, slowerThan time.Duration, sample resources.Percent) (*Watch, error)
}

// Changes is what can be changed. Each is persisted before it is answered.
type Changes interface {
	// Change replaces the spec of a resource by what edit makes of the current one (nil: there is none), which may be
	// JSON or YAML. check is asked first; both run under the lock that serialises changes, so that of two racing
	// changes with the same If-Match one is refused.
	Change(name, by string, check Check, edit func(current []byte) ([]byte, error)) (etag string, created bool, err error)
	// Remove takes a resource away.
	Remove(name, by string, check Check) error
	AddCommand(resources.Command) (Command, error)
	// Preview says what a command would do and does nothing.
	Preview(resources.Command) (Preview, error)
	Undo(id, by string) (Command, error)
}

// Check decides whether a change may go on, from the current state of what it changes.
type Check func(exists bool, etag string) error

// Watch is a running observation.
type Watch struct {
	Events  <-chan Event
	Dropped func() uint64 // events that the reader was too slow for
	Cancel  func()
}
