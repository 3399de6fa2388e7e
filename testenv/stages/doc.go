// Package stages looks at what agents say of where the time of a call goes, with a real server of each kind: an agent's
// answers are slow because the server is, because the client is, or because the connection is not there yet, and what
// GET /v1/observe says must name the one that it is.
package stages
