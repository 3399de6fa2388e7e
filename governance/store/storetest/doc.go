// Package storetest is the conformance suite of store.Store: what every back must do, tested against each.
//
//	func TestStore(t *testing.T) { storetest.Run(t, storetest.Back{Fresh: ...}) }
//
// The tests of the backs call it; each adds what only it can go wrong with (a file that is cut short, a member that is
// killed). Where a store may be open several times on the same data, as by several centres (Back.Shared), the suite uses two
// handles: what is committed through one is read and watched through the other.
//
// [Shaky] is for the tests of what lives on a store: its watches can be broken, and its commits held up.
//
// # What it rests on
//
// Revisions are only taken to grow, not to be dense: an etcd cluster may have other users. Waiting is for a condition,
// with a deadline (patience); nothing sleeps. The model test keeps a map and a history beside the store and compares
// after every step; it uses a prefix of its own in each run, so that it needs no new store.
package storetest
