package resources

// Call is one request and its outcome: the unit that is governed. A driver takes it from a free list of its own, fills
// the first block, and hands it to Begin, Route and End; it must not be used after its final End.
//
// Times are nanoseconds of the monotonic clock (internal/clock). One clock reading serves all requests of a batch.
type Call struct {
	// Filled by the driver before Begin.
	Session  *Session
	View     View    // the request itself; valid only while Begin runs
	Key      uint64  // hash of the routing key, for consistent hashing; 0 when there is none
	OnlyKey  []byte  // the key, when there is exactly one; valid like View, and a short cut for View.Key
	Start    int64   // when its bytes were read
	Op       OpID    // index into the resource's operation table
	Class    Class   // of this request; arguments may make it stricter than the operation's own
	Retry    Retry   // of this request
	HasKey   bool    // Key is set
	Pinned   bool    // the session is tied to Endpoint: Route keeps it
	Attempt  uint8   // 0 for the first try
	Sent     Sent    // how far the current attempt got
	ReqBytes int64   // bytes of the request
	Primary  bool    // the driver requires the primary (write, or state that only the primary has)
	Place    *Places // where the key may live, when the resource is partitioned; nil: anywhere in the group

	// Set by the runtime. A part of a call that the driver split starts with the Snapshot and Deadline of the whole and
	// goes through Route and End without Begin; Depth stays 0, so that filters see the whole only.
	Deadline int64     // by Begin; 0: none
	Delay    int64     // by Begin: hold the request this long before sending it (fault injection)
	Backup   int64     // by Route: send the request also elsewhere when unanswered this long after Start; 0: never
	Endpoint *Endpoint // by Route
	Depth    uint8     // by Begin: how many filters have run OnCall
	Snapshot any       // by Begin: the compiled policy that this call started under
	Rule     uint16    // of the runtime: the switch command that Begin found, and what kind of attempt this is; parts copy it
	Routed   int64     // by Route: when the current attempt was placed

	// Filled by the driver before End.
	Now       int64     // when the attempt ended
	Declined  bool      // with SentNothing: an upstream got the request and said that it did not execute it, which was work for it
	Redirect  *Endpoint // the upstream did not execute the request and named this endpoint: End answers Again for it, outside the budget
	Outcome   Outcome   // how the attempt ended
	Fault     *Fault    // why, when the outcome is a fault
	RespBytes int64     // bytes of the answer
	Slow      bool      // set by the metrics filter for those after it

	// Filters keep per-call state here, at the slots they were given when they were compiled.
	Scratch [4]uint64
	Trace   TraceContext
	Stages  *Stages // by filters that watch the call; nil: nobody does
}

// TraceContext is a W3C trace context (https://www.w3.org/TR/trace-context/), all zero when the call is not traced.
type TraceContext struct {
	TraceID [16]byte
	SpanID  [8]byte
	Parent  [8]byte
	Sampled bool
}

// View reads the request behind a call. Drivers implement it on their session, so that handing it over allocates
// nothing. What it yields is valid only during the call that yielded it.
type View interface {
	// Key returns the i-th key, table or topic that the request touches; false when there are no more.
	Key(i int) ([]byte, bool)
	// AppendText appends the request in a readable form without secrets, up to the capacity of dst and never beyond it.
	// It copies what the client sent: whoever prints it must quote it.
	AppendText(dst []byte) []byte
	// Digest identifies the request's shape: a SQL digest; 0 where the kind has none.
	Digest() uint64
}

// Named is an optional capability of a [View]: what the client calls the operation, for rules about one that the table has no place
// for, because clients invented too many, or because nobody knows it.
type Named interface {
	OpName() string
}

// Stop is a filter's decision that a call ends here. It is built when its rule is compiled. Exactly one of Fault,
// Empty and Reply says what the client gets.
type Stop struct {
	Fault *Fault // a refusal in the protocol's own form
	Empty bool   // the operation's own empty answer: null, empty list, zero rows
	Reply string // this text as the operation's answer
	// Outcome is what the call counts as: a fault's code, or ok for mocks.
	Outcome Outcome
}

// Next is End's answer.
type Next uint8

const (
	Done  Next = iota // the call is over: answer the client
	Again             // Route chose another endpoint, Attempt was raised: send the same request there
)

// Move is Boundary's answer.
type Move uint8

const (
	Stay  Move = iota // go on
	Leave             // the session's endpoint is going away: give up its connection where the protocol allows it
	Drain             // the agent is going away: close the session where the protocol allows it
)
