// Package console turns the commands that Motan's console writes into a registry (protocols/motancommand) into commands of ours.
// The agent gives it, for one resource, the groups that there are and the documents that the registries hold, and gets a [Plan]:
// switches, drains and degradations for the runtime, groups to be found besides those of the spec, and for each command that
// is not carried out, why. It knows no registry and no clock and changes nothing.
//
//	document of /motan/GROUP/command ─┐
//	document of the application ──────┤
//	groups, their endpoints ──────────┴─> Compile ─> Plan ─> the runtime, GET /v1/commands
//
// # What a document is for
//
// In Motan a caller refers to one group of a service. A resource has several, with weights: each group with a weight is a
// caller of its own here, with its share of the calls, and the document of that group is about this share. What the documents
// of several groups say adds up. A document of the agents' application is for all of them and goes first, type by type.
//
//	mergeGroups    a switch: the share of the group goes to the groups that are named, by their weights; without weights by
//	               how many servers they have. A group that the resource has not is looked for in the same registry, for
//	               as long as the command names it.
//	routeRules     drains: where this agent's address is meant, the servers that are not get no calls
//	type 1         a degradation of the group's share of the calls
//	type 2         nothing: switches by name belong to motan-go's programs
//
// # What never happens
//
// A command that would leave its callers without any server is not in force, which the plan says, and is looked at again as
// endpoints come: a name that is written wrong in a console must not stop calls. That is what motan-go does too.
package console
