// Package admin is the agent's own HTTP interface: health, metrics, what goes on, and changes.
//
// It holds no state of the agent. Handlers translate between HTTP and a [Backend], which package agent implements over
// its resources; the shapes that leave ([Status], [Resource], [Endpoint] and so on) are declared here and are the same
// for an agent and for the governance centre, so that one command line serves both.
//
//	connection (bounded) -> guard: Host, Origin -> token, but for the open paths -> mux -> handler -> Backend
//
//	open        GET    /healthz /readyz /metrics
//	with token  GET    /v1/status /v1/agents /v1/resources[/NAME] /v1/resources/NAME/{endpoints,operations,sessions,config}
//	            GET    /v1/commands /v1/observe
//	            POST   /v1/commands[?dry-run=true]    DELETE /v1/commands/ID
//	            PUT, PATCH, DELETE /v1/resources/NAME  (ETag, If-Match)
//	            POST, DELETE /v1/debug/pprof           GET /debug/pprof/... while it is on
//
// # Invariants
//
//   - No GET changes anything.
//   - A browser cannot be made to speak for its user: the token travels in a header that pages cannot send to strangers,
//     a Host that is a foreign name is refused (DNS rebinding), and so is every foreign Origin.
//   - Every error has the shape {"error": {"code", "message", "path"}}; path names the offending field, where there is one.
//   - A change with a query parameter that is not known is refused, so that a mistyped dry run is not run for good.
//   - Every answer but a stream ends within 30 s, and every body, header and number of connections is bounded.
//   - Secrets are not here to be shown: specs hold references, and the token is compared in constant time and never
//     logged.
package admin
