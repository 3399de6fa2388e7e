// Package motancommand reads the commands that Motan's console (motan-manager) keeps in a registry: one JSON document for the
// callers of a group, and one for the agents of an application.
//
//	{"clientCommandList":[{"index":1,"version":"1.0","dc":"yf","commandType":0,"pattern":"com.weibo.*",
//	  "mergeGroups":["feed-yf:3","feed-tc:7"],"routeRules":["10.75.* to !10.73.1.1"],"remark":"..."}]}
//
// It is bytes in, bytes out: what a command does to a resource is agent/console's to say. The form is that of RpcCommand in
// motan-core 1.2.6 and of ClientCommand in motan-go 1.2.0.
//
// # What the two Motans make of it, and what is made of it here
//
//	field        Java                                   motan-go                             here
//	index        the lowest goes first, none before 0   the lowest goes first, none is 0     as motan-go; equal ones as written
//	commandType  looked at by its clients since 1.2.6   0 traffic, 1 degrade, 2 switcher     as motan-go; another one is refused
//	pattern      an expression over names               *, a prefix or a regular expression  see Pattern
//	weights      none is 1; others than 0 to 100 void   clamped to 1 to 100; no weights at   none is 1, 0 is none, others than 0 to
//	             the command                            all mix the groups' servers          100 are refused; no weights at all mix
//	routeRules   bad ones are left out                  bad ones are left out                a bad one refuses its command
//	dc, version  ignored                                ignored                              ignored
//
// A document that is no JSON is no document for both, and an error here; a command that is refused leaves the others as they
// are.
package motancommand
