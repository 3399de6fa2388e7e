package history

import (
	"fmt"
	"sync"
	"time"
)

// Kind is what an operation does.
type Kind string

// The kinds of operations.
const (
	Write  Kind = "write"
	Delete Kind = "delete"
	Read   Kind = "read" // what is in force
	View   Kind = "view" // what a node shows, which may be older
)

// Outcome is what a client was told.
type Outcome string

// The outcomes of operations.
const (
	Done    Outcome = "done"
	Refused Outcome = "refused" // it was not made: its condition does not hold, or somebody else was first
	Missing Outcome = "missing" // of a Delete: there is nothing
	Unknown Outcome = "unknown" // it was made, is made later, or never is
)

// Nothing is the value of a key that does not exist.
const Nothing = ""

// Op is one operation of a client. Values are unique: no two writes of a key have the same.
type Op struct {
	Client  int
	Key     string
	Kind    Kind
	Node    string // that was asked
	Value   string // that was written, or seen
	If      *string
	Outcome Outcome
	Call    time.Duration // since the beginning of the history
	Return  time.Duration // of Unknown: when the client gave up, which says nothing of when the change is made
	// Shown says that the node answers a change when its own views have it.
	Shown bool
}

// Was is a condition on the value before a change; Nothing: there must be none.
func Was(value string) *string { return &value }

func (o Op) String() string {
	text := fmt.Sprintf("%v to %v: client %d at %q: %s %s", o.Call, o.Return, o.Client, o.Node, o.Kind, o.Key)
	switch {
	case o.Kind == Delete:
	case o.Value == Nothing:
		text += ": nothing"
	default:
		text += ": " + o.Value
	}
	if o.If != nil {
		text += fmt.Sprintf(" if it was %q", *o.If)
	}
	return text + ", " + string(o.Outcome)
}

// Recorder collects the operations of concurrent clients.
type Recorder struct {
	start time.Time

	mu  sync.Mutex
	ops []Op
}

// NewRecorder returns one whose history begins now.
func NewRecorder() *Recorder { return &Recorder{start: time.Now()} }

// Now is the time since the beginning, by the monotonic clock.
func (r *Recorder) Now() time.Duration { return time.Since(r.start) }

// Add records an operation that is over.
func (r *Recorder) Add(ops ...Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, ops...)
}

// Ops returns what was recorded so far.
func (r *Recorder) Ops() []Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Op(nil), r.ops...)
}
