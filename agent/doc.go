// Package agent is the data plane: the process beside an application that carries its calls.
//
// [New] builds everything from a config and opens nothing to clients; [Agent.Run] opens, serves, and drains. Between the
// two the process owns its sockets but accepts nothing, so that a config that cannot work is refused before a client is.
//
//	config ─> data folder (token, commands, resources changed over HTTP, known endpoints)
//	       ─> metrics, sinks
//	       ─> center: what the governance centre said last, and the link to it (center.go)
//	       ─> set: for each resource a runtime.Resource (driver, cluster, filters) and its listeners
//	       ─> pressure: how short memory is, which listeners and resources ask
//	       ─> admin interface
//	Run    ─> accept ─> link ─> signals: SIGHUP reload, SIGTERM drain ─> drain ─> close, in the reverse order
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
// # The centre
//
// An entry of the file with a kind is the file's, whole. One with `listen` alone is defined in the centre: it runs as the
// snapshot has it until the centre is reached, nothing listens for it before there is either, and HTTP cannot change it.
// What the centre sends is applied one resource at a time (incoming.go), so one that is refused leaves the others and its own
// last good one in force; what was refused is tried again now and then. A centre with another history (its store was lost)
// removes nothing by silence. When the centre is away all goes on, and says that it is stale.
//
// Commands live in control.Store, those of the centre in control.Center; a resource is compiled with both. Each change there (added, undone, expired) recompiles its one resource.
//
// Those of Motan's console are in the registries that groups name (console.go, package console). They add groups to what a
// resource runs with, which the declaration does not have: member.spec is what runs, member.declared what was declared.
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
// take changing, so changing is not held while commands are added to the store or taken back. motanConsole.mu is held for moments, inside changing. Center.Put is called within
// changing; Center.Save, which waits for the disk, is not.
package agent
