// Package switcher carries out degrade commands: operators' switches that answer calls instead of making them.
//
// A command selects calls and a share of them. What its calls get is said by its reply:
//
//	error   the fault "degraded", with the command in its text:
//	        sluice: feed-cache: degraded by command c-7f3a (ana: KEYS is too slow)
//	empty   the operation's own empty answer: null, empty list, zero rows
//	TEXT    this text as the operation's answer
//
// All three count as outcome degraded. When several commands select a call, the newest decides.
//
// Moving traffic between groups (the switch command) is routing and not done here.
package switcher
