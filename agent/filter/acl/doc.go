// Package acl refuses calls by rule: what a deny rule selects, and, where there is an allow list, what none of its
// rules selects. Deny wins.
//
// The refusal is the protocol's own "no permission", with the rule in its text:
//
//	sluice: feed-cache: denied by rule 2 (op=CONFIG|*)
//	sluice: feed-cache: not on the allow list
//
// An allow list must name what a session needs to begin, such as class=session, else clients cannot log in.
package acl
