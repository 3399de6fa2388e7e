// Package governance is the centre: one place to see and steer what agents carry. This package puts its rooms together; Center.Open
// reads like a table of contents.
//
//	store      what must not be lost: one bbolt file, or an etcd cluster for several centres
//	audit      before the store: no change without an entry in the log
//	auth       people, programs, agents; the mesh's authority
//	secrets    sealed credentials, which go to agents with the resource that refers to them
//	registry   resources, groups, endpoints: what operators wrote, and what agents export
//	members    what agents export, as the centres of one store tell each other
//	peers      the agents of the other centres: who they are, what they report, and questions to them
//	command    what operators ordered: switch, degrade, limit, mock, fault, drain
//	rollout    plans and staged releases, which go on or back by themselves
//	series     rates and true percentiles of every window, from the agents' histograms
//	fleet      the agents' links: who runs what, and who refused
//	api        HTTP for the pages, the command line and programs; the agents' door
//	ui         the pages
//
// # How a change travels
//
//	api -> registry or command -> audit -> store -> their watch (of every centre) -> fleet.Changed -> the agents that it concerns
//	                                                                                                   -> Result -> pages
//
// Agents are linked to one centre each, and known to all: a centre follows each of the others, so that what is below api shows and asks
// all agents, and does not know which are whose. The centre that leads sees them all, too.
//
// A centre holds nothing that others could not rebuild from the store and from the agents' links: several of them may run on one
// etcd. What must run once (ending commands on record, plans) is done by the one that leads.
//
// The data plane never waits for the centre: agents start from their own copy, go on without it, and end commands at their time.
package governance
