// Package auth says who may do what at the centre: people, programs with tokens, and agents with certificates.
//
//	people      a one-time link, or OIDC       -> a signed cookie for 12 hours
//	programs    a token, of which a hash is kept
//	agents      a join token, which pins the centre's authority -> a certificate for 24 hours, renewed with itself
//
// # Rights
//
//	viewer      see everything but secrets
//	operator    and give commands, run plans, save drafts
//	owner       and publish: resources, releases
//	admin       and users, tokens, join tokens, secrets, whatever the scope
//
// A grant of operator or owner may be narrowed to a selection of resources; what is not in it can be seen but not changed.
//
// # Where things are
//
//	users/NAME      roles                     tokens/ID   hash, roles, expiry
//	joins/ID        hash, uses, expiry        blocked/NAME   agents whose certificates are not accepted any more
//	ca/current      the authority; its key is sealed      ca/session   key of cookies, sealed
//
// The key that seals is not in the store: it is a file of each centre (seal.key, 0600), made on the first start. Centres on one
// etcd share it.
//
// # Invariants
//
//   - There is no default password, key or token: all are made on the first start, from crypto/rand.
//   - Secrets of tokens are compared by hash and in constant time, and are shown once, when they are made.
//   - Nothing here is decided by an address, a header of the client's making or the absence of a setting.
//   - A cookie alone changes nothing: the HTTP layer also asks for a header that no foreign page can send.
package auth
