// Package ha decides what happens after a failure: whether a request may be sent again, whether there is budget for
// it, and how long a read may stay unanswered before it is sent a second time.
//
// # The law of retries
//
// How far a request got ([resources.Sent]) and what it does ([resources.Class], [resources.Retry]) decide, and nothing
// else can overrule them:
//
//	                       nothing sent      written, no answer     partly answered
//	read, idempotent       again             again, if allowed      never
//	write, other           again             never                  never
//	inside a sequence      never             never                  never
//
// "Nothing sent" includes that the upstream said that it did not execute the request; such an attempt ends as
// unavailable. Around the law lie limits: the policy's number of tries, the client's deadline, a body of at most
// [MaxBody], no session that is tied to its upstream, and the budget.
//
// # Budget
//
// Retries and backup requests are extra load at the worst time. One [Budget] for each resource bounds both together
// to a share of the calls of the last ten seconds, with a small allowance so that a quiet resource may retry at all.
// Backups have a smaller share within it.
//
// An attempt of which nothing was sent loads no server ([Unsent]), so that the one that follows it elsewhere is no extra load: it takes no
// budget, and is bound by the deadline and by [Beyond] more attempts than the policy's tries. Else most calls would fail, with servers
// that could serve them, as soon as the server that they go to first is killed: at 100 calls a second the budget is spent within a
// moment. Another attempt at the same endpoint takes budget: nothing is won by it but connections.
//
// gRPC draws the same line: a call that never left the client is tried again until its deadline, and counts neither as an attempt nor
// for retry throttling; one that reached the server but not its application once only
// (https://github.com/grpc/proposal/blob/master/A6-client-retries.md, "Transparent Retries"). Envoy makes no such difference: max_retries
// and retry_budget of a cluster's circuit breaker bound all retries
// (https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/cluster/v3/circuit_breaker.proto).
//
// # Strategies
//
// What the law leaves open a [Strategy] decides: one that a program registers, and that a policy names. It can make fewer
// attempts than the law allows, and never more.
//
// # Who calls
//
// The runtime: [Law.May] and [Budget.Take] when an attempt failed, [Backups.After] when a call is routed, and both
// Tick methods once a second. Nothing here has a goroutine or a lock.
package ha
