package resources

// Code names why the agent did not deliver an upstream's answer. The words are those of config, metrics and logs.
type Code uint8

const (
	Unavailable Code = iota + 1 // nothing reachable, nothing sent
	Unknown                     // sent, no answer: it may have been executed
	Timeout                     // the deadline passed
	Limited                     // a rate limit
	Degraded                    // an operator's degrade command
	BreakerOpen                 // the circuit breaker is open
	Denied                      // an access rule
	TooLarge                    // over a limit of size
	Draining                    // the agent or the endpoint is going away
	numCodes
)

var codeNames = [numCodes]string{"", "unavailable", "unknown", "timeout", "limited", "degraded", "breaker", "denied", "too_large", "draining"}

// String returns the word used as the `outcome` label.
func (c Code) String() string {
	if c < numCodes {
		return codeNames[c]
	}
	return "unknown"
}

// Source says whose failure a fault is.
type Source uint8

const (
	FromAgent Source = iota
	FromClient
	FromUpstream
)

// Sent says how far a request got before it failed. It decides, with the operation's [Retry], whether the request may
// be sent again.
type Sent uint8

const (
	SentNothing  Sent = iota // no byte was written, or the upstream said that it did not execute the request
	SentSome                 // at least one byte was written, no byte of the answer was passed on
	SentAnswered             // part of the answer reached the client
)

// Fault is a failure as the client may see it. Faults that a rule causes are built when the rule is compiled and shared
// by all its calls; a Fault is never changed once a call has seen it.
type Fault struct {
	Code   Code
	Source Source
	Text   string // "sluice: RESOURCE: what happened, and which rule or endpoint"; no newline
	Close  bool   // the session cannot go on
}

// NewFault builds a fault with the text in its fixed form.
func NewFault(code Code, src Source, resource, what string) *Fault {
	return &Fault{Code: code, Source: src, Text: "sluice: " + resource + ": " + what}
}

// Error makes a Fault an error.
func (f *Fault) Error() string { return f.Code.String() + ": " + f.Text }

// Outcome is how a call ended, as counted in metrics: ok, error (the upstream's own answer was an error), failed (it was one that
// the upstream's framework says, and not the service, where the protocol tells them apart), canceled (the client left), or a
// fault's code.
type Outcome uint8

const (
	OutcomeOK       Outcome = 0
	OutcomeError    Outcome = Outcome(numCodes)
	OutcomeCanceled Outcome = Outcome(numCodes) + 1
	OutcomeFailed   Outcome = Outcome(numCodes) + 2
	NumOutcomes             = int(numCodes) + 3
)

// OutcomeOf returns the outcome of a fault.
func OutcomeOf(f *Fault) Outcome { return Outcome(f.Code) }

// String returns the `outcome` label.
func (o Outcome) String() string {
	switch {
	case o == OutcomeOK:
		return "ok"
	case o == OutcomeError:
		return "error"
	case o == OutcomeCanceled:
		return "canceled"
	case o == OutcomeFailed:
		return "failed"
	}
	return Code(o).String()
}

// Answered reports whether the outcome is an answer of the upstream, whatever it says.
func (o Outcome) Answered() bool { return o == OutcomeOK || o == OutcomeError || o == OutcomeFailed }

// Failure reports whether the outcome says that the resource could not be reached or did not answer in time. An error
// that the upstream itself answered is not one: the resource works.
func (o Outcome) Failure() bool {
	c := Code(o)
	return c == Unavailable || c == Unknown || c == Timeout
}
