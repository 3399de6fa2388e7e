// Package api is the centre's HTTP interface: what the pages, the command line and programs use, and the door through which agents
// join and link.
//
//	/                the pages (governance/ui)
//	/v1/...          JSON; the paths and shapes of an agent's own interface, over all agents, and more
//	/v1/events       one stream for each open page
//	/v1/join, /v1/renew, /v1/link   agents, by TLS
//	/healthz, /readyz, /metrics     open
//
// Each path is mounted with the right that it needs at least (server.go); what depends on the resource is asked by its handler.
// Everything that changes something names its author, and is in the audit log by the time it is answered.
//
// # Who is let in
//
// A token in the Authorization header, or a cookie. A cookie is sent by the browser whoever asks for it, so a change by cookie
// also needs our own header, and every request passes the guard of internal/httpapi: the Host must be ours and the Origin the
// same. Plain HTTP is served to this machine alone. An agent is known by its certificate, which our own authority signed.
package api
