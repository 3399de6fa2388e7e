package counted

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-mesh/sluice/testenv/load"
)

// Dial makes a client. wrong reports an answer that nobody asked for, or that is none; its format is that of fmt. A client that
// makes its connections when it is called may leave the error to the calls.
type Dial func(ctx context.Context, address string, timeout time.Duration, wrong func(format string, args ...any)) (Caller, error)

// Caller is a client, with as many calls under way at once as there are callers. Errors are a Failure, or ErrWrong when wrong was
// told.
type Caller interface {
	// Echo returns the text that a server answered. It may be repeated.
	Echo(text string) (string, error)
	// Count has a server count a call under an id, and returns how many of this id it has counted. It must not be repeated.
	Count(id string) (int64, error)
	// Counted returns how many calls of an id a server has counted.
	Counted(id string) (int64, error)
	// Over reports that the client is of no more use, and another one must be made.
	Over() bool
	Close()
}

// Failure is what a call ended with that has no answer, as a word.
type Failure string

func (f Failure) Error() string { return string(f) }

// ErrWrong is an answer that cannot be one to the call.
var ErrWrong = errors.New("wrong answer")

// Words of failures that the agent tells, as the outcomes of metrics have them. A client of a kind that has others says them as
// they are.
const (
	Unavailable = "unavailable" // nothing was sent
	Unknown     = "unknown"
	Timeout     = "timeout"
	Limited     = "limited"
	Draining    = "draining"
)

// MaybeDone are the words of failures after which a call may have been executed.
var MaybeDone = []string{Unknown, Timeout, load.Closed, load.NoReply}

// Config describes a load.
type Config struct {
	Dial    Dial
	Address string        // of the agent, host:port
	Clients int           // default 4
	Depth   int           // calls that a client has under way at once; default 4
	Rate    float64       // calls a second, of all clients together; default 300
	Timeout time.Duration // that calls have; default 1 s
	Echoes  bool          // only calls that are idempotent: no counts
	// Servers are asked at the end what they counted. Those that were killed meanwhile have forgotten it: then Forgetful.
	Servers   []string
	Forgetful bool
}
