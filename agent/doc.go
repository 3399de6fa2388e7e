// Package agent is the data plane: the process beside an application that carries its calls.
//
// [New] builds everything from a config and opens nothing to clients; [Agent.Run] opens, serves, and drains. Between the
// two the process owns its sockets but accepts nothing, so that a config that cannot work is refused before a client is.
//
//	config ─> data folder (token, commands, resources changed over HTTP, known endpoints)
//	       ─> metrics, sinks
//	       ─> set: for each resource a runtime.Resource (driver, cluster, filters) and its listeners
//	       ─> pressure: how short memory is, which listeners and resources ask
//	       ─> admin interface
//	Run    ─> accept ─> signals: SIGHUP reload, SIGTERM drain ─> drain ─> close, in the reverse order
//
// # What changes while it runs
//
// There is one way in: the desired resources are put together (file, then what was changed over HTTP, see overlay.go) and
// given to set.apply, which makes the running ones equal to them: whole or not at all. Whatever can fail (binding a
// port, reading a certificate, opening a driver, compiling a policy) is done first; what is then swapped cannot fail.
// A change of policy, groups or weights is compiled into the running resource and touches no connection. A change of
// kind, settings or upstream TLS opens the resource anew behind the same listeners; the old one ends its sessions at
// their boundaries.
//
// Commands live in control.Store. Each change there (added, undone, expired) recompiles its one resource.
//
// # Draining
//
// Not ready; wait, so that whoever sends traffic here has seen it; stop accepting; sessions end at message boundaries;
// what is left is cut at the deadline; metrics and logs are flushed; the admin interface goes last.
//
// # Locks
//
// Agent.changing serialises changes (reload, HTTP, recompiles) and is held while files are written and drivers opened.
// set.mu guards the map of resources for readers and is held for moments, inside changing. The store's OnChange calls
// take changing, so changing is not held while commands are added to the store or taken back.
package agent
