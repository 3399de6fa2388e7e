package resources

import "sync/atomic"

// Pin is a reason that ties a session to one upstream connection.
type Pin uint16

const (
	PinTxn       Pin = 1 << iota // an open transaction
	PinWatch                     // watched keys
	PinSubscribe                 // subscriptions
	PinBlocking                  // a blocking command waits for its answer
	PinState                     // connection state that cannot be replayed: tracking, temporary tables, locks
	PinMonitor                   // MONITOR or a replication stream
	PinPrepared                  // prepared statements
	PinCursor                    // open cursors
	PinUnknown                   // a command of unknown effect was sent
	PinPaired                    // the profile is transparent: one client, one upstream
	NumPins      = iota
)

var pinNames = [NumPins]string{"txn", "watch", "subscribe", "blocking", "state", "monitor", "prepared", "cursor", "unknown", "paired"}

// PinNames returns the words for the bits of p, lowest first.
func PinNames(p Pin) []string {
	var out []string
	for i, n := range pinNames {
		if p&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return out
}

// PinName returns the word for bit i.
func PinName(i int) string { return pinNames[i] }

// Session is one client connection and what is known of it. The runtime creates it when the connection is accepted and
// forgets it at Close. Identity fields are changed only by the goroutine that serves the session; the atomics may be
// read by anybody.
type Session struct {
	ID       uint64
	Resource string
	Client   string // remote address
	Opened   int64  // monotonic ns

	identity atomic.Pointer[Identity]
	pins     atomic.Uint32
	pinned   atomic.Pointer[string]
	Calls    atomic.Uint64 // calls begun
	LastOp   atomic.Uint32 // OpID of the newest call

	Runtime any // of the runtime
}

// Identity is who calls. It is replaced whole when the client logs in or names itself.
type Identity struct {
	Caller string // the application: the client's own name for itself, else the agent's application
	User   string // the user it logged in as; "" before login
	IDC    string // where it runs
}

// Identity returns who calls; never nil once the runtime created the session.
func (s *Session) Identity() *Identity { return s.identity.Load() }

// SetIdentity replaces who calls.
func (s *Session) SetIdentity(id *Identity) { s.identity.Store(id) }

// Pins returns the current pins.
func (s *Session) Pins() Pin { return Pin(s.pins.Load()) }

// PinReason says why the session is tied to its connection, in words: "a temporary table, CREATE 0123456789abcdef", the
// latter being the operation or the digest that did it; "" where it is not, or nobody says.
func (s *Session) PinReason() string {
	if r := s.pinned.Load(); r != nil && s.Pins() != 0 {
		return *r
	}
	return ""
}

// SetPinReason says why the session is tied, for people to read, without literals of the client's. The string is kept and
// must not change.
func (s *Session) SetPinReason(why *string) { s.pinned.Store(why) }

// SetPins replaces the pins and returns the old ones. Drivers tell the runtime of changes by Runtime.Pinned.
func (s *Session) SetPins(p Pin) Pin { return Pin(s.pins.Swap(uint32(p))) }
