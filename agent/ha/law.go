package ha

import "github.com/sluice-mesh/sluice/resources"

// MaxBody is the longest request, in bytes, that is sent again: longer ones are not kept.
const MaxBody = 64 << 10

// Law is the law of retries under one policy.
type Law struct {
	tries uint8
	reads bool
}

// Compile takes over what the policy says.
func Compile(f resources.Failover) Law {
	return Law{tries: uint8(max(0, min(f.Tries, 255))), reads: f.RepeatReads()}
}

// Beyond is how many more attempts than the policy's tries a call may have while nothing of it was sent. Servers that end together each
// refuse a call up to twice, on a connection that they close and then as one that nobody listens at.
const Beyond = 4

// Spent reports whether c has had all the tries that the policy gives it.
func (l Law) Spent(c *resources.Call) bool { return c.Attempt >= l.tries }

// May reports whether the attempt that c just ended may be followed by another one. It looks at what the driver
// filled in before End. A driver whose upstream refused to execute a request says so as Unavailable and SentNothing;
// an answer of the upstream (OutcomeError) is an answer, and never a reason to ask again.
func (l Law) May(c *resources.Call) bool {
	switch {
	case !c.Outcome.Failure(),
		l.Spent(c) && (l.tries == 0 || c.Attempt >= l.tries+Beyond || !Unsent(c)),
		c.Pinned,
		c.ReqBytes > MaxBody,
		c.Deadline != 0 && c.Now >= c.Deadline:
		return false
	}
	return l.safe(c)
}

// Unsent reports whether the attempt that c just ended failed before any server had work with it: its connection was refused, or found
// closed before the first byte, or an agent in between says that no server got it. Another attempt, elsewhere, is then the first that
// a server sees.
func Unsent(c *resources.Call) bool { return c.Sent == resources.SentNothing && !c.Declined }

func (l Law) safe(c *resources.Call) bool {
	switch c.Sent {
	case resources.SentNothing:
		return c.Retry != resources.RetryNever
	case resources.SentSome:
		return l.reads && c.Retry == resources.RetryIdempotent && c.Class == resources.ClassRead
	}
	return false
}

// MayBackUp reports whether a call may be sent to two endpoints at once: a read that repeats without harm.
func MayBackUp(c *resources.Call) bool {
	return c.Attempt == 0 && !c.Pinned && c.Class == resources.ClassRead && c.Retry == resources.RetryIdempotent &&
		c.ReqBytes <= MaxBody
}
